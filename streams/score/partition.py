"""One partition of the log, in memory: pure, so that live, replay and test call the same step.

`apply` takes a chunk of `events.v1` and gives the messages that follow from it; nothing else influences them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from config.catalogue import spring_festivals
from config.kernel_cache import engine_version
from detectors.prior import prior_id, prior_snapshot
from detectors.rules.artefact import RuleSet, packaged_rules
from detectors.rules.program import Rules
from detectors.scorecard import Scorecard, probabilities_ppm, scorecard
from detectors.snapshot import Snapshot, SnapshotError
from domain import topics
from domain.calendar import day_of
from domain.events import Control, Feed, Tick
from domain.reject import Reason
from features import layout, table, values
from features.state import dedup
from features.values import Value
from sinks.telemetry import Outcome
from streams.dead_letter import letter_of
from streams.score import outbook, score_json
from streams.score.loop import apply_records, close_days, restate_open
from streams.score.records import Barrier, Run, Unreadable, bank_number, decode
from streams.score.rows import InForce, Message, Writer
from streams.transport import Chunk

log = logging.getLogger("xinliu.score")
_BOOK_ROWS = 8_192
_FIRST_CAPACITY = 1_024
NEVER = -(2**31)
_OUTCOMES: tuple[tuple[Outcome, str], ...] = (  # as outbook counts them
    ("already_held", ""), ("applied", ""), ("duplicate", ""), ("dead_lettered", Reason.CONFLICT.value), ("late", ""),
)  # fmt: skip


class Engine(NamedTuple):
    """What the loop evaluates with."""

    card: Scorecard
    rules: Rules
    closes_to_lower: int
    emit_moves: bool
    emit_step_milli: int
    festival_day: npt.NDArray[np.int64]
    model_changed_day: int  # NEVER where the log has activated no other model than the first


class Feeds(NamedTuple):
    """The feeds of the newest tick, ascending by bank. Shapes: (banks,)."""

    bank: npt.NDArray[np.int64]
    covered_up_to: npt.NDArray[np.int64]  # day numbers; -2^31 where none
    closed_up_to: npt.NDArray[np.int64]
    stalled: npt.NDArray[np.uint8]


class PartitionState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partition remembers beside its enterprises, as of `low_offset`: all before it is applied and out."""

    low_offset: int
    up_to: int = -1
    feeds: dict[str, Feed] = {}
    model_id: str = ""  # empty: the prior
    model_changed_day: int = NEVER  # the newest one on which another model came into force
    backfill: bool = False
    ticks_count: int = 0
    controls_count: int = 0
    dead_letters_count: int = 0


class Tally(NamedTuple):
    """Counts since they were last taken: records by (outcome, reason), and what was written by `rows.Writer`'s keys."""

    outcomes: Counter[tuple[Outcome, str]]
    written: Counter[tuple[str, str, str]]


class EngineVersionChanged(Exception):
    """The log says that another engine version goes on from here: this worker must not."""


class Partition:
    """The enterprises of one partition, and what is in force in it.

    `snapshot_of` brings a model by its content id, when a control record activates it.
    """

    def __init__(
        self, number: int, snapshot_of: Callable[[str], Snapshot], state: PartitionState | None = None
    ) -> None:
        self.number = number
        self.saved = state or PartitionState(low_offset=0)
        self._snapshot_of = snapshot_of
        self.state = layout.allocate(_FIRST_CAPACITY)
        self.arena = dedup.empty(16 * _FIRST_CAPACITY)
        self.index = table.reindexed(self.state, 0, 4 * _FIRST_CAPACITY)
        self.used = 0
        self._book = outbook.empty(_BOOK_ROWS)
        self._writer = Writer(self._book)
        self.rules = packaged_rules()
        self.model_id = ""
        self._barriers: Counter[tuple[Outcome, str]] = Counter()  # and what could not be read
        self._activate(self.saved.model_id)

    def restore(self, name: str, value: Value) -> None:
        """Take one enterprise's value back, as Redis holds it. LayoutError where it is of another layout."""
        self.make_room(1, values.ids_count([value]))
        slot, self.used = table.find_or_add(self.index, self.state, self.used, layout.id_words(name))
        values.restore(self.state, self.arena, np.array([slot]), [name], [value])

    def apply(self, chunk: Chunk) -> Iterator[Message]:
        """Apply a chunk in order; yields its messages in the order of (offset, seq)."""
        for step in decode(chunk):
            if isinstance(step, Barrier):
                yield from self._apply_barrier(step, chunk)
            elif isinstance(step, Unreadable):
                yield self._bury(step, chunk)
            else:
                yield from self._apply_records(step, chunk)
        self.saved = msgspec.structs.replace(self.saved, low_offset=chunk.next_offset)

    def dirty_slots(self) -> npt.NDArray[np.int64]:
        """Enterprises whose value in Redis is behind."""
        return np.flatnonzero(self.state["dirty"][: self.used])

    def values(self, slots: npt.NDArray[np.int64], *, whole: bool = False) -> list[tuple[str, Value]]:
        """(enterprise id, value) of some slots: the parts that Redis lacks, or both."""
        parts = values.ALL if whole else self.state["dirty"][slots]
        packed = values.pack(self.state, self.arena, slots, parts)
        return [(layout.id_text(self.state["id"][slot]), value) for slot, value in zip(slots, packed, strict=True)]

    def flushed(self, slots: npt.NDArray[np.int64]) -> None:
        """Redis holds these as they are now."""
        self.state["dirty"][slots] = 0

    def take_tally(self) -> Tally:
        """What became of the records since the last call."""
        counts = dict(zip(_OUTCOMES, self._book.tally.tolist(), strict=True))
        taken = Tally(self._barriers + Counter(counts), self._writer.written)
        self._barriers, self._writer.written = Counter(), Counter()
        self._book.tally[:] = 0
        return taken

    @property
    def nbytes(self) -> int:
        """Bytes that are allocated for the enterprises."""
        return int(self.state.nbytes + self.index.nbytes + sum(column.nbytes for column in self.arena))

    def _bury(self, unreadable: Unreadable, chunk: Chunk) -> Message:
        letter = letter_of(chunk, unreadable.row, unreadable.why)
        self._barriers["dead_lettered", unreadable.why.reason.value] += 1
        self.saved = msgspec.structs.replace(self.saved, dead_letters_count=self.saved.dead_letters_count + 1)
        return Message(topics.DEAD_LETTERS, None, msgspec.json.encode(letter), letter.offset)

    def _apply_records(self, run: Run, chunk: Chunk) -> Iterator[Message]:
        records, count = run.records, len(run.records)
        self.make_room(count, count)
        slots = np.empty(count, np.int32)
        self.used = table.slots_of(self.index, self.state, self.used, records["key"], slots)
        first = 0
        while first < count:
            first = apply_records(self.state, self.arena, slots, records, run.lines, first, self._engine, self._book)
            yield from self._written(chunk, records["row"])

    def _apply_barrier(self, barrier: Barrier, chunk: Chunk) -> Iterator[Message]:
        event = barrier.event
        self._barriers["control" if isinstance(event, Control) else "tick", ""] += 1
        if isinstance(event, Control):
            yield from self._apply_control(barrier.offset, event, chunk)
            return
        # Feeds move while event time stands: a receipt closes a bank's day under the same `up_to`.
        repeat = (event.up_to, event.feeds) == (self.saved.up_to, self.saved.feeds) or event.up_to < self.saved.up_to
        self.saved = msgspec.structs.replace(
            self.saved,
            ticks_count=self.saved.ticks_count + 1,
            up_to=max(event.up_to, self.saved.up_to),
            feeds=self.saved.feeds if repeat else event.feeds,
        )
        if not repeat:
            feeds, day = feeds_of(event), day_of(event.up_to)
            yield from self._sweep(
                chunk,
                lambda first: close_days(
                    self.state, self.used, first, barrier.offset, day, feeds, self._engine, self._book
                ),
            )

    def _apply_control(self, offset: int, control: Control, chunk: Chunk) -> Iterator[Message]:
        if control.action == "engine_version" and control.artefact_id != engine_version():
            raise EngineVersionChanged(
                f"the log goes on under engine {control.artefact_id}, this worker is {engine_version()}"
            )
        if control.action == "activate" and control.artefact == "model":
            try:
                self._activate(control.artefact_id or "")
            except SnapshotError as refusal:  # its content, so every reader of the log refuses it here
                log.error("control %s at offset %d: %s; %s stays", control.control_id, offset, refusal, self.model_id)
        ends_backfill = control.action == "backfill_close" and self.saved.backfill
        self.saved = msgspec.structs.replace(
            self.saved,
            controls_count=self.saved.controls_count + 1,
            backfill=control.action == "backfill_open" or (self.saved.backfill and not ends_backfill),
            model_id=self.model_id,
            model_changed_day=self._engine.model_changed_day,
        )
        if ends_backfill:
            yield from self._sweep(
                chunk, lambda first: restate_open(self.state, self.used, first, offset, self._engine, self._book)
            )

    def _sweep(self, chunk: Chunk, sweep_from: Callable[[int], int]) -> Iterator[Message]:
        """Sweep over all enterprises, sending each time that the book is nearly full."""
        first = 0
        while first < self.used:
            first = sweep_from(first)
            yield from self._written(chunk, ())

    def _activate(self, model_id: str) -> None:
        snapshot = prior_snapshot() if model_id in ("", prior_id()) else self._snapshot_of(model_id)
        card = scorecard(snapshot)  # a model that does not fit is refused here
        self.model_id, before = model_id or prior_id(), self.model_id
        changed_day = day_of(self.saved.up_to) if before not in ("", self.model_id) else self.saved.model_changed_day
        self._engine = engine_of(card, self.rules, changed_day)
        self._probability_ppm = probabilities_ppm(snapshot)
        self._terms = score_json.terms(snapshot, self._probability_ppm, self.model_id, self.rules.id, engine_version())

    def _written(self, chunk: Chunk, row_of: Any) -> Iterator[Message]:
        in_force = InForce(
            model_id=self.model_id,
            probability_ppm=self._probability_ppm,
            rules=self.rules,
            backfill=self.saved.backfill,
            terms=self._terms,
        )
        yield from self._writer.messages(self.state["id"], in_force, chunk, row_of)

    def make_room(self, enterprises: int, event_ids: int) -> None:
        """Grow the rows, the index and the arena before the loop could run out of them."""
        if self.used + enterprises > len(self.state):
            self.state = layout.grown(self.state, 2 * (self.used + enterprises))
        if 2 * (self.used + enterprises) > len(self.index):
            self.index = table.reindexed(self.state, self.used, 4 << (self.used + enterprises).bit_length())
        if self.arena.used[0] + event_ids > len(self.arena.day):
            larger = dedup.empty(2 * (int(self.arena.used[0]) + event_ids))
            dedup.rebuild(self.arena, larger, self.state, self.used)
            self.arena = larger


def engine_of(card: Scorecard, rules: RuleSet, model_changed_day: int) -> Engine:
    """The engine of a model and rules; of whichever, its arrays have the same types, so that nothing is compiled."""
    return Engine(
        card=card,
        rules=rules.programs,
        closes_to_lower=rules.closes_to_lower,
        emit_moves=rules.emission.mode == "move",
        emit_step_milli=rules.emission.step_milli,
        festival_day=np.array(spring_festivals(), np.int64),
        model_changed_day=model_changed_day,
    )


def feeds_of(tick: Tick) -> Feeds:
    """The feeds of a tick as arrays."""
    rows = sorted((bank_number(bank_id), feed) for bank_id, feed in tick.feeds.items())
    return Feeds(
        bank=np.array([bank for bank, _ in rows], np.int64),
        covered_up_to=np.array([_day(feed.covered_up_to) for _, feed in rows], np.int64),
        closed_up_to=np.array([_day(feed.closed_up_to) for _, feed in rows], np.int64),
        stalled=np.array([feed.stalled for _, feed in rows], np.uint8),
    )


def _day(day: int | None) -> int:
    return -(2**31) if day is None else day
