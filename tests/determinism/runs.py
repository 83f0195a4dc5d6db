"""A log through the engine in memory, with kills: what a subscriber and a reader of Redis would hold at the end."""

import hashlib
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from unittest import mock

import msgspec
import numpy as np

from domain import topics
from domain.outputs import Alert
from features.values import Value
from streams.score import partition as partitions
from streams.score.partition import Partition, PartitionState
from streams.score.rows import Message
from streams.transport.chunk import Chunk, chunk_of
from tests.determinism.log import Log, snapshot_of


@dataclass(slots=True)
class Said:
    """The messages of all topics, by (topic, key), in the order of first arrival, repeats removed: their hashes."""

    by_key: dict[tuple[str, bytes | None], dict[bytes, None]] = field(default_factory=lambda: defaultdict(dict))
    alerts: Counter[str] = field(default_factory=Counter)  # revisions by state, of the supervisor's topics
    repeats: int = 0

    def hear(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Take one message."""
        heard = self.by_key[topic, key]
        digest = hashlib.blake2b(value, digest_size=12).digest()
        if digest in heard:
            self.repeats += 1
            return
        heard[digest] = None
        if topic in (topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL):
            self.alerts[msgspec.json.decode(value, type=Alert).state] += 1

    def sequences(self) -> dict[tuple[str, bytes | None], list[bytes]]:
        """What two runs must have in common. Without a key they come from several partitions, in no order."""
        return {place: list(heard) if place[1] is not None else sorted(heard) for place, heard in self.by_key.items()}


@dataclass(slots=True)
class Run:
    """How a run ended."""

    said: Said = field(default_factory=Said)
    values: dict[str, Value] = field(default_factory=dict)
    states: list[PartitionState] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    closes: int = 0

    def digest(self) -> str:
        """One hash over all that Redis would hold."""
        digest = hashlib.sha256()
        for name, value in sorted(self.values.items()):
            for part in value:
                digest.update(f"{name} {len(part or b'')} ".encode() + (part or b""))
        digest.update(msgspec.json.encode(self.states))
        return digest.hexdigest()


def run(log: Log, *, batch: int, book_rows: int, kills: int = 0, seed: int = 0) -> Run:
    """Process the log with batches of `batch` records; `kills` times a partition, at random, memory is lost."""
    ended = Run()
    for number, rows in enumerate(log.partitions):
        chunk = chunk_of(topics.EVENTS, number, 0, rows)
        _Worker(chunk, batch, book_rows, kills, random.Random(f"{seed} {number}"), ended).run()
    return ended


class _Worker:
    """One partition with its flushes; `stored` and `state` are what Redis holds."""

    def __init__(self, chunk: Chunk, batch: int, book_rows: int, kills: int, rnd: random.Random, ended: Run) -> None:
        self._chunk, self._batch, self._book_rows, self._rnd, self._ended = chunk, batch, book_rows, rnd, ended
        self._stored: dict[str, Value] = {}
        self._state: PartitionState | None = None
        self._kill_at = sorted(rnd.sample(range(1, len(chunk)), kills), reverse=True)
        self._partition = self._restarted()

    def run(self) -> None:
        """To the end of the log."""
        last, at = len(self._chunk), 0
        flush_every, batches = max(1, 3_000 // self._batch), 0
        while at < last:
            to = min(at + self._batch, last)
            killed = bool(self._kill_at) and self._kill_at[-1] <= to
            if killed:
                self._kill_at.pop()
            part = self._chunk.part(at, to)
            if killed and self._die(part):
                at = self._partition.saved.low_offset
                continue
            if not killed:
                self._send(self._partition.apply(part))
            batches += 1
            if batches % flush_every == 0:
                self._flush()
            at = to
        self._flush()
        rows = self._partition.state[: self._partition.used]
        for name in ("applied", "duplicate", "conflict", "late"):
            self._ended.outcomes[name] += int(rows[f"{name}_count"].sum())
        self._ended.closes += int((rows["closed_day"] - rows["first_day"] + 1).sum())
        self._ended.values |= self._stored
        self._ended.states.append(self._partition.saved)

    def _die(self, part: Chunk) -> bool:
        """Lose the memory while a batch is applied, or within the flush after it."""
        place = self._rnd.choice(("in a batch", "before a flush", "in a flush", "before the low offset"))
        self._ended.kills[place] += 1
        messages = self._partition.apply(part)
        if place == "in a batch":
            for _, message in zip(range(self._rnd.randrange(1, 500)), messages, strict=False):
                self._send([message])
        else:
            self._send(messages)
            dirty = self._partition.dirty_slots()
            written = {"before a flush": 0, "before the low offset": len(dirty)}.get(
                place, self._rnd.randrange(len(dirty) + 1)
            )
            self._write(self._rnd_slots(dirty, written))
        self._partition = self._restarted()
        return True

    def _rnd_slots(self, dirty: np.ndarray, count: int) -> np.ndarray:
        return np.array(sorted(self._rnd.sample(dirty.tolist(), count)), np.int64)

    def _restarted(self) -> Partition:
        with mock.patch.object(partitions, "_BOOK_ROWS", self._book_rows):
            partition = Partition(self._chunk.partition, snapshot_of, self._state)
        names = list(self._stored)
        self._rnd.shuffle(names)  # no order of slots is promised
        for name in names:
            partition.restore(name, self._stored[name])
        return partition

    def _flush(self) -> None:
        dirty = self._partition.dirty_slots()
        self._write(dirty)
        self._partition.flushed(dirty)
        self._state = self._partition.saved

    def _write(self, slots: np.ndarray) -> None:
        for name, value in self._partition.values(slots):
            self._stored[name] = value.over(self._stored.get(name))

    def _send(self, messages) -> None:
        message: Message
        for message in messages:
            self._ended.said.hear(message.topic, message.key, message.value)
