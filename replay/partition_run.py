"""One partition of a recorded log through the step that a worker calls, and who takes what follows."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, cast

from config.settings import ScoreSettings
from detectors.rules.artefact import RuleSet
from detectors.rules.artefact import decode as decode_rules
from detectors.snapshot import Snapshot, content_id
from detectors.snapshot import decode as decode_snapshot
from domain.events import Control
from domain.reject import Reason
from replay.evicted import Evicted
from replay.log_file import RECORDS_AT_ONCE, LogFile
from replay.sources import SourceError
from sinks.batch import Records
from streams.score.columns import TakesColumns
from streams.score.partition import ENGINE_ACTION, Partition, PartitionState
from streams.score.rows import CASE_REASONS, Writer
from streams.score.warmup import compile_kernels
from streams.transport.chunk import Chunk
from streams.worker.process import settle

_COUNTED_AS = {Reason.CONFLICT.value: "conflict", **{reason.value: "refused" for reason in CASE_REASONS}}


class Consumer(Protocol):
    """A receiver of the outputs of one partition, in the process that replays it."""

    def write(self, topic: str, records: Records) -> None:
        """Take the outputs of a topic that follow from some consecutive records of the log.

        Those of an enterprise are in the order of the log, and none that comes later belongs between them.
        """

    def finish(self) -> Any:
        """Return what is to be known of the partition, after the last of them. It must be picklable."""


class ColumnConsumer(Consumer, TakesColumns, Protocol):
    """A consumer that takes scores, indicators and the supervisor's alerts as columns: no JSON is made of them.

    Alerts to banks are then neither made nor counted.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The outcome of one partition's records.

    `outputs`: records by topic; `alerts`: revisions that the supervisor got, "<severity> <state>"; `result`: what its
    consumer has returned.
    """

    partition: int
    records: int
    outcomes: Counter[str]
    outputs: Counter[str]
    alerts: Counter[str]
    busy_s: float = field(compare=False)  # of the process that replayed it
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a replay. `topics`: whose outputs consumers get, None for all; `in_columns`: they take columns."""

    topics: frozenset[str] | None = None
    month_ends_only: bool = False
    in_columns: bool = False
    as_recorded: bool = False
    rules: bytes | None = None  # the artefact in force until the log activates another; None: the packaged one
    records_at_once: int = RECORDS_AT_ONCE  # of a chunk of the log, and so of a piece
    score: ScoreSettings = field(default_factory=ScoreSettings)

    def writer(self, *more: str) -> Writer:
        """Return the writer of the topics' outputs, and of some `more`."""
        topics = None if self.topics is None else self.topics.union(more)
        return Writer(topics, month_ends_only=self.month_ends_only)


class Artefacts:
    """The models and rules that control records may name."""

    def __init__(self, log: LogFile) -> None:
        self._path, self._bodies = log.path, log.artefacts()

    def add(self, name: str, body: bytes) -> None:
        """Add an artefact."""
        self._bodies[name] = body

    def snapshot(self, name: str) -> Snapshot:
        """Return a model. Raise SourceError where the recording lacks it, and SnapshotError where it is none."""
        return decode_snapshot(self._body(name), name)

    def rules(self, name: str) -> RuleSet:
        """Return rules. Raise SourceError where the recording lacks them, and RuleError where they cannot be used."""
        return decode_rules(self._body(name), name)

    def _body(self, name: str) -> bytes:
        if name not in self._bodies:
            raise SourceError(f"{self._path} activates {name}, which the recording does not hold")
        return self._bodies[name]


class Worker:
    """A process that replays partitions. `needs`: topics whose outputs it reads itself, wanted or not."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, log: LogFile, consumer: Callable[[int], Consumer], options: Options, tell: Callable[[int], None]
    ) -> None:
        """`tell` is called with counts of records that were applied."""
        compile_kernels()
        settle()
        self._log, self._consumer, self._options, self._tell = log, consumer, options, tell
        self._artefacts, self._writer = Artefacts(log), options.writer(*self.needs)


class PartitionRun:
    """One partition in memory, and what became of its records so far.

    Partitions of a process that are applied in turns share a `writer`, and how many of their enterprises may be in
    memory: `resident_max` is this one's part of it.
    """

    def __init__(
        self,
        log: LogFile,
        number: int,
        consumer: Consumer,
        options: Options,
        artefacts: Artefacts,
        writer: Writer,
        *,
        resident_max: int | None = None,
        passes_over: Callable[[Control], bool] = lambda _control: False,
    ) -> None:
        self.number = number
        self._log, self._consumer, self._options, self._writer = log, consumer, options, writer
        self._records, self._busy_s = 0, 0.0
        self._outcomes, self._outputs, self._alerts = Counter[str](), Counter[str](), Counter[str]()
        self._evicted = Evicted()
        state = None
        if options.rules is not None:
            artefacts.add(content_id(options.rules), options.rules)
            state = PartitionState(low_offset=0, rules_id=content_id(options.rules))
        self.memory = Partition(
            number,
            artefacts.snapshot,
            state,
            fetch=self._evicted.fetch,
            resident_max=resident_max or options.score.enterprises_resident_max,
            rules_of=artefacts.rules,
            writer=writer,
            passes_over=lambda control: control.action == ENGINE_ACTION or passes_over(control),
        )

    def parts(self) -> Iterator[Chunk]:
        """Yield the records of the partition, for `apply`, some at a time."""
        options = self._options
        chunks = self._log.chunks(self.number, options.records_at_once, as_recorded=options.as_recorded)
        while True:
            with self._busy():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield from chunk.pieces(options.score.batch_records_max)

    def apply(self, part: Chunk) -> None:
        """Apply the next records, and hand on what follows."""
        made = defaultdict[str, list[Records]](list)
        if self._options.in_columns:
            self._writer.in_columns = cast(ColumnConsumer, self._consumer)
        with self._busy():
            for outgoing in self.memory.apply(part):
                for topic, records in outgoing:
                    made[topic].append(records)
                if self.memory.wants_room:
                    self._make_room()
            for topic, some in made.items():
                self._consumer.write(topic, Records.joined(some))
            self._count(len(part))

    def finish(self) -> Replayed:
        """After the last record."""
        with self._busy():
            result = self._consumer.finish()
        return Replayed(
            partition=self.number,
            records=self._records,
            outcomes=self._outcomes,
            outputs=self._outputs,
            alerts=self._alerts,
            busy_s=self._busy_s,
            result=result,
        )

    @contextmanager
    def _busy(self) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self._busy_s += time.perf_counter() - began_s

    def _count(self, records: int) -> None:
        self._records += records
        for (outcome, reason), count in self.memory.take_tally().outcomes.items():
            is_letter = outcome == "dead_lettered"
            self._outcomes[_COUNTED_AS.get(reason, "unreadable") if is_letter else outcome] += count
        outputs, supervised = self._writer.take_counts()
        self._outputs += outputs
        self._alerts += Counter({f"{severity} {state}": count for (severity, state), count in supervised.items()})

    def _make_room(self) -> None:
        if self.memory.make_room():
            return
        rows = self.memory.dirty_rows()
        self._evicted.write(self.memory.take(rows))
        self.memory.written(rows)
        if not self.memory.make_room():
            raise RuntimeError(f"partition {self.number}: no room in memory though all is written")
