"""Requests straight to the broker, one an operation: what a client is refused does not depend on a library's manners.

None of them changes anything, also where it is allowed: the broker asks who may before it looks at what was sent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateAclsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeClientQuotasRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.protocol.types import Array, Schema

from config.settings import KafkaSettings
from sinks.client import aiokafka_settings

REFUSED = frozenset({29, 30, 31, 53})  # topic, group, cluster, transactional id: authorization failed
_TOPIC, _ANYTHING, _LITERAL, _READ, _ALLOW = 2, 1, 3, 3, 3
Request = Callable[[str], Any]

# By what is asked for: the right of the table that it needs (`-`: one that nobody has), and the request about a name.
TOPIC: Mapping[str, tuple[str, Request]] = {
    "produce": ("WRITE", lambda name: ProduceRequest(None, 1, 1_000, [(name, [(0, b"")])])),
    "fetch": ("READ", lambda name: FetchRequest(0, 0, 1, 0, [(name, [(0, 0, 1)])])),
    "offsets": ("DESCRIBE", lambda name: OffsetRequest(-1, 0, [(name, [(0, -1)])])),
    "settings": ("DESCRIBE_CONFIGS", lambda name: DescribeConfigsRequest([(_TOPIC, name, ["retention.ms"])])),
    "set": ("-", lambda name: AlterConfigsRequest([(_TOPIC, name, [("retention.ms", "1")])], validate_only=True)),
    "widen": ("-", lambda name: CreatePartitionsRequest([(name, (9, None))], 1_000, True)),
    "cut": ("-", lambda name: DeleteRecordsRequest([(name, [(0, 0)])], 1_000)),
}
# Of topics that nobody may delete or make: asked of whom it is refused for certain.
DELETE: Request = lambda name: DeleteTopicsRequest([name], 1_000)  # noqa: E731
GROUP: Mapping[str, tuple[str, Request]] = {
    "join": ("READ", lambda name: HeartbeatRequest(name, 1, "nobody")),
    "commit": ("READ", lambda name: OffsetCommitRequest(name, 99, "nobody", -1, [("events.v1", [(0, 0, "")])])),
    "committed": ("DESCRIBE", lambda name: OffsetFetchRequest(name, [])),
    "members": ("DESCRIBE", lambda name: DescribeGroupsRequest([name])),
}
DELETE_GROUP: Request = lambda name: DeleteGroupsRequest([name])  # noqa: E731
TRANSACTIONAL_ID: Mapping[str, tuple[str, Request]] = {
    "end": ("WRITE", lambda name: EndTxnRequest(name, 1 << 40, 0, False)),
}
CLUSTER: Mapping[str, Any] = {
    "make a topic": CreateTopicsRequest([("bank.X.events.v1", 1, 1, [], [])], 1_000, True),
    "list rights": DescribeAclsRequest(_ANYTHING, None, _ANYTHING, None, None, _ANYTHING, _ANYTHING),
    "give a right": CreateAclsRequest(_TOPIC, "*", _LITERAL, "User:*", "*", _READ, _ALLOW),
    "list quotas": DescribeClientQuotasRequest([("user", 1, None)], False),
}


class Client:
    """A connection of one principal."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap, **aiokafka_settings(kafka))

    async def __aenter__(self) -> "Client":
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.close()

    async def is_refused(self, request: Any) -> bool:
        """Return whether the broker refuses a request for want of a right."""
        answer = await self._client.send(self._client.get_random_node(), request)
        return bool(REFUSED & set(_codes(answer.SCHEMA, [answer.get_item(name) for name in answer.SCHEMA.names])))


def _codes(schema: Schema, row: Sequence[Any]) -> Iterator[int]:
    for name, kind, value in zip(schema.names, schema.fields, row, strict=False):
        if name.endswith("error_code"):
            yield value
        elif isinstance(kind, Array) and isinstance(kind.array_of, Schema):
            for each in value or ():
                yield from _codes(kind.array_of, each)
