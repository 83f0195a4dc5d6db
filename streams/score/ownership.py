"""The owner of a partition: a record in `owner.v1`, whose offset is the epoch of the fence."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from domain import topics
from sinks.log_reader import ReadTimeout, read_topic

_ACKNOWLEDGED_S_MAX = 10
_READ_S_MAX = 20.0


class OwnershipUnknown(Exception):
    """`owner.v1` could not be written or read in time."""


def take(bootstrap: str, client: Mapping[str, Any], partitions: Iterable[int], owner: str) -> dict[int, int]:
    """Write an ownership record for each partition; return by partition its offset, which is the epoch.

    It is not idempotent, which would take half a second more: a record written twice is an epoch that nobody uses.
    Raise OwnershipUnknown where it is not acknowledged in time.
    """
    epochs: dict[int, int] = {}
    failures: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, **client})

    def delivered(number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)
        else:
            epochs[number] = message.offset()

    for number in sorted(set(partitions)):
        producer.produce(
            topics.OWNER,
            owner.encode(),
            str(number).encode(),
            partition=0,
            on_delivery=lambda error, message, number=number: delivered(number, error, message),
        )
    left = producer.flush(_ACKNOWLEDGED_S_MAX)
    if failures or left:
        why = failures[0].str() if failures else f"no acknowledgement in {_ACKNOWLEDGED_S_MAX} s"
        raise OwnershipUnknown(f"{topics.OWNER}: {why}")
    return epochs


def owned_before(bootstrap: str, client: Mapping[str, Any]) -> set[int]:
    """Return the partitions that ever had an owner. Where Redis knows nothing of one of these, it has lost data.

    Raise OwnershipUnknown where the topic cannot be read in time.
    """
    try:
        messages = read_topic(bootstrap, topics.OWNER, client, timeout_s=_READ_S_MAX)
        return {int(message.key()) for message in messages}
    except KafkaException as error:
        raise OwnershipUnknown(f"{topics.OWNER}: {error.args[0].str()}") from error
    except ReadTimeout as error:
        raise OwnershipUnknown(str(error)) from error
