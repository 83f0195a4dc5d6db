"""One partition as its worker holds it: the right to write it, its memory, and what Redis and the topics surely hold.

    own (a record in owner.v1, its offset is the epoch) -> claim, then load -> apply, take, write … -> dropped
                                                              ^-------------------------------------'

Loading brings the names of the enterprises; their values are fetched when a record or a tick needs them, under the same
fence. Memory that may be wrong is dropped, never mended: whatever failed, the partition is claimed again, under a flush
number above all that were tried, loaded from Redis, and goes on at the low offset that came with the claim.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.rules.artefact import RuleSet
from detectors.snapshot import Snapshot
from features.values import Value
from sinks.redis_store import PartitionStore
from streams.score.partition import Partition, PartitionState
from streams.score.rows import Writer

Slots = npt.NDArray[np.int64]
_RETRY_FIRST_S, _RETRY_MAX_S = 0.1, 5.0

Step = Callable[[str, int], None]
"""Called with the name of each step of the protocol and the partition, before the step: for tests that interrupt it."""


class FlushSnapshot(NamedTuple):
    """The content of a flush: slices of rows with their values, and the partition's state."""

    memory: Partition
    slices: list[tuple[Slots, list[tuple[str, Value]]]]
    state: PartitionState


class OwnedPartition:
    """A partition that the group has given to this worker."""

    def __init__(
        self,
        number: int,
        store: PartitionStore,
        snapshot_of: Callable[[str], Snapshot],
        rules_of: Callable[[str], RuleSet],
        step: Step,
        writer: Writer | None = None,
    ) -> None:
        """`writer`: one that the partitions of this worker share."""
        self.number = number
        self.epoch: int | None = None
        self.memory: Partition | None = None
        self.retry_at_s = 0.0
        self.applied_at_s = 0.0  # when a batch last was
        self.flushed_at_s = 0.0  # when what a flush writes was last taken
        self._resident_max = 1
        self._store = store
        self._snapshot_of, self._rules_of, self._writer = snapshot_of, rules_of, writer
        self._step = step
        self._is_first = False
        self._low_offset = 0
        self._attempts = 0

    def own(self, epoch: int, *, is_first: bool) -> None:
        """Go on under the epoch of a new ownership record; `is_first` where the partition never had one before."""
        self.epoch, self._is_first = epoch, is_first

    def bound(self, resident_max: int) -> None:
        """From now on, at most so many of its enterprises are in memory."""
        self._resident_max = resident_max
        if self.memory is not None:
            self.memory.residents.resident_max = resident_max

    def load(self) -> bool:
        """Claim, then load; False where Redis has lost what earlier owners wrote, so that the log is read from 0."""
        assert self.epoch is not None
        self._step("claim", self.number)
        stored = self._store.claim(self.epoch)
        state = msgspec.json.decode(stored, type=PartitionState) if stored else None
        self._step("load", self.number)
        self.memory = Partition(
            self.number,
            self._snapshot_of,
            state,
            names=self._store.names(),
            fetch=self._fetch,
            rules_of=self._rules_of,
            resident_max=self._resident_max,
            writer=self._writer,
        )
        self._low_offset = self.memory.low_offset
        return state is not None or self._is_first

    def _fetch(self, names: Sequence[str]) -> Sequence[Value]:
        """Values of enterprises that the list names; where it raises, what asked for them comes again."""
        self._step("fetch", self.number)
        return self._store.fetch(names)

    @property
    def low_offset(self) -> int | None:
        """All before it is in Redis and in the topics; None without memory."""
        return None if self.memory is None else self._low_offset

    @property
    def is_ahead(self) -> bool:
        """Whether memory has applied what Redis does not hold."""
        return self.memory is not None and self.memory.low_offset != self._low_offset

    @property
    def position(self) -> int | None:
        """The next offset to apply; None where that is the log's first one, whichever it is."""
        if self.memory is None or (self._is_first and self.memory.low_offset == 0):
            return None
        return self.memory.low_offset

    async def flush(self, slice_values_max: int) -> tuple[int, int]:
        """Take and write at once; (values, bytes). Every output must be acknowledged."""
        return await self.write(await self.take(slice_values_max))

    async def take(self, slice_values_max: int) -> FlushSnapshot:
        """Return the content of a flush as of now: values that Redis lacks, and the state with its low offset.

        No record may be half applied. More may be applied before it is written, once all outputs up to now are
        acknowledged: until then those enterprises stay in memory. Others get their turn between slices.
        """
        memory = self.memory
        assert memory is not None
        snapshot = FlushSnapshot(memory, [], memory.saved)
        with self._whole():
            for rows in _slices(memory.dirty_rows(), slice_values_max):
                snapshot.slices.append((rows, memory.take(rows)))
                await asyncio.sleep(0)
        return snapshot

    async def write(self, snapshot: FlushSnapshot) -> tuple[int, int]:
        """Values in slices, then the partition's state with the low offset; (values, bytes). Fenced, StoreUnavailable.

        Every output that was sent before the snapshot must be acknowledged. Others get their turn while Redis works:
        where the memory is dropped meanwhile, no more is written.
        """
        assert snapshot.memory is self.memory
        count = size = 0
        with self._whole():
            for rows, values in snapshot.slices:
                if self.memory is not snapshot.memory:
                    return count, size
                size += await self._write_slice(snapshot.memory, rows, values)
                count += len(rows)
            if self.memory is not snapshot.memory:
                return count, size
            self._step("state", self.number)
            if snapshot.state.low_offset != self._low_offset:
                await asyncio.to_thread(self._store.write, (), msgspec.json.encode(snapshot.state))
                self._low_offset = snapshot.state.low_offset
            elif not count:
                await asyncio.to_thread(self._store.check)
        self._attempts = 0
        return count, size

    async def flush_values(self, slice_values_max: int) -> tuple[int, int]:
        """Values alone, (values, bytes): in mid-batch, which is no low offset. Every output must be acknowledged."""
        memory = self.memory
        assert memory is not None
        count = size = 0
        with self._whole():
            for rows in _slices(memory.dirty_rows(), slice_values_max):
                size += await self._write_slice(memory, rows, memory.take(rows))
                count += len(rows)
        return count, size

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Drop memory where the block fails: what a snapshot took counts as clean, and Redis does not hold it."""
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
        """Forget the memory; returns in how many seconds to load again, more each time that no flush came between."""
        self.memory = None
        wait_s = max(wait_s_min, min(_RETRY_FIRST_S * 2**self._attempts, _RETRY_MAX_S))
        self._attempts = min(self._attempts + 1, 10)
        self.retry_at_s = now_s + wait_s
        return wait_s


def _slices(rows: Slots, size: int) -> Iterator[Slots]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
