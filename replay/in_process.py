"""A recorded log through score in this process, or a process a core, without Kafka and Redis: partition by partition.

The same chunks go into the same step as in a worker (streams/score/partition.py), so the outputs are the same bytes. As
in a worker, at most so many enterprises are in memory; the others wait in replay/evicted.py.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from config.settings import ScoreSettings
from detectors.prior import prior_id
from detectors.rules.artefact import RuleSet, packaged_rules
from detectors.rules.artefact import decode as decode_rules
from detectors.snapshot import Snapshot
from detectors.snapshot import decode as decode_snapshot
from domain import topics
from replay.evicted import Evicted
from replay.kept import Kept
from replay.log_file import LogFile
from replay.processes import Processes
from replay.sources import SourceError
from sinks.batch import Records
from streams.process import settle
from streams.role import TP
from streams.score.partition import EngineVersionChanged, Partition
from streams.score.rows import Writer
from streams.score.version import engine_version
from streams.score.warmup import compile_kernels
from streams.transport.chunk import Chunk

OUTCOMES = ("applied", "duplicate", "conflict", "late", "tick", "control", "unreadable")
RECORDS_A_PROCESS = 200_000  # at least, before it is worth starting another
SAY_S = 1.0
Say = Callable[[str], None]


class Consumer(Protocol):
    """What takes the outputs of one partition, in the process that replays it."""

    def write(self, topic: str, records: Records) -> None:
        """Take the outputs of a topic that follow from some consecutive records of the log.

        Those of an enterprise are in the order of the log, and none that comes later belongs between them.
        """

    def finish(self) -> Any:
        """After the last of them: what is to be known of the partition. It must be picklable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of one partition's records.

    `outputs`: records by topic; `alerts`: revisions that the supervisor got, "<severity> <state>"; `result`: what its
    consumer has returned.
    """

    partition: int
    records: int
    outcomes: Counter[str]
    outputs: Counter[str]
    alerts: Counter[str]
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a replay gave, as `Replayed` of all partitions together.

    `outcomes`: records by what score made of each; `results`: of the consumers, by partition.
    """

    records: int
    outcomes: dict[str, int]
    outputs: dict[str, int]
    alerts: dict[str, int]
    results: dict[int, Any]
    wall_s: float


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
    keep: Kept | None = None,
    say: Say = lambda _text: None,
) -> Report:
    """Replay all of a log; SourceError, EngineVersionChanged where the log demands another engine.

    `consumer` makes what takes the outputs of a partition, in the process that replays it, so it must be picklable
    where there are several `processes` (None: one a core,
    where there is enough for it). It gets the outputs of `topics` (None: of all); others are
    counted, and not made. `month_ends_only`: of `indicator.v1` it gets only those of a month's last day.
    `as_recorded`: records keep the offsets that they had, else each partition counts from 0, as a fresh topic does.
    `keep`: what each finished partition came to is kept there, and a partition that is found there is not replayed.

    What a backfill holds back goes to `backfill.alert.v1`, as the supervisor would have got it; what is still open at
    its end is raised again then, as stock.
    """
    began_s = said_s = time.monotonic()
    options = Options(
        topics=None if topics is None else frozenset(topics), month_ends_only=month_ends_only, as_recorded=as_recorded
    )
    counts = log.record_counts()
    found: dict[int, Replayed] = keep.found() if keep else {}
    moved, total = sum(one.records for one in found.values()), sum(counts.values())
    demand_what_it_names(log)
    wanted = sorted((n for n, count in counts.items() if count and n not in found), key=counts.__getitem__)
    of_use = processes or min(cores(), 1 + sum(map(counts.__getitem__, wanted)) // RECORDS_A_PROCESS)
    with Processes(partial(_Worker, log, consumer, options), min(of_use, len(wanted))) as pool:
        for process in range(min(pool.count, len(wanted))):
            pool.call(process, "replay", wanted.pop())  # the largest first
        for answer in pool.answers():
            if answer.ends:
                found[answer.value.partition] = answer.value
                if keep:
                    keep.keep(answer.value.partition, answer.value)
                if wanted:
                    pool.call(answer.process, "replay", wanted.pop())
            else:
                moved += answer.value
            if time.monotonic() - said_s > SAY_S:
                said_s = time.monotonic()
                say(f"{moved:,} of {total:,} records applied")
    return _report(found, time.monotonic() - began_s)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


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
        told_s, moved = time.monotonic(), 0
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
            alerts=run.alerts,
            result=consumer.finish(),
        )

    def _snapshot(self, model_id: str) -> Snapshot:
        return decode_snapshot(self._body(model_id), model_id)

    def _rules(self, rules_id: str) -> RuleSet:
        return decode_rules(self._body(rules_id), rules_id)

    def _body(self, name: str) -> bytes:
        if name not in self._artefacts:
            raise SourceError(f"{self._log.path} activates {name}, which the recording does not hold")
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

    @property
    def alerts(self) -> Counter[str]:
        """Revisions that the supervisor got, "<severity> <state>"."""
        return Counter({f"{severity} {state}": n for (severity, state), n in self._writer.supervised.items()})

    def apply(self, chunk: Chunk, consumer: Consumer) -> None:
        """Apply the next records, and hand on what follows."""
        made = defaultdict[str, list[Records]](list)
        for outgoing in self._memory.apply(chunk):
            for topic, records in outgoing:
                made[topic].append(records)
            if self._memory.wants_room:
                self._make_room()
        for topic, some in made.items():
            consumer.write(topic, Records.joined(some))
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


def _report(found: dict[int, Replayed], wall_s: float) -> Report:
    outcomes, outputs, alerts = Counter[str](), Counter[str](), Counter[str]()
    for one in found.values():
        outcomes += one.outcomes
        outputs += one.outputs
        alerts += one.alerts
    return Report(
        records=sum(one.records for one in found.values()),
        outcomes={name: outcomes[name] for name in OUTCOMES},
        outputs=dict(sorted(outputs.items())),
        alerts=dict(sorted(alerts.items())),
        results={number: found[number].result for number in sorted(found)},
        wall_s=wall_s,
    )


def demand_what_it_names(log: LogFile) -> None:
    """Look at the control records before anything is replayed: each is in every partition, so the smallest will do.

    SourceError where one activates an artefact that the recording does not hold; EngineVersionChanged.
    """
    counts = {number: count for number, count in log.record_counts().items() if count}
    if not counts:
        return
    number, artefacts = min(counts, key=counts.__getitem__), log.artefacts()
    for offset, control in log.controls(number):
        where = f"{log.path}: {topics.EVENTS}[{number}], offset {offset}"
        if control.action == "engine_version" and control.artefact_id != engine_version():
            raise EngineVersionChanged(
                f"{where}: the log goes on under engine {control.artefact_id}, this is {engine_version()}"
            )
        known = {"model": prior_id(), "rules": packaged_rules().id}.get(control.artefact or "")
        name = control.artefact_id or known
        if control.action == "activate" and known and name != known and name not in artefacts:
            raise SourceError(f"{where} activates {control.artefact} {name}, which the recording does not hold")


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
