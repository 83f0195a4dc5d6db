"""A recorded `events.v1` through score again: into a fresh log topic, or in this process, without Kafka and Redis.

Both give the same outputs, byte for byte: what score says is a function of the log (ARCHITECTURE.md, contract 1). A
fresh topic numbers its records from 0, and so does this process; with `as_recorded` it gives them the offsets that they
had, and what it says are the bytes that were said then.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from config.settings import KafkaSettings, LearnSettings, Settings
from domain import topics
from domain.events import Control
from replay.episodes import Episode, in_order
from replay.in_process import OUTCOMES, Say, engines_named, notes_of, replay
from replay.kept import Kept
from replay.log_file import LogFile
from replay.offsets import Offsets
from replay.outputs import PACKED, OfPartition, Outputs, PartitionOutputs, Wanted, digest_of, join, output_topics
from replay.reading import read_topics
from replay.run import STUCK_S, ReplayFailed
from replay.source_log import Made
from replay.sources import SourceError
from sinks.client import aiokafka_settings
from sinks.kafka import Outbox
from sinks.redis_store import opened, outcome_totals, partition_state
from streams import control_log
from streams.score.partition import ENGINE_ACTION, PartitionState
from streams.score.version import engine_version
from streams.topics import wanted_topics

SAY_EVERY_RECORDS = 50_000
POLL_S = 0.5


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a log's replay. `outcomes`: its records, by what score made of each."""

    engine_version: str
    recorded_by: str  # engine version
    into: str
    records: int
    outcomes: dict[str, int]
    outputs: dict[str, int]  # distinct messages by topic
    alerts: dict[str, int]  # revisions that the supervisor got, "<severity> <state>"
    digest: str | None  # of the outputs; None: they were counted only
    wall_s: float
    busy_s: float | None = None  # of the processes that replayed it here, together
    notes: list[str] = []
    learned: dict[str, int | float | str] | None = None  # what the learner says of itself, where it was in the loop
    models: list[str] = []  # that it made, in their order
    made: Made | None = None  # of what the log was made, where it was made here

    @property
    def balanced(self) -> bool:
        """Whether every record is accounted for."""
        return sum(self.outcomes.values()) == self.records


def replay_in_process(
    log: LogFile,
    say: Say,
    *,
    digest: bool = True,
    outputs: Path | None = None,
    of_alerts: bool = False,
    as_recorded: bool = False,
    learn: LearnSettings | None = None,
    processes: int | None = None,
    fresh: bool = False,
) -> tuple[Replayed, list[Episode]]:
    """Replay all of the log in processes of its own; return the result, and the episodes of its alerts where asked for.

    `outputs`: the file to write outputs to. A folder beside it keeps those of finished partitions until all are: a call
    that was aborted goes on after them, unless it is to be `fresh`. `digest`: make all outputs, and hash them.

    Raise SourceError where the log cannot be read, and StateError or StateDirectoryBusy for the folder.
    """
    began_s = time.monotonic()
    with ExitStack() as exits:
        keep = exits.enter_context(_kept(log, outputs, f"{as_recorded=} {learn=}", fresh)) if outputs else None
        folder, packed = (keep.folder, outputs.suffix == PACKED) if keep and outputs else (None, False)
        wanted = Wanted(digest=digest, folder=folder, packed=packed, episodes=of_alerts)
        if keep and (done := keep.found()):
            say(f"{len(done)} partitions are done already, as {keep.folder} has them")
        found = replay(
            log,
            consumer=partial(PartitionOutputs, wanted),
            topics=wanted.topics(log.banks),
            as_recorded=as_recorded,
            learn=learn,
            processes=processes,
            keep=keep,
            say=say,
        )
        results: dict[int, OfPartition] = found.results
        if keep and outputs:
            join(keep.folder, results, outputs)
            exits.callback(shutil.rmtree, keep.folder)
    sums = [(number, topic, one) for number, result in results.items() for topic, one in result.sums.items()]
    replayed = Replayed(
        engine_version=engine_version(),
        recorded_by=log.head.engine_version,
        into=f"processes of ours, {'their recorded offsets' if as_recorded else 'offsets from 0'}",
        records=found.records,
        outcomes=found.outcomes,
        outputs=found.outputs,
        alerts=found.alerts,
        digest=digest_of(sums) if digest else None,
        wall_s=time.monotonic() - began_s,
        busy_s=found.busy_s,
        notes=notes_of(log),
        learned=None if found.learned is None else found.learned.summary,
        models=[] if found.learned is None else list(found.learned.models),
    )
    return replayed, in_order(episode for result in results.values() for episode in result.episodes)


def _kept(log: LogFile, outputs: Path, how: str, fresh: bool) -> Kept:
    """Return the folder kept beside a file of outputs, until that is whole."""
    identity = f"{log.identity} {engine_version()} {outputs.suffix} {how}"
    return Kept(outputs.with_name(f"{outputs.name}.parts"), identity, fresh=fresh)


class Servers(Protocol):
    """Kafka, Redis and score workers."""

    settings: Settings

    def launch_workers(self, roles: Iterable[str]) -> None:
        """Start what does not run yet."""

    def check(self) -> None:
        """Raise where a worker has ended."""


def replay_into(log: LogFile, servers: Servers, outputs: Outputs, say: Say) -> Replayed:
    """Write all of the log into the empty `events.v1` of the servers, and wait until score has applied it.

    Raise SourceError where the topics are not empty, ReplayFailed where nothing moves on, and what `servers.check`
    raises.
    """
    began_s, settings, kafka = time.monotonic(), servers.settings, servers.settings.kafka
    _demand_fresh(log, settings)
    _hand_over(log, settings)
    servers.launch_workers(["score"])
    records = _send(log, kafka, say)
    total = sum(records.values())
    say(f"{total:,} records are in {topics.EVENTS}")
    _await_score(kafka, records, say, servers.check)
    for read in read_topics(kafka, output_topics(log.banks)):
        outputs.hear(read.topic, read.key, read.value or b"")
    alerts = Counter(f"{alert.severity} {alert.state}" for bank, alert in outputs.alerts() if bank is None)
    return Replayed(
        engine_version=engine_version(),
        recorded_by=log.head.engine_version,
        into=kafka.bootstrap,
        records=total,
        outcomes=_stored_outcomes(settings),
        outputs=dict(outputs.counts()),
        alerts=dict(sorted(alerts.items())),
        digest=outputs.digest(),
        wall_s=time.monotonic() - began_s,
        notes=notes_of(log),
    )


def _send(log: LogFile, kafka: KafkaSettings, say: Say) -> dict[int, int]:
    """Write everything; how many records by partition."""
    outbox = Outbox(kafka.bootstrap, aiokafka_settings(kafka))
    count: Counter[int] = Counter()
    for record in log.records():
        if record.topic == topics.EVENTS:
            count[record.partition] += 1
            if count.total() % SAY_EVERY_RECORDS == 0:
                say(f"{count.total():,} records sent")
        outbox.send(record.topic, record.value, key=record.key, headers=record.headers, partition=record.partition)
    outbox.drain(120.0)
    return dict(count)


def _hand_over(log: LogFile, settings: Settings) -> None:
    """Have score pass over the log's records that name other engines: a later one in `control.v1` names this one."""
    named = engines_named(log)
    if not named:
        return
    ours = Control(
        control_id=f"replay-{engine_version()}",
        action=ENGINE_ACTION,
        artefact_id=engine_version(),
        by="replay",
        reason="all of a recorded log is replayed by one engine",
    )
    for control in (*named, ours):
        control_log.write(settings, control)


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
    with opened(settings.redis) as redis:
        found = Counter(outcome_totals(redis, prefix, partitions))
        for number in range(partitions):
            if (stored := partition_state(redis, prefix, number)) is not None:
                state = msgspec.json.decode(stored, type=PartitionState)
                found["tick"] += state.ticks_count
                found["control"] += state.controls_count
                found["unreadable"] += state.dead_letters_count
    return {name: found[name] for name in OUTCOMES}
