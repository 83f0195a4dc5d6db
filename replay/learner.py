"""The learner in the loop of a replay in process: its models take effect right after the tick that closed their month.

So what score says is a function of the log and of the learner's settings alone, and the same at every run, unlike live:
there the model is in force from where ingest happened to write the word. To that end all partitions of a process are
held in memory and go on month by month: each up to the first tick that completes the month at hand. There they wait for
each other; the learner learns the month from what all of them said and read so far, as the role does, and where
a model follows, all take it before their next record. It is as if `[learn] activation` were auto: what the guard holds
does not come into force, nor does a second model within `switch_days_min`; nobody is there to accept one. Models that
learn has made are passed over where the log activates them, by whosever word; others are not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, cast

import msgspec

from config.settings import LearnSettings
from detectors.learning.guard import is_due, judge
from detectors.snapshot import Snapshot, content_id
from domain import topics
from domain.events import Control, Loan, LogEvent, LogRecord, Outcome, Tick
from domain.outputs import Observation
from replay.log_file import LogFile
from replay.partition_run import ColumnConsumer, Consumer, Options, PartitionRun, Replayed, Worker
from replay.processes import Processes
from sinks.batch import Records
from streams.learn.learner import Learned as Made
from streams.learn.learner import Learner
from streams.learn.month_closes import MonthCloses
from streams.learn.passing import telling
from streams.score.columns import AlertColumns, Columns, DispositionColumns
from streams.transport.chunk import Chunk

RECORDS_AT_ONCE = 8_000  # of each partition, all of which are in memory
FIRST = -(2**31)  # before all months
_record = msgspec.json.Decoder(LogRecord).decode
_observation = msgspec.json.Decoder(Observation).decode


class _Trained(msgspec.Struct, frozen=True):
    log_offsets: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The learner's report at the end, and its models that came into force, by id in their order."""

    summary: dict[str, int | float | str]
    models: dict[str, bytes]


@dataclass(slots=True)
class Heard:
    """The outputs of a partition since it was last asked, and those of its events that the learner needs."""

    partition: int
    is_over: bool = False
    events: list[tuple[LogEvent, int]] = field(default_factory=list)
    observations: list[bytes] = field(default_factory=list)


def replay_with_learner(
    log: LogFile,
    numbers: Sequence[int],
    consumer: Callable[[int], Consumer],
    options: Options,
    settings: LearnSettings,
    processes: int,
    moved: Callable[[int], None],
    accepts_all: bool = False,
) -> tuple[dict[int, Replayed], Learned]:
    """Replay some partitions of a log; `moved` is told of records that were applied.

    accepts_all: each candidate comes into force, held or not, as if somebody accepted it at once.
    """
    # Challengers move no score, and would take most of the time.
    learner, models = Learner(msgspec.structs.replace(settings, challengers=()), numbers), dict[str, bytes]()
    switching = _Switching(learner.prior, settings, accepts_all)
    options = replace(options, records_at_once=RECORDS_AT_ONCE)
    with Processes(partial(_Worker, log, consumer, options), min(processes, len(numbers))) as pool:
        everyone = range(pool.count)

        def answers() -> list[Any]:
            values = []
            for answer in pool.answers():
                if answer.ends:
                    values.append(answer.value)
                else:
                    moved(answer.value)
            return values

        def ask(method: str, *arguments: Any) -> list[Any]:
            for process in everyone:
                pool.call(process, method, *arguments)
            return answers()

        for process in everyone:
            pool.call(process, "open", numbers[process :: pool.count])
        answers()
        is_over, month = not numbers, FIRST
        while not is_over:
            for heard in chain.from_iterable(ask("advance", month)):
                _take(learner, heard)
                is_over |= heard.is_over
            while (due := learner.due_month) is not None:
                month = due + 1
                learned = learner.learn(due).learned
                follows = None if learned is None or not settings.publish else switching.next(learned, learner)
                if follows is not None:
                    body = follows.encode()
                    models[content_id(body)] = body
                    ask("activate", content_id(body), body)
        found = {one.partition: one for one in chain.from_iterable(ask("finish"))}
    return found, Learned(summary=learner.summary(), models=models)


class _Switching:
    """Decides on each model as learn does by itself."""

    def __init__(self, prior: Snapshot, settings: LearnSettings, accepts_all: bool) -> None:
        self._in_force, self._settings, self._accepts_all = prior, settings, accepts_all
        self._last_switch_day: int | None = None

    def next(self, learned: Made, learner: Learner) -> Snapshot | None:
        """Return the model that comes into force: a candidate, or the one in force with probabilities made anew.

        What is held is counted.
        """
        if self._takes(learned, learner):
            return learned.snapshot
        anew = learner.calibrated(self._in_force, learned)
        return anew.snapshot if anew is not None and self._takes(anew, learner) else None

    def _takes(self, learned: Made, learner: Learner) -> bool:
        found = judge(
            learned.snapshot,
            self._in_force,
            self._settings,
            newest=learner.newest(learned.month),
            trained_on=learned.calibrated_on,
            drift=learned.drift,
            loss_change_low_micro=learned.loss_change_low_micro,
        )
        learner.counts["held"] += learned.calibrated_on is None and bool(found.reasons)
        if self._accepts_all:
            self._in_force = learned.snapshot
            return True
        if found.reasons:
            return False
        if not is_due(learned.day, self._last_switch_day, self._settings, moves_scores=found.moves_scores):
            return False
        self._in_force = learned.snapshot
        self._last_switch_day = learned.day if found.moves_scores else self._last_switch_day
        return True


def _take(learner: Learner, heard: Heard) -> None:
    for event, offset in heard.events:
        try:
            learner.event(event, heard.partition, offset)
        except ValueError:  # an outcome of a day that is none: the role dead-letters it
            learner.counts["unreadable"] += 1
    for value in heard.observations:
        try:
            learner.ledger.observe(_observation(value), heard.partition)
        except ValueError:  # one that no model may see: the role dead-letters it
            learner.counts["unreadable"] += 1


class _Worker(Worker):
    """Partitions that go on together."""

    needs = (topics.OBSERVATION,)

    def open(self, numbers: Sequence[int]) -> None:
        """Take these."""
        self._open, artefacts = list[_Partition](), self._log.artefacts()
        resident_max = max(1, self._options.score.enterprises_resident_max // max(1, len(numbers)))
        for number in numbers:
            hearing = _Hearing(self._consumer(number), self._options.topics)
            run = PartitionRun(
                self._log,
                number,
                hearing,
                self._options,
                self._artefacts,
                self._writer,
                resident_max=resident_max,
                passes_over=partial(_is_of_learn, artefacts),
            )
            self._open.append(_Partition(run, hearing))

    def advance(self, month: int) -> list[Heard]:
        """Advance each partition to the first tick that completes `month` or a later one, or to its end."""
        found = []
        for partition in self._open:
            moved, heard = partition.advance(month)
            self._tell(moved)
            found.append(heard)
        return found

    def activate(self, name: str, body: bytes) -> None:
        """Another model comes into force."""
        self._artefacts.add(name, body)
        for partition in self._open:
            partition.run.memory.activate(name)

    def finish(self) -> list[Replayed]:
        """Replay the rest of each partition."""
        found = []
        for partition in self._open:
            self._tell(partition.end())
            found.append(partition.run.finish())
        return found


class _Partition:
    """One partition that stops at ticks."""

    def __init__(self, run: PartitionRun, hearing: "_Hearing") -> None:
        self.run = run
        self._hearing, self._closes = hearing, MonthCloses()
        self._parts = self._cut_at_closes()
        self._heard = Heard(run.number)

    def advance(self, month: int) -> tuple[int, Heard]:
        """Return (records applied, outputs since the last call), up to the tick that completes a month."""
        moved = 0
        while not self._heard.is_over and not self._closes.has(month):
            moved += self._go_on()
        heard, self._heard = self._heard, Heard(self.run.number, is_over=self._heard.is_over)
        heard.observations = self._hearing.take_observations()
        return moved, heard

    def end(self) -> int:
        """Apply the rest; how many records."""
        moved = 0
        while not self._heard.is_over:
            moved += self._go_on()
        return moved

    def _go_on(self) -> int:
        found = next(self._parts, None)
        if found is None:
            self._heard.is_over = True
            return 0
        part, closes = found
        self.run.apply(part)
        if closes is not None:
            self._closes.tick(closes, int(part.offset[-1]))
        return len(part)

    def _cut_at_closes(self) -> Iterator[tuple[Chunk, Tick | None]]:
        """Yield the records, cut after each tick that completes a month; what the learner needs of them is noted."""
        for part in self.run.parts():
            first = 0
            for i in telling(part):
                event, offset = _event(part, i), int(part.offset[i])
                if isinstance(event, Tick):
                    if not self._closes.is_told_by(event):
                        continue
                    self._heard.events.append((event, offset))
                    if self._closes.is_closed_by(event):
                        yield part.part(first, i + 1), event
                        first = i + 1
                    else:
                        self._closes.tick(event, offset)
                elif isinstance(event, Loan | Outcome):
                    self._heard.events.append((event, offset))
            if first < len(part):
                yield part.part(first, len(part)), None


class _Hearing:
    """A consumer that keeps observations for the learner, and hands on what is wanted."""

    def __init__(self, inner: Consumer, wanted: frozenset[str] | None) -> None:
        self._inner, self._wanted = inner, wanted
        self._observations: list[bytes] = []

    def write(self, topic: str, records: Records) -> None:
        """Take in outputs, as a Consumer does."""
        if topic == topics.OBSERVATION:
            self._observations += [value or b"" for _, value in records]
        if self._wanted is None or topic in self._wanted:
            self._inner.write(topic, records)

    def take(self, columns: Columns) -> None:
        """Take in columns, as a ColumnConsumer does."""
        cast(ColumnConsumer, self._inner).take(columns)

    def take_alerts(self, columns: AlertColumns) -> None:
        """As ColumnConsumer."""
        cast(ColumnConsumer, self._inner).take_alerts(columns)

    def take_dispositions(self, columns: DispositionColumns) -> None:
        """As ColumnConsumer."""
        cast(ColumnConsumer, self._inner).take_dispositions(columns)

    def finish(self) -> Any:
        """Return the result, as a Consumer does."""
        return self._inner.finish()

    def take_observations(self) -> list[bytes]:
        """Return the observations since the last call."""
        taken, self._observations = self._observations, []
        return taken


def _is_of_learn(artefacts: Mapping[str, bytes], control: Control) -> bool:
    """Return whether a record activates a model that learn has made, or did so by learn's own word."""
    if control.action != "activate" or control.artefact != "model":
        return False
    body = artefacts.get(control.artefact_id or "", b"{}")
    try:
        return control.is_of_learn or bool(msgspec.json.decode(body, type=_Trained).log_offsets)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # score refuses it by name


def _event(part: Chunk, i: int) -> LogEvent | None:
    try:
        return _record(part.value(i) or b"").event
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # score dead-letters it
