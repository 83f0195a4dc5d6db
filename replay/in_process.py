"""A recorded log through score in this process, or a process a core, without Kafka and Redis: partition by partition.

The same chunks go into the same step as in a worker (streams/score/partition.py), so the outputs are the same bytes. As
in a worker, at most so many enterprises are in memory; the others wait in replay/evicted.py.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from config.settings import ScoreSettings
from detectors.rules.artefact import RuleSet
from detectors.rules.artefact import decode as decode_rules
from detectors.snapshot import Snapshot
from detectors.snapshot import decode as decode_snapshot
from domain import topics
from replay.evicted import Evicted
from replay.log_file import LogFile
from replay.processes import Processes
from replay.sources import SourceError
from sinks.batch import Records
from streams.process import settle
from streams.role import TP
from streams.score.partition import Partition
from streams.score.rows import Writer
from streams.score.version import engine_version
from streams.score.warmup import compile_kernels
from streams.transport.chunk import Chunk

OUTCOMES = ("applied", "duplicate", "conflict", "late", "tick", "control", "unreadable")
SAY_S = 1.0
Say = Callable[[str], None]


class Consumer(Protocol):
    """What takes the outputs of one partition, in the process that replays it."""

    def write(self, topic: str, records: Records) -> None:
        """Take some outputs of a topic. They come in the order of the log within each enterprise."""

    def finish(self) -> Any:
        """After the last of them: what is to be known of the partition. It must be picklable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of one partition's records. `outputs`: records by topic; `result`: what its consumer has returned."""

    partition: int
    records: int
    outcomes: Counter[str]
    outputs: Counter[str]
    result: Any
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a replay gave. `outcomes`: records by what score made of each; `results`: of the consumers, by partition."""

    engine_version: str
    recorded_by: str  # engine version
    records: int
    outcomes: dict[str, int]
    outputs: dict[str, int]  # records by topic
    results: dict[int, Any]
    wall_s: float
    notes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a log is replayed. `topics`: whose outputs consumers get; None: all."""

    topics: frozenset[str] | None = None
    month_ends_only: bool = False
    as_recorded: bool = False
    score: ScoreSettings = field(default_factory=ScoreSettings)


def replay(
    log: LogFile,
    *,
    consumer: Callable[[int], Consumer],
    processes: int | None = None,
    topics: Collection[str] | None = None,
    month_ends_only: bool = False,
    as_recorded: bool = False,
    say: Say = lambda _text: None,
) -> Report:
    """Replay all of a log; SourceError, EngineVersionChanged where the log demands another engine.

    `consumer` makes what takes the outputs of a partition, in the process that replays it, so it must be picklable
    where there are several `processes` (None: one a core). It gets the outputs of `topics` (None: of all); others are
    counted, and not made. `month_ends_only`: of `indicator.v1` it gets only those of a month's last day.
    `as_recorded`: records keep the offsets that they had, else each partition counts from 0, as a fresh topic does.

    What a backfill holds back goes to `backfill.alert.v1`, as the supervisor would have got it; what is still open at
    its end is raised again then, as stock.
    """
    began_s = time.monotonic()
    counts = log.record_counts()
    wanted = sorted((number for number, count in counts.items() if count), key=counts.__getitem__, reverse=True)
    options = Options(
        topics=None if topics is None else frozenset(topics), month_ends_only=month_ends_only, as_recorded=as_recorded
    )
    found: dict[int, Replayed] = {}
    said_s, moved, total = began_s, 0, sum(counts.values())
    count = min(processes or len(os.sched_getaffinity(0)), max(1, len(wanted)))
    with Processes(partial(_Worker, log, consumer, options), count) as pool:
        waiting = iter(wanted)
        for process, partition in zip(range(pool.count), waiting, strict=False):
            pool.call(process, "replay", partition)
        for answer in pool.answers():
            if answer.ends:
                found[answer.value.partition] = answer.value
                if (number := next(waiting, None)) is not None:
                    pool.call(answer.process, "replay", number)
            else:
                moved += answer.value
            if time.monotonic() - said_s > SAY_S:
                said_s = time.monotonic()
                say(f"{moved:,} of {total:,} records applied, {len(found)} of {len(wanted)} partitions done")
    return _report(log, found, as_recorded=as_recorded, wall_s=time.monotonic() - began_s)


class _Worker:
    """Replays partitions, one after the other, in its process."""

    def __init__(
        self, log: LogFile, consumer: Callable[[int], Consumer], options: Options, tell: Callable[[int], None]
    ) -> None:
        compile_kernels()
        settle()
        self._log, self._consumer, self._options, self._tell = log, consumer, options, tell
        self._artefacts = log.artefacts()

    def replay(self, number: int) -> Replayed:
        """All of one partition."""
        began_s, told_s, moved = time.monotonic(), time.monotonic(), 0
        run = PartitionRun(number, self._snapshot, self._rules, self._options)
        consumer = self._consumer(number)
        for chunk in self._log.chunks(number, as_recorded=self._options.as_recorded):
            for part in chunk.pieces(self._options.score.batch_records_max):
                run.apply(part, consumer)
                moved += len(part)
                if time.monotonic() - told_s > SAY_S:
                    self._tell(moved)
                    told_s, moved = time.monotonic(), 0
        self._tell(moved)
        return Replayed(
            partition=number,
            records=run.records,
            outcomes=run.outcomes,
            outputs=+run.outputs,
            result=consumer.finish(),
            seconds=time.monotonic() - began_s,
        )

    def _snapshot(self, model_id: str) -> Snapshot:
        return decode_snapshot(self._body(model_id), model_id)

    def _rules(self, rules_id: str) -> RuleSet:
        return decode_rules(self._body(rules_id), rules_id)

    def _body(self, name: str) -> bytes:
        if name not in self._artefacts:
            raise SourceError(f"the log activates artefact {name}, which the recording does not hold")
        return self._artefacts[name]


@dataclass(slots=True)
class PartitionRun:
    """One partition of a log in memory, and what became of its records so far."""

    number: int
    snapshot_of: Callable[[str], Snapshot]
    rules_of: Callable[[str], RuleSet]
    options: Options
    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    _writer: Writer = field(init=False)
    _memory: Partition = field(init=False)
    _evicted: Evicted = field(default_factory=Evicted)

    def __post_init__(self) -> None:
        self._writer = Writer(self.options.topics, month_ends_only=self.options.month_ends_only)
        self._memory = Partition(
            self.number,
            self.snapshot_of,
            fetch=self._evicted.fetch,
            resident_max=self.options.score.enterprises_resident_max,
            rules_of=self.rules_of,
            writer=self._writer,
        )

    @property
    def outputs(self) -> Counter[str]:
        """By topic, whether anybody gets them or not."""
        return self._writer.outputs

    def apply(self, chunk: Chunk, consumer: Consumer) -> None:
        """Apply the next records, and hand on what follows."""
        for outgoing in self._memory.apply(chunk):
            for topic, records in outgoing:
                consumer.write(topic, records)
            if self._memory.wants_room:
                self._make_room()
        self.records += len(chunk)
        for (outcome, reason), count in self._memory.take_tally().outcomes.items():
            is_letter = outcome == "dead_lettered"
            self.outcomes[("conflict" if reason == "conflict" else "unreadable") if is_letter else outcome] += count

    def _make_room(self) -> None:
        memory = self._memory
        if memory.make_room():
            return
        rows = memory.dirty_rows()
        self._evicted.write(memory.take(rows))
        memory.written(rows)
        if not memory.make_room():
            raise RuntimeError(f"partition {self.number}: no room in memory though all is written")


def _report(log: LogFile, found: dict[int, Replayed], *, as_recorded: bool, wall_s: float) -> Report:
    outcomes, outputs = Counter[str](), Counter[str]()
    for one in found.values():
        outcomes += one.outcomes
        outputs += one.outputs
    ours, theirs = engine_version(), log.head.engine_version
    return Report(
        engine_version=ours,
        recorded_by=theirs,
        records=sum(one.records for one in found.values()),
        outcomes={name: outcomes[name] for name in OUTCOMES},
        outputs=dict(sorted(outputs.items())),
        results={number: found[number].result for number in sorted(found)},
        wall_s=wall_s,
        notes=notes_of(log),
    )


def notes_of(log: LogFile) -> list[str]:
    """What is to be known of a log beside its records."""
    ours, theirs = engine_version(), log.head.engine_version
    found = [
        f"{TP(topics.EVENTS, number)} begins at offset {offset}: what stood before it is not in the recording"
        for number in range(log.head.partitions)
        if (offset := log.first_offset(number))
    ]
    if ours != theirs:
        found.append(f"recorded by engine {theirs}, this is {ours}: other outputs than then may follow")
    return found
