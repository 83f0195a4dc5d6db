"""The learner's memory as segments of a checkpoint, and back: each checkpoint writes what is new, in binary columns.

Segments: `rows-<block>-<first row>` and `marks-<block>` of observations, `facts-<number>` of enterprises, of which the
higher number counts, and small ones of one piece. Facts that were replaced leave their segment half empty in time: what
is left of it is then written anew.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from config.settings import LearnSettings
from detectors.learning.dispositions import Dispositions
from detectors.learning.examples import EXAMPLE
from detectors.learning.facts import Facts, Stored
from detectors.learning.labels import Close, Kind
from detectors.learning.ledger import Ledger
from detectors.learning.loan_history import EVENTS
from detectors.learning.observations import HELD, LABELLED, MARKS, ROW, Block, Observations, Rows
from detectors.snapshot import Snapshot, content_id, decode
from features.indicators import INDICATORS
from features.indicators.nulls import NOT_REPORTED
from sinks.checkpoint_topic import Head, digest
from streams.learn.learner import Learner, Month
from streams.learn.month_closes import MonthCloses

PIECE_BYTES = 4 << 20
_PIECES_MAX = 16  # of a block, before it is written as a whole
_FACTS_MAX = 48  # segments of facts, before the smallest are joined
_IN_PIECES = ("pending-", "extra-")
_DISPOSITIONS = "dispositions"  # names them among the extras


class CheckpointRefused(Exception):
    """This engine cannot go on from a checkpoint; the message says why."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint's state: the places in the log, counts, and the figures of the queue for `xinliu model queue`.

    indicators, events: names of the columns of values, and of the codes of loan events, that the segments have.
    positions: by "topic:partition", the offset to go on from.
    """

    indicators: tuple[str, ...]
    events: tuple[str, ...]
    partitions: int
    positions: dict[str, int]
    month: int | None
    model_id: str
    counts: dict[str, int]
    labels: dict[Kind, int]
    seen: int
    repeated: int
    outcomes_late: int
    outcomes_unknown: int
    turn: int
    labels_at_parent: int
    held: int
    retained: int
    enterprises: int
    oldest_day: int | None
    newest_day: int | None
    bytes: int
    observations_held_max: int
    months_retained: int
    waits_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The writes of a checkpoint."""

    puts: dict[str, bytes]
    drops: frozenset[str]
    state: bytes

    @property
    def size(self) -> int:
        """Bytes of the segments."""
        return sum(map(len, self.puts.values()))


@dataclass(slots=True)
class Memory:
    """A learner, its places in the log, the months still to be published, and how the checkpoint holds them."""

    learner: Learner
    positions: dict[str, int] = field(default_factory=dict)
    pending: list[Month] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)  # of the segments, by name
    facts_live: Counter[int] = field(default_factory=Counter)  # by segment of facts: enterprises that it holds …
    facts_written: dict[int, int] = field(default_factory=dict)  # … and held when it was written

    def take(self, settings: LearnSettings, waits_for: str) -> Draft:
        """Return what a checkpoint of now has to write, and count it as written.

        Where it then is not, this memory must be dropped.
        """
        puts: dict[str, bytes] = {}
        table = self.learner.ledger.table
        kept = {f"{block.number:06}": block for block in table.blocks}
        drops = {
            name for name in self.digests
            if name.startswith(("rows-", "marks-")) and name.split("-")[1] not in kept
        }  # fmt: skip
        for number, block in kept.items():
            self._take_block(f"{number}", block, puts, drops)
        self._take_facts(puts, drops)
        small = dict(self._small())
        puts |= {name: body for name, body in small.items() if self.digests.get(name) != digest(body)}
        drops |= {name for name in self.digests if name.startswith(_IN_PIECES) and name not in small}
        drops -= puts.keys()
        self.digests = {name: known for name, known in self.digests.items() if name not in drops}
        self.digests |= {name: digest(body) for name, body in puts.items()}
        return Draft(puts=puts, drops=frozenset(drops), state=msgspec.json.encode(self._state(settings, waits_for)))

    def _take_block(self, number: str, block: Block, puts: dict[str, bytes], drops: set[str]) -> None:
        if block.stored < block.count:
            before = [name for name in self.digests if name.startswith(f"rows-{number}-")]
            whole = bool(before) and (block.is_full or not block.stored or len(before) >= _PIECES_MAX)
            if whole:
                drops.update(before)
            rows = PIECE_BYTES // ROW.itemsize
            for first in range(0 if whole else block.stored, block.count, rows):
                puts[f"rows-{number}-{first:05}"] = block.rows[first : first + rows].tobytes()
            block.stored = block.count
        if block.marks_differ:
            puts[f"marks-{number}"], block.marks_differ = block.marks.tobytes(), False

    def _take_facts(self, puts: dict[str, bytes], drops: set[str]) -> None:
        ledger = self.learner.ledger
        changed = set(ledger.changed)
        if poor := self._poor_segments():
            changed.update(number for number, facts in ledger.facts.items() if facts.segment in poor)
        number = max(self.facts_written, default=-1)
        for facts, body in _packs(ledger.facts[key] for key in sorted(changed)):
            number += 1
            for each in facts:
                self.facts_live[each.segment] -= 1
                each.segment = number
            self.facts_live[number] = self.facts_written[number] = len(facts)
            puts[f"facts-{number:08}"] = body
        for gone in [each for each in self.facts_written if not self.facts_live[each]]:
            drops.add(f"facts-{gone:08}")
            del self.facts_written[gone], self.facts_live[gone]
        ledger.changed.clear()

    def _poor_segments(self) -> set[int]:
        """Return the segments of facts to write anew: half empty ones, and the smallest where there are too many."""
        live, written = self.facts_live, self.facts_written
        poor = {each for each, count in written.items() if 2 * live[each] < count}
        if len(written) - len(poor) > _FACTS_MAX:
            rest = sorted(written.keys() - poor, key=lambda each: (live[each], each))
            poor.update(rest[: len(rest) - _FACTS_MAX // 2])
        return poor

    def _small(self) -> Iterator[tuple[str, bytes]]:
        learner = self.learner
        yield "parent", learner.parent.encode()
        closes = {p: (state.closes, state.covered_from) for p, state in learner.partitions.items()}
        yield "closes", msgspec.msgpack.encode(closes)
        yield from _pieces("pending", msgspec.msgpack.encode(self.pending))
        for name, body in {**learner.extras, _DISPOSITIONS: learner.ledger.dispositions.to_bytes()}.items():
            yield from _pieces(f"extra-{name}", body)

    def _state(self, settings: LearnSettings, waits_for: str) -> State:
        learner, ledger = self.learner, self.learner.ledger
        days = [block.rows["example"]["day"][block.rows["state"] == HELD] for block in ledger.table.blocks]
        held = [day for day in days if len(day)]
        return State(
            indicators=INDICATORS,
            events=EVENTS,
            partitions=len(learner.partitions),
            positions=dict(self.positions),
            month=learner.month,
            model_id=learner.model_id,
            counts=dict(learner.counts),
            labels=dict(ledger.labels),
            seen=ledger.seen_count,
            repeated=ledger.repeated_count,
            outcomes_late=ledger.outcomes_late_count,
            outcomes_unknown=ledger.outcomes_unknown_count,
            turn=ledger.turn,
            labels_at_parent=learner.labels_at_parent,
            held=ledger.held_count,
            retained=ledger.table.count(LABELLED),
            enterprises=len(ledger.facts),
            oldest_day=min((int(day.min()) for day in held), default=None),
            newest_day=max((int(day.max()) for day in held), default=None),
            bytes=ledger.table.nbytes,
            observations_held_max=settings.observations_held_max,
            months_retained=settings.months_retained,
            waits_for=waits_for,
        )


def restored(
    settings: LearnSettings,
    partitions: Sequence[int],
    head: Head,
    segments: Iterable[tuple[str, bytes]],
    *,
    prior: Snapshot | None = None,
) -> Memory:
    """Return the memory of a checkpoint. Raise CheckpointRefused where it is of another log or another catalogue."""
    state = msgspec.json.decode(head.state, type=State)
    if state.partitions != len(partitions):
        raise CheckpointRefused(
            f"the checkpoint is of a log of {state.partitions} partitions, this one has {len(partitions)}"
        )
    if state.events != EVENTS[: len(state.events)]:
        raise CheckpointRefused("the checkpoint counts loan events otherwise than this engine")
    if gone := set(state.indicators) - set(INDICATORS):
        raise CheckpointRefused(f"the checkpoint has indicators that this engine has not: {', '.join(sorted(gone))}")
    blocks: dict[int, Block] = {}
    marks: dict[int, Rows] = {}
    packs: dict[int, bytes] = {}
    small: dict[str, bytes] = {}
    for name, body in segments:
        kind, *numbers = name.split("-")
        if kind == "rows":
            number, first = map(int, numbers)
            block = blocks.setdefault(number, Block(number))
            block.restore(first, _rows(body, state.indicators))
        elif kind == "marks":
            marks[int(numbers[0])] = np.frombuffer(body, MARKS)
        elif kind == "facts":
            packs[int(numbers[0])] = body
        else:
            small[name] = body
    for number, of_block in marks.items():
        blocks[number].marks = of_block
    table = Observations([block for _, block in sorted(blocks.items())])
    if state.indicators != INDICATORS:
        for block in table.blocks:
            block.stored = 0  # the next checkpoint has them all in this engine's columns
    facts_written = {number: _count(body) for number, body in packs.items()}
    facts = _unpacked(packs)
    ledger = Ledger(settings.months_retained, table, facts.values())
    ledger.labels.update(state.labels)
    ledger.seen_count, ledger.repeated_count, ledger.turn = state.seen, state.repeated, state.turn
    ledger.outcomes_late_count, ledger.outcomes_unknown_count = state.outcomes_late, state.outcomes_unknown
    learner = Learner(settings, partitions, prior=prior, ledger=ledger)
    learner.parent = decode(small["parent"], content_id(small["parent"]))
    learner.model_id, learner.month, learner.labels_at_parent = state.model_id, state.month, state.labels_at_parent
    learner.counts = Counter(state.counts)
    learner.partitions = {
        p: MonthCloses(closes, covered_from)
        for p, (closes, covered_from) in msgspec.msgpack.decode(small["closes"], type=_Closes).items()
    }
    whole: dict[str, list[bytes]] = {}
    for name in sorted(name for name in small if name.startswith(_IN_PIECES)):
        whole.setdefault(name.rpartition("-")[0], []).append(small[name])
    pending = b"".join(whole.pop("pending"))
    learner.extras = {name.removeprefix("extra-"): b"".join(pieces) for name, pieces in whole.items()}
    if said := learner.extras.pop(_DISPOSITIONS, b""):
        ledger.dispositions = Dispositions.from_bytes(said)
    learner.restored()
    live = Counter(each.segment for each in facts.values())
    return Memory(
        learner=learner,
        positions=dict(state.positions),
        pending=msgspec.msgpack.decode(pending, type=list[Month]),
        digests={name: segment.digest for name, segment in head.segments.items()},
        facts_live=live,
        facts_written=facts_written,
    )


_Closes = dict[int, tuple[list[tuple[int, Close]], dict[str, int]]]
_ARRAY = struct.Struct(">BI")  # a list of MessagePack with four bytes of length
_ARRAY_CODE = 0xDD
_stored = msgspec.msgpack.Encoder()
_all_stored = msgspec.msgpack.Decoder(list[Stored])


def _pieces(name: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    for first in range(0, max(len(body), 1), PIECE_BYTES):
        yield f"{name}-{first // PIECE_BYTES:05}", body[first : first + PIECE_BYTES]


def _packs(facts: Iterable[Facts]) -> Iterator[tuple[list[Facts], bytes]]:
    """Yield some enterprises and their segment, at most PIECE_BYTES unless one alone is larger."""
    some, bodies, size = list[Facts](), list[bytes](), 0
    for each in facts:
        body = _stored.encode(Stored.of(each))
        if some and size + len(body) > PIECE_BYTES:
            yield some, _ARRAY.pack(_ARRAY_CODE, len(some)) + b"".join(bodies)
            some, bodies, size = [], [], 0
        some.append(each)
        bodies.append(body)
        size += len(body)
    if some:
        yield some, _ARRAY.pack(_ARRAY_CODE, len(some)) + b"".join(bodies)


def _count(pack: bytes) -> int:
    count: int = _ARRAY.unpack_from(pack)[1]
    return count


def _unpacked(packs: dict[int, bytes]) -> dict[str, Facts]:
    """Return the facts by enterprise, each of the newest segment that has it. The segments are taken out as they go."""
    found: dict[str, Facts] = {}
    for number in sorted(packs, reverse=True):
        for each in _all_stored.decode(packs.pop(number)):
            if each.name not in found:
                found[each.name] = facts = each.facts()
                facts.segment = number
    return found


def _rows(body: bytes, indicators: tuple[str, ...]) -> Rows:
    """Return rows of a segment; of indicators that its engine had not, they have no value."""
    if indicators == INDICATORS:
        return np.frombuffer(body, ROW)
    names = [name for name in EXAMPLE.names or () if name not in ("value", "null")]
    example = np.dtype(
        [(name, EXAMPLE[name]) for name in names]
        + [("value", "<f8", (len(indicators),)), ("null", "u1", (len(indicators),))]
    )
    of_row = [name for name in ROW.names or () if name != "example"]
    before = np.frombuffer(body, np.dtype([("example", example)] + [(name, ROW[name]) for name in of_row]))
    rows = np.zeros(len(before), ROW)
    for name in of_row:
        rows[name] = before[name]
    for name in names:
        rows["example"][name] = before["example"][name]
    rows["example"]["value"], rows["example"]["null"] = np.nan, NOT_REPORTED
    for i, name in enumerate(indicators):
        for column in ("value", "null"):
            rows["example"][column][:, INDICATORS.index(name)] = before["example"][column][:, i]
    return rows
