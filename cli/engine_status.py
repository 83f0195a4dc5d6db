"""The state of the whole engine, asked of the servers alone: Kafka's topics, groups and log, Redis's partitions."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient, OffsetSpec

from cli.dates import days_left
from cli.feed import Feeds, read_feeds
from config.settings import Settings
from domain import topics
from domain.events import Control, Feed
from domain.outputs import QuarantinedBatch
from replay.offsets import Offsets, Place
from sinks.client import client_settings
from sinks.redis_store import partition_state, servers
from streams import control_log
from streams.ingest.last_tick import last_tick
from streams.score.partition import PartitionState
from streams.topics import Difference, differences
from streams.worker.roles import topics_of

ANSWER_S = 20.0
_COMMITS_NOTHING = frozenset({"learn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStatus:
    """One role: workers in its group; records it has not committed, and how many it committed between two looks.

    Lag and progress are None where the role commits nothing.
    """

    workers: int
    lag: int | None
    moved: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatus:
    """One partition of `events.v1`: what the log still holds, [begin, end), and what Redis holds (None: nothing)."""

    begin: int
    end: int
    state: PartitionState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStatus:
    """The fullest server's memory in bytes (`most` 0: no bound), and its policy when that is full."""

    used: int
    most: int
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """Everything that was asked. `looked_s` lies between the two looks at what is committed."""

    wrong_topics: tuple[Difference, ...]
    roles: Mapping[str, RoleStatus]
    partitions: Mapping[int, PartitionStatus]
    redis: RedisStatus
    up_to_ms: int | None
    feeds: Mapping[str, Feed]
    dead_letters: int
    late: int
    quarantined: int
    paused: Mapping[Place, QuarantinedBatch]
    backfill: Control | None
    in_force: Mapping[str, Control]
    calendar_days_left: Mapping[str, int]
    looked_s: float


def take_status(settings: Settings, redis: Any, *, look_s: float) -> EngineStatus:
    """Ask everybody. KafkaException, ArtefactMissing, TimeoutError or redis' errors where one does not answer.

    `look_s` seconds lie between two looks at the committed offsets, where there is anything to commit.
    """
    wrong = tuple(differences(settings))
    missing = {one.topic for one in wrong if one.what == "exists"}
    offsets = Offsets(settings.kafka)
    said = control_log.ControlHistory(controls=()) if topics.CONTROL in missing else control_log.read(settings)
    feeds = Feeds(batches=(), committed={}) if topics.QUARANTINE in missing else read_feeds(settings)
    tick = None
    if topics.EVENTS not in missing:
        kafka = settings.kafka
        tick = last_tick(kafka.bootstrap, client_settings(kafka), _partition_count(offsets))
    roles, looked_s = _roles(settings, offsets, look_s)
    return EngineStatus(
        wrong_topics=wrong,
        roles=roles,
        partitions=_partitions(settings, offsets, redis),
        redis=redis_status(redis),
        up_to_ms=None if tick is None else tick.tick.up_to,
        feeds={} if tick is None else tick.tick.feeds,
        dead_letters=_held(offsets, topics.DEAD_LETTERS),
        late=_held(offsets, topics.LATE),
        quarantined=len(feeds.batches),
        paused=feeds.paused(),
        backfill=said.backfill,
        in_force=said.in_force(),
        calendar_days_left=days_left(),
        looked_s=looked_s,
    )


def redis_status(client: Any) -> RedisStatus:
    """Return one of a cluster's masters that drops keys counts as fullest."""
    found = [server.info("memory") for server in servers(client)]
    found = [
        RedisStatus(used=one["used_memory"], most=one["maxmemory"], policy=one["maxmemory_policy"]) for one in found
    ]
    fullest: RedisStatus = max(
        found, key=lambda one: (one.policy != "noeviction", one.used / one.most if one.most else 0.0)
    )
    return fullest


def _partition_count(offsets: Offsets) -> int:
    return len(offsets.partitions([topics.EVENTS]))


def _held(offsets: Offsets, topic: str) -> int:
    places = offsets.partitions([topic])
    begin, end = offsets.ends(places, OffsetSpec.earliest()), offsets.ends(places)
    return sum(end[place] - begin[place] for place in places)


def _roles(settings: Settings, offsets: Offsets, look_s: float) -> tuple[dict[str, RoleStatus], float]:
    """Return each role, and how long was looked: not at all where nothing waits to be committed."""
    workers = _workers(settings)
    committing = {role: names for role, names in topics_of(settings).items() if role not in _COMMITS_NOTHING}
    before = _committed(offsets, committing)
    lag = offsets.progress(committing).lag
    began_s = time.monotonic()
    waits = any(lag[role] and workers[role] for role in committing)
    if waits:
        time.sleep(look_s)
    after = _committed(offsets, committing) if waits else before
    looked_s = time.monotonic() - began_s if waits else 0.0
    return {
        role: RoleStatus(
            workers=workers[role],
            lag=lag.get(role),
            moved=sum(after[role].values()) - sum(before[role].values()) if role in committing else None,
        )
        for role in workers
    }, looked_s


def _committed(offsets: Offsets, topics_of_role: Mapping[str, tuple[str, ...]]) -> dict[str, dict[Place, int]]:
    return {role: offsets.committed(role, offsets.partitions(names)) for role, names in topics_of_role.items()}


def _workers(settings: Settings) -> dict[str, int]:
    """By role, the members of its group."""
    kafka = settings.kafka
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 2, **client_settings(kafka)})
    groups = {f"{kafka.group_prefix}{role}": role for role in topics_of(settings)}
    answers = admin.describe_consumer_groups(list(groups), request_timeout=ANSWER_S)
    return {groups[name]: len(future.result().members) for name, future in answers.items()}


def _partitions(settings: Settings, offsets: Offsets, redis: Any) -> dict[int, PartitionStatus]:
    places = offsets.partitions([topics.EVENTS])
    begin, end = offsets.ends(places, OffsetSpec.earliest()), offsets.ends(places)
    found = {}
    for place in sorted(places):
        stored = partition_state(redis, settings.redis.key_prefix, place[1])
        state = None if stored is None else msgspec.json.decode(stored, type=PartitionState)
        found[place[1]] = PartitionStatus(begin=begin[place], end=end[place], state=state)
    return found
