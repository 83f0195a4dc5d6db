"""A log through one or two score workers on real Kafka and Redis, which kill themselves at steps of a plan."""

import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from embedded import Child
from replay.reading import read_topics
from sinks.artefacts import publish
from sinks.kafka import Outbox
from sinks.redis_store import connect, partition_state, stored_values
from streams.score.partition import PartitionState
from streams.topics import create_topics
from tests import brokers
from tests.determinism.log import BANKS, Log, other_snapshot
from tests.determinism.runs import Run
from tests.patience import eventually

OUTPUTS = (
    topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL,
    topics.DEAD_LETTERS, topics.LATE, topics.CASE_SUPERVISOR,
    *(name(bank) for bank in BANKS for name in (topics.bank_alerts, topics.bank_cases)),
)  # fmt: skip
# Every step of the commit protocol, in its order.
STEPS = ("own", "claim", "load", "fetch", "apply", "send", "drain", "slice", "evict", "state")
_NTH_MAX = {"apply": 3, "send": 50, "slice": 2, "evict": 4, "drain": 3, "state": 3}
_ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessShape:
    """The circumstances that must not change an output."""

    batch: int
    book_rows: int
    resident_max: int
    """Enterprises of a worker in memory."""
    slice_ms: int
    workers: int
    flush_ms: int = 200
    flush_values: int = 100
    """Enterprises of one transaction."""


@dataclass(slots=True)
class ProcessRun(Run):
    """The result of a run by processes, read back from Kafka and Redis."""

    records: Counter[str] = field(default_factory=Counter)  # by worker, as its flushes moved the low offset


def settings_of(bootstrap: str, redis_url: str, partitions: int, name: str, shape: ProcessShape) -> Settings:
    """Settings of one run; `name` is the prefix of its group and of its keys in Redis."""
    return Settings(
        kafka=KafkaSettings(
            bootstrap=bootstrap, log_partitions=partitions, session_timeout_s=6.0, group_prefix=f"{name}-"
        ),
        redis=RedisSettings(url=redis_url, key_prefix=name),
        score=ScoreSettings(
            flush_interval_ms=shape.flush_ms,
            flush_slice_values_max=shape.flush_values,
            batch_records_max=shape.batch,
            enterprises_resident_max=shape.resident_max,
            slice_ms=shape.slice_ms,
        ),
        banks=tuple(Bank(bank_id=bank, name_zh="x") for bank in BANKS),
    )


def plans_of(steps: tuple[str, ...], workers: int, seed: int) -> dict[str, list[tuple[str, int]]]:
    """By worker, at which steps it dies: dealt out in turn, in an order that chance picks within what can come about.

    First what needs records, then what each life does by itself. A life fetches where one before it has left something
    unsaid, as one that died at a send has: these two go to one worker.
    """
    rnd = random.Random(seed)
    needy = [step for step in ("slice", "evict", "apply") if step in steps]
    others = [step for step in steps if step not in (*needy, "send", "fetch")]
    rnd.shuffle(needy)
    rnd.shuffle(others)
    pair = [step for step in ("send", "fetch") if step in steps]
    hands = [list(pair if n == 0 else ()) for n in range(workers)]
    for step in (*needy, *others):
        min(hands, key=len).append(step)
    return {f"w{n}": [(step, rnd.randint(1, _NTH_MAX.get(step, 1))) for step in hand] for n, hand in enumerate(hands)}


def run(
    settings: Settings, log: Log, folder: Path, shape: ProcessShape, plans: dict[str, list[tuple[str, int]]]
) -> ProcessRun:
    """Run the log through workers; the broker is emptied first.

    The log is written in parts, a few more than the planned deaths. Each part waits for a death, or until all earlier
    records are processed.
    """
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    brokers.empty(settings.kafka.bootstrap)
    create_topics(settings)
    publish(Outbox(settings.kafka.bootstrap), topics.MODEL, other_snapshot().encode())
    ended = ProcessRun()
    lengths = [len(rows) for rows in log.partitions]
    client = connect(settings.redis.url, 10.0)
    children = {name: _child(settings, folder, name, shape, plan) for name, plan in plans.items()}
    watch = _Watch(settings, client, ended)
    producer = brokers.producer(settings.kafka.bootstrap, linger_ms=20)
    try:
        for child in children.values():
            child.launch()
        eventually(
            lambda: _all_have_partitions(admin, settings, len(plans)), DEADLINE_S, f"{len(plans)} with partitions"
        )
        parts = sum(len(plan) for plan in plans.values()) + 3
        written = 0
        for part in range(parts):
            written = _write(producer, log, part, parts)
            eventually(
                lambda due=part + 1, all_=written: (
                    watch.look(children) >= all_ or _deaths(folder, plans).total() >= due
                ),
                DEADLINE_S,
                f"death {part + 1} or offset {written}",
            )
        eventually(lambda: watch.look(children) >= written, DEADLINE_S, "the end of the log")
        assert watch.low == lengths
    finally:
        for child in children.values():
            child.stop()
    ended.kills = _deaths(folder, plans)
    watch.name_owners(settings)
    for read in read_topics(settings.kafka, OUTPUTS):
        ended.outputs.receive(read.topic, read.key, read.value or b"")
    prefix = settings.redis.key_prefix
    for number in range(len(lengths)):
        stored = partition_state(client, prefix, number)
        ended.states.append(msgspec.json.decode(stored or b"", type=PartitionState))
        ended.values |= dict(stored_values(client, prefix, number))
    return ended


def _deaths(folder: Path, plans: dict[str, list[tuple[str, int]]]) -> Counter[str]:
    """By step, how often a worker has died before it."""
    files = [path for name in plans if (path := folder / f"{name}.deaths").exists()]
    return Counter(step for path in files for step in path.read_text().split())


def _write(producer: Producer, log: Log, part: int, parts: int) -> int:
    """Append one part of each partition; returns how many records there are now."""
    written = 0
    for number, rows in enumerate(log.partitions):
        first, last = len(rows) * part // parts, len(rows) * (part + 1) // parts
        for key, value, headers, _ in rows[first:last]:
            producer.produce(topics.EVENTS, value, key, number, headers=list(headers))
            producer.poll(0)
        written += last
    assert producer.flush(60) == 0
    return written


def _all_have_partitions(admin: AdminClient, settings: Settings, workers: int) -> bool:
    group = f"{settings.kafka.group_prefix}score"
    try:
        members = admin.describe_consumer_groups([group])[group].result(20).members
    except KafkaException:
        return False  # the group has no coordinator yet
    held = [len(member.assignment.topic_partitions) for member in members if member.assignment]
    return len(held) == workers and all(held) and sum(held) == settings.kafka.log_partitions


class _Watch:
    """Attributes the progress of low offsets to the epochs that made it."""

    def __init__(self, settings: Settings, client: Any, ended: ProcessRun) -> None:
        self._prefix, self._client, self._ended = settings.redis.key_prefix, client, ended
        self.low = [0] * settings.kafka.log_partitions
        self._moved: Counter[int] = Counter()

    def look(self, children: dict[str, Child]) -> int:
        """The sum of the low offsets; fails where a worker has ended by itself."""
        for name, child in children.items():
            assert child.running, f"{name} ended with {child.returncode}: {child.log_tail()}"
        for p, low in enumerate(self.low):
            stored = partition_state(self._client, self._prefix, p)
            fence = self._client.get(f"{self._prefix}:{{{p}}}:e")
            if stored and fence:
                self.low[p] = int(json.loads(stored)["low_offset"])
                self._moved[int(fence.split()[0])] += max(0, self.low[p] - low)
        return sum(self.low)

    def name_owners(self, settings: Settings) -> None:
        """Count records by worker: an epoch is an offset of owner.v1, whose record names the worker."""
        for read in read_topics(settings.kafka, [topics.OWNER]):
            if moved := self._moved[read.offset]:
                self._ended.records[(read.value or b"").decode()] += moved


def _child(settings: Settings, folder: Path, name: str, shape: ProcessShape, plan: list[tuple[str, int]]) -> Child:
    kafka, score = settings.kafka, settings.score
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{settings.redis.key_prefix}-{name}.toml"
    path.write_text(
        f'[kafka]\nbootstrap = "{kafka.bootstrap}"\nlog_partitions = {kafka.log_partitions}\n'
        f'session_timeout_s = {kafka.session_timeout_s}\ngroup_prefix = "{kafka.group_prefix}"\n'
        f'instance_id = "{name}"\n'
        f'[redis]\nurl = "{settings.redis.url}"\nkey_prefix = "{settings.redis.key_prefix}"\n'
        f"[score]\nflush_interval_ms = {score.flush_interval_ms}\nbatch_records_max = {score.batch_records_max}\n"
        f"flush_slice_values_max = {score.flush_slice_values_max}\nslice_ms = {score.slice_ms}\n"
        f"enterprises_resident_max = {score.enterprises_resident_max}\n"
        + "".join(f'[[banks]]\nbank_id = "{bank.bank_id}"\nname_zh = "x"\n' for bank in settings.banks)
    )
    argv = [
        sys.executable, "-m", "tests.determinism.worker", json.dumps(plan), folder / f"{name}.deaths",
        str(shape.book_rows), "512", "--config", path, "worker", "score",
    ]  # fmt: skip
    return Child(name, argv, log=path.with_suffix(".log"), cwd=_ROOT)
