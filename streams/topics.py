"""The topics of `config/topics.toml`: created, compared with the broker's, checked by every worker at start."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from config.errors import SettingsError
from config.settings import Settings
from sinks.client import client_settings

DAY_MS = 86_400_000
TIMEOUT_S = 30.0
POLL_S = 0.05
# A worker refuses to start where one of these differs; the others are reported by `xinliu topics check`.
FATAL = ("exists", "partitions", "message.timestamp.type", "cleanup.policy")

_TIMESTAMPS = {"append": "LogAppendTime", "create": "CreateTime"}


class TopicsWrong(SettingsError):
    """The broker's topics are not as they must be; the message names each with what it has and what it should have."""


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    partitions: int | Literal["log"]
    cleanup: Literal["delete", "compact"]
    retention_days: int
    batch_bytes_max: int
    timestamp: Literal["append", "create"]
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    watchers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic as it should be. `settings` have the broker's names."""

    name: str
    partitions: int
    settings: dict[str, str]
    writers: tuple[str, ...]
    readers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One property of a topic that is not as it should be."""

    topic: str
    what: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.what} is {self.found}, should be {self.wanted}"


@cache
def table() -> dict[str, Any]:
    """Return `config/topics.toml` as it stands: topics, groups, transactional_ids and quotas. It must stay as it is."""
    return tomllib.loads(files("config").joinpath("topics.toml").read_text(encoding="utf-8"))


def wanted_topics(settings: Settings) -> list[Topic]:
    """Return every topic of these settings, those of each bank included, by name."""
    rows = msgspec.convert(table()["topics"], list[_Row])
    topics = [
        _topic(row, settings, bank_id)
        for row in rows
        for bank_id in ([bank.bank_id for bank in settings.banks] if "{bank_id}" in row.name else [""])
    ]
    return sorted(topics, key=lambda topic: topic.name)


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; return their names once the broker lists them.

    Existing ones stay as they are.

    Raise KafkaException where the broker refuses or does not answer.
    """
    new = [
        NewTopic(topic.name, topic.partitions, settings.kafka.replication_factor, config=topic.settings)
        for topic in wanted_topics(settings)
    ]
    admin = admin_client(settings)  # held: its futures end with it
    made = []
    for name, future in admin.create_topics(new, request_timeout=TIMEOUT_S).items():
        try:
            future.result()
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    _wait_until_listed(admin, {topic.topic for topic in new})
    return sorted(made)


def differences(settings: Settings, names: Iterable[str] | None = None) -> list[Difference]:
    """Return the differences between the broker's topics and the wanted ones, all or those named.

    Raise KafkaException where the broker does not answer.
    """
    chosen = None if names is None else set(names)
    topics = [topic for topic in wanted_topics(settings) if chosen is None or topic.name in chosen]
    admin = admin_client(settings)
    known = admin.list_topics(timeout=TIMEOUT_S).topics
    present = [topic for topic in topics if topic.name in known and known[topic.name].error is None]
    found = [
        Difference(topic=topic.name, what="exists", found="no", wanted="yes")
        for topic in topics
        if topic not in present
    ]
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in present]
    answers = admin.describe_configs(resources, request_timeout=TIMEOUT_S) if resources else {}
    actual = {resource.name: future.result() for resource, future in answers.items()}
    for topic in present:
        found += _differences(topic, len(known[topic.name].partitions), actual[topic.name])
    return found


def check_topics(settings: Settings, needed: Sequence[str]) -> None:
    """Raise TopicsWrong where a needed topic is missing, or differs in a property that a worker rests on (FATAL)."""
    unknown = set(needed) - {topic.name for topic in wanted_topics(settings)}
    if unknown:
        raise TopicsWrong(f"no such topics in these settings: {', '.join(sorted(unknown))}")
    wrong = [one for one in differences(settings, needed) if one.what in FATAL]
    if wrong:
        raise TopicsWrong("; ".join(map(str, wrong)))


def _wait_until_listed(admin: AdminClient, names: set[str]) -> None:
    """Wait until the broker lists the topics: the controller answers a moment before the broker knows of them."""
    give_up = time.monotonic() + TIMEOUT_S
    while missing := names - _listed(admin):
        if time.monotonic() > give_up:
            why = f"made, but not listed: {', '.join(sorted(missing))}"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, why))
        time.sleep(POLL_S)


def _listed(admin: AdminClient) -> set[str]:
    known = admin.list_topics(timeout=TIMEOUT_S).topics
    return {name for name, topic in known.items() if topic.error is None}


def _topic(row: _Row, settings: Settings, bank_id: str) -> Topic:
    retention_ms = -1 if row.retention_days < 0 else row.retention_days * DAY_MS
    return Topic(
        name=row.name.format(bank_id=bank_id),
        partitions=settings.kafka.log_partitions if row.partitions == "log" else row.partitions,
        settings={
            "cleanup.policy": row.cleanup,
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(row.batch_bytes_max),
            "message.timestamp.type": _TIMESTAMPS[row.timestamp],
        },
        writers=tuple(who.format(bank_id=bank_id) for who in row.writers),
        readers=tuple(who.format(bank_id=bank_id) for who in row.readers),
    )


def _differences(topic: Topic, partitions: int, actual: Any) -> list[Difference]:
    pairs = [("partitions", str(partitions), str(topic.partitions))]
    pairs += [(name, actual[name].value, value) for name, value in topic.settings.items()]
    return [
        Difference(topic=topic.name, what=what, found=found, wanted=wanted)
        for what, found, wanted in pairs
        if found != wanted
    ]


def admin_client(settings: Settings) -> AdminClient:
    """Return a client for questions and changes. Raise SettingsError where the password file cannot be read."""
    kafka = settings.kafka  # what goes wrong is raised, and need not be logged too
    return AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 2, **client_settings(kafka)})
