"""One partition of the log, in memory: pure, so that live, replay and test call the same step.

`apply` takes a chunk of `events.v1` and yields the records that follow from it; nothing else influences them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.prior import prior_id, prior_snapshot
from detectors.rules.artefact import RuleSet, packaged_rules
from detectors.rules.claim import deadlines_of
from detectors.rules.conditions import RuleError
from detectors.rules.program import UNKNOWN_BAND, Rules
from detectors.scorecard import Scorecard, probabilities_ppm, scorecard
from detectors.snapshot import Snapshot, SnapshotError
from domain.calendar import day_of
from domain.events import Control, Feed
from domain.reject import Reason
from domain.topics import EVENTS
from features import layout
from features.row_cache import LACKING_MAX, Numbers, RowCache
from features.state import buckets, dedup
from features.state.case_views import UNKNOWN
from features.table import ABSENT
from features.values import Value
from sinks.telemetry import Outcome
from streams.dead_letters import to_dead_letters
from streams.score import outputs_json
from streams.score.due import TickIndex, feeds_of
from streams.score.loop import apply_records, change_rules, close_days, restate_open
from streams.score.records import Barrier, Run, Unreadable, decode
from streams.score.rows import CASE_REASONS, InForce, Outgoing, Writer
from streams.score.version import engine_version
from streams.transport import Chunk

log = logging.getLogger("xinliu.score")
NEVER = -(2**31)
ENGINE_ACTION: Final = "engine_version"  # of control records that name an engine
UNNAMED = "unnamed"  # in place of an engine, where a control record names none
_SWEEP_ENTERPRISES = 512  # some ms, where each closes a day or two
_OUTCOMES: tuple[tuple[Outcome, str], ...] = (  # as outbook counts them
    ("already_held", ""), ("applied", ""), ("duplicate", ""), ("dead_lettered", Reason.CONFLICT.value), ("late", ""),
    *(("dead_lettered", reason.value) for reason in CASE_REASONS),
)  # fmt: skip


class Engine(NamedTuple):
    """The artefacts in force as the loop evaluates with them."""

    card: Scorecard
    rules: Rules
    closes_to_lower: int
    emit_moves: bool
    emit_step_milli: int
    model_changed_day: int  # the last on which a model came into force that moves scores; NEVER: none has
    deadlines: npt.NDArray[np.int32]  # of cases (detectors.rules.claim.deadlines_of)


class PartitionState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a partition beside its enterprises, as of `low_offset`: everything before it is applied and sent."""

    low_offset: int
    up_to: int = -1
    feeds: dict[str, Feed] = {}
    unlooked: list[str] | None = None
    """The enterprises with a record since the last tick; None: too many to name, so the next tick looks at all."""
    model_id: str = ""  # empty: the prior
    rules_id: str = ""  # empty: those packaged with the engine
    model_changed_day: int = NEVER  # the newest one on which a model came into force that moves scores
    backfill: bool = False
    ticks_count: int = 0
    controls_count: int = 0
    dead_letters_count: int = 0
    engine_version: str = ""  # whose state this is; empty: of an engine that did not say so
    next_engine: str = ""  # set where the record at `low_offset` hands the partition to this engine


Fetch = Callable[[Sequence[str]], Sequence[Value]]
"""The values of some enterprises that have one, as Redis holds them under the owner's fence."""


class Tally(NamedTuple):
    """Counts since they were last taken: records by (outcome, reason), outputs and days as `rows.Writer` has them."""

    outcomes: Counter[tuple[Outcome, str]]
    written: Counter[tuple[str, str, str]]
    days_closed: Counter[bool]  # by whether a model that moves scores has come into force within 30 days


class EngineVersionChanged(Exception):
    """The log goes on under another engine, so this one must not. `control_id`: of the record that says so."""

    def __init__(self, what: str, control_id: str = "") -> None:
        super().__init__(what)
        self.control_id = control_id


def _nothing_stored(names: Sequence[str]) -> Sequence[Value]:
    raise LookupError(f"nothing is stored of {names}")


def _nothing(_control: Control) -> bool:
    return False


def _no_rules(rules_id: str) -> RuleSet:
    raise LookupError(f"nothing brings rules {rules_id}")


class Partition:
    """The enterprises of one partition, and the artefacts in force in it.

    snapshot_of, rules_of: return a model or rules by content id, when a control record activates it. fetch: returns the
    stored values of some of `names`, the enterprises that have one. resident_max: most enterprises in memory; where
    `wants_room` is true, `apply` cannot go on before some of them are flushed or evicted. writer: may be shared with
    other partitions, whose tallies are taken before this one is applied. passes_over: returns whether to count a
    control record and ignore it.
    """

    def __init__(
        self,
        number: int,
        snapshot_of: Callable[[str], Snapshot],
        state: PartitionState | None = None,
        *,
        names: Sequence[bytes] = (),
        fetch: Fetch = _nothing_stored,
        resident_max: int = 2**31 - 1,
        rules_of: Callable[[str], RuleSet] = _no_rules,
        writer: Writer | None = None,
        passes_over: Callable[[Control], bool] = _nothing,
    ) -> None:
        self.number = number
        self._now = msgspec.structs.replace(state or PartitionState(low_offset=0), engine_version=engine_version())
        self._snapshot_of, self._rules_of, self._fetch = snapshot_of, rules_of, fetch
        self._passes_over = passes_over
        self.residents = RowCache(names, resident_max)
        self._tick_index = TickIndex(self.residents, self._now.up_to, self._now.feeds, self._now.unlooked)
        self._wanted = 0
        self._writer = writer or Writer()
        self._book = self._writer.book
        self.rules = self._row_rules = self._rules(self._now.rules_id)
        self.model_id = ""
        self._snapshot: Snapshot  # in force
        self._barriers: Counter[tuple[Outcome, str]] = Counter()  # and what could not be read
        self._activate(self._now.model_id)
        self._keep_ids()

    @property
    def state(self) -> layout.Rows:
        """Rows of the enterprises in memory, dtype features.layout.ROW."""
        return self.residents.state

    @property
    def low_offset(self) -> int:
        """Offset before which everything is applied."""
        return self._now.low_offset

    @property
    def up_to(self) -> int:
        """Event time of the newest tick, in ms; -1 before the first."""
        return self._now.up_to

    @property
    def backfill(self) -> bool:
        """Whether a backfill is under way."""
        return self._now.backfill

    @property
    def next_engine(self) -> str:
        """Engine that the record at `low_offset` hands the partition to, so that no more is applied; else empty."""
        return self._now.next_engine

    @property
    def saved(self) -> PartitionState:
        """State of the partition, complete only between two calls of `apply`."""
        return msgspec.structs.replace(self._now, unlooked=self._tick_index.names())

    def apply(self, chunk: Chunk) -> Iterator[list[Outgoing]]:
        """Apply a chunk; yield its outputs some ms of work at a time, an enterprise's in the order of (offset, seq).

        Where `wants_room` is true after a slice, `make_room` must have returned True before the next slice is asked
        for.

        Raise EngineVersionChanged at a control record that names another engine, and what `fetch` raises. Everything
        before that record is applied then, and `low_offset` is its offset.
        """
        for step in decode(chunk):
            if isinstance(step, Barrier):
                yield from self._apply_barrier(step, chunk)
            elif isinstance(step, Unreadable):
                yield self._dead_letter(step, chunk)
            else:
                yield from self._apply_records(step, chunk)
        self._now = msgspec.structs.replace(self._now, low_offset=chunk.next_offset)

    def activate(self, model_id: str) -> None:
        """Bring a model into force from the next record on, as if a control record said so here.

        Raise SnapshotError where it cannot be scored with.
        """
        self._activate(model_id)
        self._keep_ids()

    @property
    def wants_room(self) -> bool:
        """Whether enterprises must leave memory before `apply` can go on."""
        return self._wanted > 0 and self.residents.rows_to_evict(self._wanted) > 0

    def make_room(self) -> bool:
        """Evict enterprises that Redis holds as they are; return False where others must be flushed first.

        Everything applied so far may be flushed then: no enterprise is half closed where room is wanted.
        """
        return self.residents.evict(self.residents.rows_to_evict(self._wanted))

    def dirty_rows(self) -> npt.NDArray[np.int64]:
        """Return the rows whose value in Redis is behind, int64 (n,)."""
        return self.residents.dirty_rows()

    def values(self, rows: npt.NDArray[np.int64]) -> list[tuple[str, Value]]:
        """Return (enterprise id, value) of each row."""
        return self.residents.values(rows)

    def take(self, rows: npt.NDArray[np.int64]) -> list[tuple[str, Value]]:
        """Return for each row (enterprise id, the parts that Redis lacks), for a flush; `written` confirms it.

        None of them is half closed: a restart would close the rest again.
        """
        assert not self.state["sweep_seq"][rows].any()
        return self.residents.take(rows)

    def written(self, rows: npt.NDArray[np.int64]) -> None:
        """Note that Redis holds these rows as they were taken."""
        self.residents.written(rows)

    def take_tally(self) -> Tally:
        """Return the outcomes of the records since the last call."""
        taken = Tally(self._barriers, self._writer.written, self._writer.days_closed)
        for outcome, records in zip(_OUTCOMES, self._book.tally.tolist(), strict=True):
            if records:
                taken.outcomes[outcome] += records
        self._barriers, self._writer.written, self._writer.days_closed = Counter(), Counter(), Counter()
        self._book.tally[:] = 0
        return taken

    def _dead_letter(self, unreadable: Unreadable, chunk: Chunk) -> list[Outgoing]:
        (letter,) = to_dead_letters(chunk, [unreadable.row], [unreadable.why])
        self._barriers["dead_lettered", unreadable.why.reason.value] += 1
        self._now = msgspec.structs.replace(self._now, dead_letters_count=self._now.dead_letters_count + 1)
        return self._writer.dead_letter(letter)

    def _apply_records(self, run: Run, chunk: Chunk) -> Iterator[list[Outgoing]]:
        residents, end = self.residents, 0
        while end < len(run.records):
            numbers, lacking = residents.begin_run(run.records["key"], end)
            records, end = run.records[end : end + len(numbers)], end + len(numbers)
            yield from self._bring(lacking)
            self._tick_index.changed(numbers)
            numbered = int(np.count_nonzero(records["number"] != dedup.NO_NUMBER))
            residents.make_room_to_remember(len(records) - numbered, numbered)
            rows, first = residents.rows_of(numbers), 0
            residents.handed(rows)
            # One enterprise after the other: its state comes from memory to the core once, not for each record.
            order = np.argsort(rows, kind="stable")
            while first < len(records):
                first = apply_records(
                    self.state, residents.arena, rows, records, order, run.lines, first, self._engine, self._book
                )
                yield self._written(chunk, records["row"])

    def _bring(self, numbers: Numbers) -> Iterator[list[Outgoing]]:
        """Bring enterprises into memory, once there is room; this makes no output."""
        if not len(numbers):
            return
        self._wanted = len(numbers)
        if self.wants_room:
            yield []
            assert not self.wants_room, "make_room was not called"
        self._wanted = 0
        stored = self.residents.rows_of(numbers) == ABSENT
        if stored.any():
            names = self.residents.names_of(numbers[stored])
            self.residents.restore(numbers[stored], names, self._fetch(names))
        self.residents.add(numbers[~stored])

    def _apply_barrier(self, barrier: Barrier, chunk: Chunk) -> Iterator[list[Outgoing]]:
        event = barrier.event
        if isinstance(event, Control):
            passed_over = self._passes_over(event)
            if not passed_over and event.action == ENGINE_ACTION and event.artefact_id != engine_version():
                self._end_at(barrier.offset, event)
            self._barriers["control", ""] += 1
            if passed_over:
                self._now = msgspec.structs.replace(self._now, controls_count=self._now.controls_count + 1)
            else:
                yield from self._apply_control(barrier.offset, event, chunk)
            return
        self._barriers["tick", ""] += 1
        # Feeds move while event time stands: a receipt closes a bank's day under the same `up_to`.
        repeat = (event.up_to, event.feeds) == (self._now.up_to, self._now.feeds) or event.up_to < self._now.up_to
        self._now = msgspec.structs.replace(
            self._now,
            ticks_count=self._now.ticks_count + 1,
            up_to=max(event.up_to, self._now.up_to),
            feeds=self._now.feeds if repeat else event.feeds,
        )
        if not repeat:
            feeds, day, backfill = feeds_of(event.feeds), day_of(event.up_to), self._now.backfill
            yield from self._sweep(
                chunk,
                self._tick_index.affected(day, feeds),
                lambda rows, first: close_days(
                    self.state, rows, first, barrier.offset, day, feeds, backfill, self._engine, self._book
                ),
            )

    def _end_at(self, offset: int, control: Control) -> NoReturn:
        next_engine = control.artefact_id or UNNAMED
        self._now = msgspec.structs.replace(self._now, low_offset=offset, next_engine=next_engine)
        raise EngineVersionChanged(
            f"{EVENTS}[{self.number}], offset {offset}: the log goes on under engine {next_engine}, "
            f"this is {engine_version()}",
            control.control_id,
        )

    def _apply_control(self, offset: int, control: Control, chunk: Chunk) -> Iterator[list[Outgoing]]:
        if control.action == "activate" and control.artefact == "model":
            try:
                self._activate(control.artefact_id or "")
            except SnapshotError as refusal:  # its content, so every reader of the log refuses it here
                log.error("control %s at offset %d: %s; %s stays", control.control_id, offset, refusal, self.model_id)
        if control.action == "activate" and control.artefact == "rules":
            yield from self._change_rules(offset, control, chunk)
        ends_backfill = control.action == "backfill_close" and self._now.backfill
        self._now = msgspec.structs.replace(
            self._now,
            controls_count=self._now.controls_count + 1,
            backfill=control.action == "backfill_open" or (self._now.backfill and not ends_backfill),
        )
        self._keep_ids()
        if ends_backfill:
            yield from self._sweep(
                chunk,
                np.arange(self.residents.known, dtype=np.int32),
                lambda rows, first: restate_open(self.state, rows, first, offset, self._engine, self._book),
            )

    def _change_rules(self, offset: int, control: Control, chunk: Chunk) -> Iterator[list[Outgoing]]:
        """Bring other rules into force. Rules that cannot be used are logged by name, and those before stay."""
        before = self.rules
        try:
            after = self._rules(control.artefact_id or "")
        except RuleError as refusal:  # their content, so every reader of the log refuses them here
            log.error("control %s at offset %d: %s; %s stay", control.control_id, offset, refusal, before.id)
            return
        self.rules = after
        self._arm(self._engine.card, self._engine.model_changed_day)
        self.residents.write(
            band=UNKNOWN_BAND, lender_band=UNKNOWN_BAND, lender_due_day=UNKNOWN_BAND, case_rises_at=UNKNOWN
        )
        if set(before.programs.key.tolist()) - set(after.programs.key.tolist()):
            yield from self._sweep(
                chunk,
                np.arange(self.residents.known, dtype=np.int32),
                lambda rows, first: change_rules(
                    self.state, rows, first, offset, before.programs, after.programs, self._book
                ),
            )
        self._row_rules = after

    def _keep_ids(self) -> None:
        """Put the model and rules in force into the state, packaged ones too: the next engine may package others."""
        self._now = msgspec.structs.replace(
            self._now,
            model_id=self.model_id,
            rules_id=self.rules.id,
            model_changed_day=self._engine.model_changed_day,
        )

    def _rules(self, rules_id: str) -> RuleSet:
        packaged = packaged_rules()
        return packaged if rules_id in ("", packaged.id) else self._rules_of(rules_id)

    def _sweep(self, chunk: Chunk, numbers: Numbers, sweep: Callable[[Numbers, int], int]) -> Iterator[list[Outgoing]]:
        """Sweep over enterprises in slices: those in memory first, so that none is evicted before its turn."""
        residents = self.residents
        residents.begin_sweep()
        absent = residents.rows_of(numbers) == ABSENT
        for some in _pieces(numbers[~absent], _SWEEP_ENTERPRISES):
            yield from self._swept(chunk, some, sweep)
        for some in _pieces(numbers[absent], min(LACKING_MAX, residents.resident_max)):
            yield from self._bring(some)
            yield from self._swept(chunk, some, sweep)

    def _swept(self, chunk: Chunk, numbers: Numbers, sweep: Callable[[Numbers, int], int]) -> Iterator[list[Outgoing]]:
        """Sweep over enterprises in memory. A full book interrupts it, perhaps within an enterprise."""
        rows, first = self.residents.rows_of(numbers), 0
        self.residents.handed(rows)
        while first < len(rows):
            first = sweep(rows, first)
            yield self._written(chunk, ())
        self._tick_index.note(numbers)

    def _activate(self, model_id: str) -> None:
        snapshot = prior_snapshot() if model_id in ("", prior_id()) else self._snapshot_of(model_id)
        try:
            card = scorecard(snapshot)
        except SnapshotError as refusal:
            raise SnapshotError(f"model {model_id}: {refusal}") from refusal
        moves_scores = bool(self.model_id) and not snapshot.scores_as(self._snapshot)
        changed_day = day_of(self._now.up_to) if moves_scores else self._now.model_changed_day
        self.model_id = model_id or prior_id()
        self._snapshot, self._probability_ppm = snapshot, probabilities_ppm(snapshot)
        self._arm(card, changed_day)

    def _arm(self, card: Scorecard, model_changed_day: int) -> None:
        """Evaluate with this card and the rules in force from now on; look at what no transaction moves, too."""
        self.residents.write(evaluated_day=buckets.NO_UNIT)
        self._engine = engine_of(card, self.rules, model_changed_day)
        self._terms = outputs_json.terms(self._snapshot, card, self.model_id, self.rules.id, engine_version())

    def _written(self, chunk: Chunk, row_of: Any) -> list[Outgoing]:
        if not self._book.used[0]:
            return []
        in_force = InForce(
            model_id=self.model_id,
            probability_ppm=self._probability_ppm,
            rules_id=self.rules.id,
            rules=self._row_rules,
            backfill=self._now.backfill,
            terms=self._terms,
        )
        return self._writer.outgoing(self.state["id"], in_force, chunk, row_of)


def engine_of(card: Scorecard, rules: RuleSet, model_changed_day: int) -> Engine:
    """Return the engine of a model and rules.

    Its arrays have the same types for all of them, so nothing is compiled anew.
    """
    return Engine(
        card=card,
        rules=rules.programs,
        closes_to_lower=rules.closes_to_lower,
        emit_moves=rules.emission.mode == "move",
        emit_step_milli=rules.emission.step_milli,
        model_changed_day=model_changed_day,
        deadlines=deadlines_of(None if rules.case is None else rules.case.deadlines),
    )


def _pieces(numbers: Numbers, size: int) -> Iterator[Numbers]:
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]
