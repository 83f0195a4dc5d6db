"""A recorded `events.v1` through score again: into a fresh log topic, or in this process, without Kafka and Redis.

Both give the same outputs, byte for byte: what score says is a function of the log (ARCHITECTURE.md, contract 1). A
fresh topic numbers its records from 0, and so does this process; with `as_recorded` it gives them the offsets that they
had, and what it says are the bytes that were said then.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from config.settings import KafkaSettings, Settings
from detectors.rules.artefact import RuleSet
from detectors.rules.artefact import decode as decode_rules
from detectors.snapshot import Snapshot
from detectors.snapshot import decode as decode_snapshot
from domain import topics
from replay.log_file import LogFile, Record
from replay.offsets import Offsets
from replay.outputs import Outputs, output_topics
from replay.reading import read_topics
from replay.run import STUCK_S, ReplayFailed
from replay.sources import SourceError
from sinks.client import aiokafka_settings
from sinks.kafka import Outbox
from sinks.redis_store import connect as connect_redis
from sinks.redis_store import outcome_totals, partition_state
from streams.score.partition import Partition, PartitionState
from streams.score.version import engine_version
from streams.topics import wanted_topics
from streams.transport.chunk import ChunkBuilder
from streams.worker.role import TP

BATCH_RECORDS = 4_000
SAY_EVERY_RECORDS = 50_000
POLL_S = 0.5
OUTCOMES = ("applied", "duplicate", "conflict", "late", "tick", "control", "unreadable")
Say = Callable[[str], None]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a log's replay. `outcomes`: its records, by what score made of each."""

    engine_version: str
    recorded_by: str  # engine version
    into: str
    records: int
    outcomes: dict[str, int]
    outputs: dict[str, int]  # distinct messages by topic
    alerts: dict[str, int]  # revisions that the supervisor got, "<severity> <state>"
    digest: str  # of the outputs
    wall_s: float
    notes: list[str]

    @property
    def balanced(self) -> bool:
        """Whether every record is accounted for."""
        return sum(self.outcomes.values()) == self.records


def replay_in_process(log: LogFile, outputs: Outputs, say: Say, *, as_recorded: bool = False) -> Replayed:
    """All of the log, every enterprise in memory. SourceError; EngineVersionChanged where the log demands another."""
    began_s = time.monotonic()
    score = _InProcess(log.head.partitions, outputs)
    first: dict[int, int] = {}
    records = 0
    for record in log.records():
        if record.topic != topics.EVENTS:
            score.artefact(record)
            continue
        first.setdefault(record.partition, record.offset)
        score.take(record, as_recorded=as_recorded)
        records += 1
        if records % SAY_EVERY_RECORDS == 0:
            say(f"{records:,} records applied")
    score.end()
    offsets = "their recorded offsets" if as_recorded else "offsets from 0"
    return _replayed(log, outputs, f"this process, {offsets}", records, score.outcomes(), began_s, first)


class Servers(Protocol):
    """Kafka, Redis and score workers."""

    settings: Settings

    def launch_workers(self, roles: Iterable[str]) -> None:
        """Start what does not run yet."""

    def check(self) -> None:
        """Raise where a worker has ended."""


def replay_into(log: LogFile, servers: Servers, outputs: Outputs, say: Say) -> Replayed:
    """Return all of the log into the empty `events.v1` of the servers; waits until score has done it.

    SourceError where the topics are not fresh, ReplayFailed where nothing moves on, and what `servers.check` raises.
    """
    began_s, settings, kafka = time.monotonic(), servers.settings, servers.settings.kafka
    _demand_fresh(log, settings)
    servers.launch_workers(["score"])
    first, records = _send(log, kafka, say)
    total = sum(records.values())
    say(f"{total:,} records are in {topics.EVENTS}")
    _await_score(kafka, records, say, servers.check)
    for read in read_topics(kafka, output_topics(log.banks)):
        outputs.hear(read.topic, read.key, read.value or b"")
    return _replayed(log, outputs, kafka.bootstrap, total, _stored_outcomes(settings), began_s, first)


class _InProcess:
    """Partitions of score over a log that is given record by record."""

    def __init__(self, partitions: int, outputs: Outputs) -> None:
        self._outputs = outputs
        self._artefacts: dict[str, bytes] = {}
        self._partitions = {
            number: Partition(number, self._snapshot, rules_of=self._rules) for number in range(partitions)
        }
        self._waiting: dict[int, list[tuple[int, Record]]] = defaultdict(list)
        self._next: dict[int, int] = defaultdict(int)
        self._tally: Counter[str] = Counter()

    def artefact(self, record: Record) -> None:
        """A model or rules that a control record may name."""
        if record.key is not None and record.value is not None:
            self._artefacts[record.key.decode(errors="replace")] = record.value

    def take(self, record: Record, *, as_recorded: bool) -> None:
        """The next record of its partition."""
        number = record.partition
        offset = record.offset if as_recorded else self._next[number]
        if offset < self._next[number]:
            raise SourceError(f"{topics.EVENTS}[{number}]: offset {offset} stands behind {self._next[number] - 1}")
        self._next[number] = offset + 1
        self._waiting[number].append((offset, record))
        if len(self._waiting[number]) >= BATCH_RECORDS:
            self._apply(number)

    def end(self) -> None:
        """Return the outputs that still wait."""
        for number in list(self._waiting):
            self._apply(number)

    def outcomes(self) -> dict[str, int]:
        """Records by what became of them."""
        return {name: self._tally[name] for name in OUTCOMES}

    def _apply(self, number: int) -> None:
        rows = self._waiting.pop(number)
        builder = ChunkBuilder(topics.EVENTS, number, rows[0][0])
        for offset, record in rows:
            builder.add(offset, record.key, record.value, record.headers, 0)
        partition = self._partitions[number]
        for outgoing in partition.apply(builder.build(rows[-1][0] + 1)):
            for topic, records in outgoing:
                for key, value in records:
                    assert value is not None
                    self._outputs.hear(topic, key, value)
        for (outcome, reason), count in partition.take_tally().outcomes.items():
            is_letter = outcome == "dead_lettered"
            self._tally[("conflict" if reason == "conflict" else "unreadable") if is_letter else outcome] += count

    def _snapshot(self, model_id: str) -> Snapshot:
        return decode_snapshot(self._body(model_id), model_id)

    def _rules(self, rules_id: str) -> RuleSet:
        return decode_rules(self._body(rules_id), rules_id)

    def _body(self, name: str) -> bytes:
        if name not in self._artefacts:
            raise SourceError(f"the log activates artefact {name}, which the recording does not hold")
        return self._artefacts[name]


def _send(log: LogFile, kafka: KafkaSettings, say: Say) -> tuple[dict[int, int], dict[int, int]]:
    """Write everything; by partition, the first recorded offset and how many records."""
    outbox = Outbox(kafka.bootstrap, aiokafka_settings(kafka))
    first: dict[int, int] = {}
    count: Counter[int] = Counter()
    for record in log.records():
        if record.topic == topics.EVENTS:
            first.setdefault(record.partition, record.offset)
            count[record.partition] += 1
            if count.total() % SAY_EVERY_RECORDS == 0:
                say(f"{count.total():,} records sent")
        outbox.send(record.topic, record.value, key=record.key, headers=record.headers, partition=record.partition)
    outbox.drain(120.0)
    return first, dict(count)


def _demand_fresh(log: LogFile, settings: Settings) -> None:
    offsets = Offsets(settings.kafka)
    names = (topics.EVENTS, *output_topics(log.banks))
    if missing := set(names) - {topic.name for topic in wanted_topics(settings)}:
        raise SourceError(f"[[banks]] of the settings lacks banks of the recording: no {', '.join(sorted(missing))}")
    places = offsets.partitions(names)
    if missing := set(names) - {topic for topic, _ in places}:
        raise SourceError(f"the broker has no topic {', '.join(sorted(missing))}: run `xinliu topics create`")
    found = sum(topic == topics.EVENTS for topic, _ in places)
    if found != log.head.partitions:
        raise SourceError(f"{topics.EVENTS} has {found} partitions, the recording {log.head.partitions}")
    for (topic, partition), end in offsets.ends(places).items():
        if end:
            raise SourceError(
                f"{topic}[{partition}] holds {end:,} records; a recorded log goes into fresh topics (--fresh)"
            )


def _await_score(kafka: KafkaSettings, records: Mapping[int, int], say: Say, check: Callable[[], None]) -> None:
    """Until score has committed all: by then its outputs are acknowledged."""
    offsets, said_s = Offsets(kafka), time.monotonic()
    left_before, changed_s = None, time.monotonic()
    while True:
        check()
        progress = offsets.progress({"score": (topics.EVENTS,)})
        ends = {place[1]: end for place, end in progress.ends.items()}
        if any(ends.get(number, 0) != count for number, count in records.items()):
            raise ReplayFailed(f"somebody else writes to {topics.EVENTS}: it ends at {ends}, {dict(records)} were sent")
        left = progress.lag["score"]
        if left == 0:
            return
        now_s = time.monotonic()
        if left != left_before:
            left_before, changed_s = left, now_s
        if now_s - changed_s > STUCK_S:
            raise ReplayFailed(f"score has not moved for {STUCK_S:g} s; {left:,} records left")
        if now_s - said_s > 2.0:
            said_s = now_s
            say(f"score has {left:,} records left")
        time.sleep(POLL_S)


def _stored_outcomes(settings: Settings) -> dict[str, int]:
    """Records by what became of them, as Redis holds it."""
    prefix, partitions = settings.redis.key_prefix, settings.kafka.log_partitions
    with connect_redis(settings.redis.url, settings.redis.timeout_s) as redis:
        found = Counter(outcome_totals(redis, prefix, partitions))
        for number in range(partitions):
            if (stored := partition_state(redis, prefix, number)) is not None:
                state = msgspec.json.decode(stored, type=PartitionState)
                found["tick"] += state.ticks_count
                found["control"] += state.controls_count
                found["unreadable"] += state.dead_letters_count
    return {name: found[name] for name in OUTCOMES}


def _replayed(
    log: LogFile,
    outputs: Outputs,
    into: str,
    records: int,
    outcomes: dict[str, int],
    began_s: float,
    first: Mapping[int, int],
) -> Replayed:
    ours, theirs = engine_version(), log.head.engine_version
    notes = [
        f"{TP(topics.EVENTS, number)} begins at offset {offset}: what stood before it is not in the recording"
        for number, offset in sorted(first.items())
        if offset
    ]
    if ours != theirs:
        notes.append(f"recorded by engine {theirs}, this is {ours}: other outputs than then may follow")
    alerts = Counter(f"{alert.severity} {alert.state}" for bank, alert in outputs.alerts() if bank is None)
    return Replayed(
        engine_version=ours,
        recorded_by=theirs,
        into=into,
        records=records,
        outcomes=outcomes,
        outputs=dict(outputs.counts()),
        alerts=dict(sorted(alerts.items())),
        digest=outputs.digest(),
        wall_s=time.monotonic() - began_s,
        notes=notes,
    )
