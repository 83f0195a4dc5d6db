"""One partition as its worker holds it: the right to write it, its memory, and what Redis and the topics surely hold.

    own (a record in owner.v1, its offset is the epoch) -> claim, then load -> apply, take, write … -> dropped
                                                              ^-------------------------------------'

A partition that is another engine's is not claimed. Where a control record names another engine, everything before it
is written, and no more is applied (streams/score/engines.py).

Loading brings the names of the enterprises; their values are fetched when a record or a tick needs them, under the same
fence. Memory that may be wrong is dropped, never repaired. After any failure the partition is claimed again, under a
flush number above all that were tried, loaded from Redis, and goes on at the low offset that came with the claim.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.rules.artefact import RuleSet
from detectors.snapshot import Snapshot
from features import values
from features.values import Value
from sinks.redis_store import PartitionStore
from streams.score.engines import NO_RECORDS, EngineRecords, EnginesDiffer, demand_ours, taken
from streams.score.partition import Partition, PartitionState
from streams.score.rows import Writer

Slots = npt.NDArray[np.int64]
_RETRY_FIRST_S, _RETRY_MAX_S = 0.1, 5.0
log = logging.getLogger("xinliu.score")

Step = Callable[[str, int], None]
"""Called with the name of each step of the protocol and the partition, before the step: for tests that interrupt it."""


class FlushSnapshot(NamedTuple):
    """The content of a flush: slices of rows with their values, and the partition's state."""

    memory: Partition
    slices: list[tuple[Slots, list[tuple[str, Value]]]]
    state: PartitionState


class OwnedPartition:
    """A partition that the group has assigned to this worker."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        snapshot_of: Callable[[str], Snapshot],
        rules_of: Callable[[str], RuleSet],
        step: Step,
        writer: Writer | None = None,
        engine_records: Callable[[], EngineRecords] = lambda: NO_RECORDS,
    ) -> None:
        """Prepare partition `number`.

        `writer` is one that the partitions of this worker share, None for one of its own; `engine_records` returns
        what the worker has read of them.
        """
        self.number = number
        self.epoch: int | None = None
        self.memory: Partition | None = None
        self.retry_at_s = 0.0
        self.applied_at_s = 0.0  # when a batch last was
        self.flushed_at_s = 0.0  # when what a flush writes was last taken
        self._resident_max = 1
        self._store = store
        self._snapshot_of, self._rules_of, self._writer = snapshot_of, rules_of, writer
        self._engine_records = engine_records
        self._step = step
        self._is_first = False
        self._low_offset = 0
        self._next_engine = ""  # in Redis
        self._foreign = ""  # engine that it waits for, where this one may not claim it
        self._attempts = 0

    def own(self, epoch: int, *, is_first: bool) -> None:
        """Go on under the epoch of a new ownership record. `is_first`: the partition never had an owner before."""
        self.epoch, self._is_first = epoch, is_first

    def bound(self, resident_max: int) -> None:
        """Keep at most `resident_max` of its enterprises in memory from now on."""
        self._resident_max = resident_max
        if self.memory is not None:
            self.memory.residents.resident_max = resident_max

    def load(self) -> bool:
        """Claim the partition, then load it.

        Return False where Redis has lost what earlier owners wrote, so the log is read anew.

        Raise EnginesDiffer where it is another engine's, Fenced where another owner has claimed it since, and
        StoreUnavailable where Redis does not answer. Where this engine cannot go on with what another has handed to it
        (ArtefactMissing, SnapshotError, RuleError, LayoutError), Redis still says whose it was.
        """
        assert self.epoch is not None
        self._step("claim", self.number)
        try:
            state = _read(self._store.claim(self.epoch, lambda stored: demand_ours(self.number, _read(stored))))
        except EnginesDiffer as why:
            self._foreign = why.engine
            raise
        self._foreign = ""
        ours = taken(state or PartitionState(low_offset=0), newest=self._engine_records().newest)
        self._step("load", self.number)
        names = self._store.names()
        memory = Partition(
            self.number,
            self._snapshot_of,
            ours,
            names=names,
            fetch=self._fetch,
            rules_of=self._rules_of,
            resident_max=self._resident_max,
            writer=self._writer,
            passes_over=lambda control: control.control_id in self._engine_records().taken_back,
        )
        if state is not None and state.engine_version != ours.engine_version:
            self._demand_readable(names)
            before, now = state.engine_version or "unknown", ours.engine_version
            text = "partition %d goes on under engine %s from offset %d, before %s"
            log.info(text, self.number, now, ours.low_offset, before)
        if state != memory.saved:  # before an output or a value: whoever comes then knows whose they are
            self._store.write((), msgspec.json.encode(memory.saved))
        self.memory = memory
        self._low_offset, self._next_engine = memory.low_offset, memory.next_engine
        return state is not None or self._is_first

    def _demand_readable(self, names: Sequence[bytes]) -> None:
        """Raise LayoutError where values of another engine have another layout: one tells of all."""
        some = [name.decode() for name in names[:1]]
        values.rows_of(some, self._fetch(some))

    def _fetch(self, names: Sequence[str]) -> Sequence[Value]:
        """Return the stored values of enterprises that the list names.

        Where it raises, the batch that needed them comes again.
        """
        self._step("fetch", self.number)
        return self._store.fetch(names)

    @property
    def low_offset(self) -> int | None:
        """Offset before which everything is in Redis and in the topics; None without memory."""
        return None if self.memory is None else self._low_offset

    @property
    def is_ahead(self) -> bool:
        """Whether memory has applied records that Redis does not hold."""
        return self.memory is not None and self._is_other(self.memory)

    @property
    def handed_to(self) -> str:
        """Engine that it goes on under, once Redis holds everything before that; empty while this one goes on."""
        if self.memory is None:
            return self._foreign
        return "" if self._is_other(self.memory) else self.memory.next_engine

    def _is_other(self, one: Partition | PartitionState) -> bool:
        return (one.low_offset, one.next_engine) != (self._low_offset, self._next_engine)

    @property
    def position(self) -> int | None:
        """Next offset to apply; None where that is the first offset of the log, whichever it is."""
        if self.memory is None or (self._is_first and self.memory.low_offset == 0):
            return None
        return self.memory.low_offset

    async def flush(self, slice_values_max: int) -> tuple[int, int]:
        """Take and write at once; return (values, bytes).

        Every output must be acknowledged. Raise the errors of `write`.
        """
        return await self.write(await self.take(slice_values_max))

    async def take(self, slice_values_max: int) -> FlushSnapshot:
        """Return what a flush would write now: values that Redis lacks, and the state with its low offset.

        No record may be half applied. More records may be applied before the snapshot is written, which takes all
        outputs up to now to be acknowledged; until then these enterprises stay in memory. Other tasks get their turn
        between slices.
        """
        memory = self.memory
        assert memory is not None
        snapshot = FlushSnapshot(memory, [], memory.saved)
        with self._dropping_on_failure():
            for rows in _slices(memory.dirty_rows(), slice_values_max):
                snapshot.slices.append((rows, memory.take(rows)))
                await asyncio.sleep(0)
        return snapshot

    async def write(self, snapshot: FlushSnapshot) -> tuple[int, int]:
        """Write values in slices, then the partition's state with the low offset; return (values, bytes).

        Every output that was sent before the snapshot must be acknowledged. Other tasks get their turn while Redis
        works; where the memory is dropped meanwhile, nothing more is written.

        Raise Fenced where another owner has claimed the partition, and StoreUnavailable where Redis does not answer.
        """
        assert snapshot.memory is self.memory
        count = size = 0
        with self._dropping_on_failure():
            for rows, values in snapshot.slices:
                if self.memory is not snapshot.memory:
                    return count, size
                size += await self._write_slice(snapshot.memory, rows, values)
                count += len(rows)
            if self.memory is not snapshot.memory:
                return count, size
            self._step("state", self.number)
            if self._is_other(snapshot.state):
                await asyncio.to_thread(self._store.write, (), msgspec.json.encode(snapshot.state))
                self._low_offset, self._next_engine = snapshot.state.low_offset, snapshot.state.next_engine
            elif not count:
                await asyncio.to_thread(self._store.check)
        self._attempts = 0
        return count, size

    async def flush_values(self, slice_values_max: int) -> tuple[int, int]:
        """Write values alone, within a batch and so without a low offset; return (values, bytes).

        Every output must be acknowledged. Raise the errors of `write`.
        """
        memory = self.memory
        assert memory is not None
        count = size = 0
        with self._dropping_on_failure():
            for rows in _slices(memory.dirty_rows(), slice_values_max):
                size += await self._write_slice(memory, rows, memory.take(rows))
                count += len(rows)
        return count, size

    @contextmanager
    def _dropping_on_failure(self) -> Iterator[None]:
        """Drop memory where the block fails: values that a snapshot took count as clean, yet Redis lacks them."""
        try:
            yield
        except BaseException:
            self.memory = None
            raise

    async def _write_slice(self, memory: Partition, rows: Slots, values: list[tuple[str, Value]]) -> int:
        self._step("slice", self.number)
        await asyncio.to_thread(self._store.write, values)
        memory.written(rows)
        return sum(value.size for _, value in values)

    def drop(self, now_s: float, *, wait_s_min: float = 0.0) -> float:
        """Drop the memory; return the seconds until it may be loaded again.

        They grow with each drop that no flush came before.
        """
        self.memory = None
        wait_s = max(wait_s_min, min(_RETRY_FIRST_S * 2**self._attempts, _RETRY_MAX_S))
        self._attempts = min(self._attempts + 1, 10)
        self.retry_at_s = now_s + wait_s
        return wait_s


def _read(stored: bytes | None) -> PartitionState | None:
    return msgspec.json.decode(stored, type=PartitionState) if stored else None


def _slices(rows: Slots, size: int) -> Iterator[Slots]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
