"""A log through the engine in memory, with kills: the final state of a subscriber and of Redis."""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import msgspec
import numpy as np

from domain import topics
from domain.outputs import Alert, CaseRecord, DeadLetter
from features.values import Value, unpack
from streams.score import alerts, outbook
from streams.score import partition as partitions
from streams.score import rows as score_rows
from streams.score.partition import Partition, PartitionState
from streams.transport.chunk import Chunk, chunk_of
from tests.determinism.desk import RULES
from tests.determinism.log import Log, snapshot_of

UNBOUNDED = 2**31 - 1
STEPS = ("load", "fetch", "apply", "send", "drain", "slice", "evict", "state")
_NTH_MAX = {"send": 100, "slice": 4}  # how far into a batch or a flush a kill may fall


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The circumstances that must not change an output."""

    batch: int = 4_000
    """Records applied at once."""
    book_rows: int = 8_192
    """Outputs after which a sweep is interrupted."""
    resident_max: int = UNBOUNDED
    """Enterprises of a partition in memory."""
    sweep: int = 512
    """Enterprises swept between two slices."""


PLAIN = Shape()


@dataclass(slots=True)
class Outputs:
    """The messages of all topics, by (topic, key), in the order of first arrival, repeats removed: their hashes."""

    by_key: dict[tuple[str, bytes | None], dict[bytes, None]] = field(default_factory=lambda: defaultdict(dict))
    alerts: Counter[str] = field(default_factory=Counter)  # revisions by state (or recurred), for the supervisor
    cases: Counter[str] = field(default_factory=Counter)  # records by change, submits by whether they have a day
    letters: Counter[str] = field(default_factory=Counter)  # dead letters by reason
    repeats: int = 0

    def receive(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Take one message."""
        digests = self.by_key[topic, key]
        digest = hashlib.blake2b(value, digest_size=12).digest()
        if digest in digests:
            self.repeats += 1
            return
        digests[digest] = None
        if topic in (topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL):
            alert = msgspec.json.decode(value, type=Alert)
            self.alerts["recurred" if alert.reason == "recurred" else alert.state] += 1
        elif topic == topics.CASE_SUPERVISOR:
            case = msgspec.json.decode(value, type=CaseRecord)
            self.cases[case.change] += 1
            if case.change == "submitted":
                self.cases["submitted without a day" if case.until is None else "submitted until a day"] += 1
        elif topic == topics.DEAD_LETTERS:
            self.letters[msgspec.json.decode(value, type=DeadLetter).reason] += 1

    def sequences(self) -> dict[tuple[str, bytes | None], list[bytes]]:
        """The common part of two runs. Without a key outputs come from several partitions, in no order."""
        return {
            place: list(digests) if place[1] is not None else sorted(digests) for place, digests in self.by_key.items()
        }


@dataclass(slots=True)
class Run:
    """The result of a run."""

    outputs: Outputs = field(default_factory=Outputs)
    values: dict[str, Value] = field(default_factory=dict)
    states: list[PartitionState] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)  # by step
    kept_back: int = 0  # alerts that a bank would get, had it not disposed of their finding

    def digest(self) -> str:
        """One hash over all that Redis would hold."""
        digest = hashlib.sha256()
        for name, value in sorted(self.values.items()):
            for part in value:
                digest.update(f"{name} {len(part or b'')} ".encode() + (part or b""))
        digest.update(msgspec.json.encode(self.states))
        return digest.hexdigest()

    def outcomes(self) -> Counter[str]:
        """Records of enterprises by outcome, and days that were closed."""
        rows = unpack(list(self.values), [value.hot for value in self.values.values()])
        counted = {
            name: int(rows[f"{name}_count"].sum()) for name in ("applied", "duplicate", "conflict", "late", "refused")
        }
        counted["closes"] = int((rows["closed_day"] - rows["first_day"] + 1).sum())
        return Counter(counted)


def run(log: Log, shape: Shape = PLAIN, *, kill_seed: int | None = None) -> Run:
    """Process the log; with a seed, memory of each partition is lost at a random place before each of STEPS.

    By RULES, under which alerts and cases are many and go through every state.
    """
    ended = Run()
    with (
        mock.patch.object(partitions, "packaged_rules", RULES),
        mock.patch.object(alerts, "addressed", _counted(alerts.addressed, ended)),
    ):
        for number, rows in enumerate(log.partitions):
            chunk = chunk_of(topics.EVENTS, number, 0, rows)
            _Worker(chunk, shape, random.Random(f"{kill_seed} {number}"), ended, kills=kill_seed is not None).run()
    return ended


def _counted(addressed: Callable[..., Iterator[alerts.Addressed]], ended: Run) -> Callable[..., Any]:
    """Return the function, which now counts what dispositions keep back."""

    def counted(b: dict[str, Any], sources: alerts.Sources) -> list[alerts.Addressed]:
        found = list(addressed(b, sources))
        if (b["held"] == outbook.HELD).any():
            ended.kept_back += sum(1 for _ in addressed(b | {"held": np.zeros_like(b["held"])}, sources)) - len(found)
        return found

    return counted


class _Killed(Exception):
    """Memory is lost here."""


class _Worker:
    """One partition and its flushes, in the steps of the role; `stored` and `state` are the contents of Redis."""

    def __init__(self, chunk: Chunk, shape: Shape, rnd: random.Random, ended: Run, *, kills: bool) -> None:
        self._chunk, self._shape, self._rnd, self._ended = chunk, shape, rnd, ended
        self._stored: dict[str, Value] = {}
        self._state: PartitionState | None = None
        self._plan = self._planned() if kills else []
        self._position = 0

    def run(self) -> None:
        """To the end of the log, as often as memory is lost."""
        while True:
            try:
                self._live()
                break
            except _Killed:
                continue
        assert not self._plan, f"these kills never came about: {self._plan}"
        self._ended.values |= self._stored
        assert self._state is not None
        self._ended.states.append(self._state)

    def _planned(self) -> list[tuple[int, str, int]]:
        """(offset, step, n): from that offset on, right before the nth such step. The next one is the last."""
        steps = [step for step in STEPS if step != "evict" or self._shape.resident_max < UNBOUNDED]
        self._rnd.shuffle(steps)
        early = ("load",) if "evict" in steps else ("load", "fetch")  # when a life begins, and not the first one
        first = ("send", "slice")  # what a life has flushed, the next one neither sends nor flushes again
        steps.sort(key=lambda step: (step in early) - (step in first))
        at_once = (*early, *first) if self._shape.batch > 1_000 else early  # where a flush comes but twice
        offsets = sorted(self._rnd.sample(range(len(self._chunk) * 4 // 10), len(steps)))
        plan = [
            (0 if step in at_once else offset, step, self._rnd.randint(1, _NTH_MAX.get(step, 1)))
            for offset, step in zip(offsets, steps, strict=True)
        ]
        return plan[::-1]

    def _step(self, name: str) -> None:
        if not self._plan:
            return
        offset, step, left = self._plan[-1]
        if step == name and self._position >= offset:
            self._plan[-1] = (offset, step, left - 1)
            if left == 1:
                self._plan.pop()
                self._ended.kills[step] += 1
                raise _Killed

    def _live(self) -> None:
        """Process from the state in Redis to the end of the log."""
        self._step("load")
        with (
            mock.patch.object(score_rows, "_BOOK_ROWS", self._shape.book_rows),
            mock.patch.object(partitions, "_SWEEP_ENTERPRISES", self._shape.sweep),
        ):
            names = [name.encode() for name in self._stored]
            self._rnd.shuffle(names)  # no order of numbers is promised
            partition = Partition(
                self._chunk.partition, snapshot_of, self._state,
                names=names, fetch=self._fetch, resident_max=self._shape.resident_max,
            )  # fmt: skip
            flush_every, batches = max(1, 3_000 // self._shape.batch), 0
            self._position = partition.low_offset
            while self._position < len(self._chunk):
                to = min(self._position + self._shape.batch, len(self._chunk))
                self._apply(partition, self._chunk.part(self._position, to))
                self._position = to
                batches += 1
                if batches % flush_every == 0:
                    self._flush(partition)
            self._flush(partition)

    def _fetch(self, names):
        self._step("fetch")
        return [self._stored[name] for name in names]

    def _apply(self, partition: Partition, part: Chunk) -> None:
        self._step("apply")
        for outgoing in partition.apply(part):
            for topic, records in outgoing:
                for key, value in records:
                    self._step("send")
                    self._ended.outputs.receive(topic, key, value)
            if partition.wants_room:
                self._step("evict")
                if not partition.make_room():
                    self._flush_values(partition)
                    assert partition.make_room()
            assert len(partition.residents) <= self._shape.resident_max

    def _flush(self, partition: Partition) -> None:
        self._flush_values(partition)
        self._step("state")
        self._state = partition.saved

    def _flush_values(self, partition: Partition) -> None:
        self._step("drain")
        dirty = partition.dirty_rows()
        self._rnd.shuffle(dirty)
        for some in np.array_split(dirty, range(10, len(dirty), 10)):
            self._step("slice")
            for name, value in partition.take(some):
                self._stored[name] = value.over(self._stored.get(name))
            partition.written(some)
