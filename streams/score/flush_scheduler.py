"""The schedule of flushes: changed values go to Redis once all outputs that rest on them are acknowledged.

A flush has two steps. A snapshot takes what a partition must write, and the position of the outbox is marked. Once the
outbox has acknowledged everything up to the mark, the snapshot is written. docs/adr/0006-commit-protocol.md has the
reasons for this order.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

from config.settings import ScoreSettings
from sinks.kafka import DeliveryFailed, Outbox
from sinks.redis_store import Fenced, StoreUnavailable
from sinks.telemetry import Flushed
from streams.score.owned_partition import FlushSnapshot, OwnedPartition, Step
from streams.worker.role import TP, RoleContext

_ACKNOWLEDGED_S_MAX = 60.0  # longer than this, the outputs of a flush are taken for lost
_QUIET_S = 0.25  # without a record and with none left to read, a partition is flushed before it is due
_FLUSHES_MAX = 4  # pending at once: each holds the values of its partition a second time
_SPACING = 0.9  # share of an interval's part for each partition that lies between two flushes


class _Flush(NamedTuple):
    """A snapshot that waits for the acknowledgements up to `mark`. `taking_s`: seconds that taking it took."""

    snapshot: FlushSnapshot
    mark: int
    taking_s: float


class FlushScheduler:
    """Flushes the partitions that a worker owns, one at a time, while others are applied.

    owned: the worker's partitions; the caller adds and removes them, and calls `forget` for what it removes.
    outbox, context: functions that return the current ones. on_flushed: called when a partition is written completely.
    on_lost: called with the error when Redis refuses or does not answer; the partition's memory is then dropped.

    Methods raise DeliveryFailed where outputs are lost.
    """

    def __init__(
        self,
        owned: Mapping[TP, OwnedPartition],
        settings: ScoreSettings,
        clock: Callable[[], float],
        step: Step,
        *,
        outbox: Callable[[], Outbox],
        context: Callable[[], RoleContext],
        on_flushed: Callable[[TP], None],
        on_lost: Callable[[TP, Exception], None],
    ) -> None:
        self._owned, self._settings, self._clock, self._step = owned, settings, clock, step
        self._outbox, self._context, self._on_flushed, self._on_lost = outbox, context, on_flushed, on_lost
        self._pending: dict[TP, _Flush] = {}  # in the order of their marks
        self._writing: tuple[TP, asyncio.Task[None]] | None = None
        self._next_due_s = 0.0  # partitions that are due wait until then
        self._quiet: frozenset[TP] = frozenset()  # as of the last `refresh`

    def refresh(self) -> None:
        """Find the partitions that have nothing left to apply; these are flushed at once."""
        self._quiet = frozenset(tp for tp, one in self._owned.items() if one.is_ahead and self._is_quiet(tp, one))

    async def advance(self) -> None:
        """Write the oldest snapshot that is acknowledged, and take one of the next partition due, for a slice of time.

        Several snapshots may be pending, so that the wait for acknowledgements is not paid for each partition in turn.
        Only the records of the partition being written wait for Redis. Where all partitions are quiet, flushes follow
        one another.
        """
        until_s = self._clock() + self._settings.slice_ms / 1_000
        while await self._write_acknowledged() or await self._take_due() or await self._wait_if_all_quiet():
            if self._clock() > until_s:
                break

    async def settle(self, tp: TP | None = None) -> None:
        """Wait for the write in progress (only if it is of `tp`, where that is given).

        Raise the error that ended it.
        """
        if self._writing is not None and tp in (None, self._writing[0]):
            await asyncio.shield(self._writing[1])
            self._writing = None

    async def flush_values(self, tp: TP) -> None:
        """Write the values that Redis lacks, within a batch and so without a low offset.

        All outputs must be acknowledged.
        """
        if tp in self._pending:
            await self._write(tp)
        await self._timed(self._owned[tp].flush_values(self._settings.flush_slice_values_max))

    async def flush_all(self, tps: Collection[TP]) -> None:
        """Flush these partitions: wait for their outputs, write values in slices, partition state, low offset."""
        await self.settle()
        running = sorted(tp for tp in tps if self._owned[tp].memory is not None)
        if not running:
            return
        for tp in running:
            self._step("drain", tp.partition)
        await asyncio.to_thread(self._outbox().drain)
        for tp in list(self._pending):
            await self._finish(tp)
        for tp in running:
            if self._owned[tp].memory is None:
                continue  # lost by the flush just finished
            try:
                await self._timed(self._owned[tp].flush(self._settings.flush_slice_values_max))
                self._on_flushed(tp)
            except (Fenced, StoreUnavailable) as why:
                self._on_lost(tp, why)

    def forget(self, tp: TP) -> None:
        """Drop the pending snapshot of a partition."""
        self._pending.pop(tp, None)

    def forget_all(self) -> None:
        """Drop all pending snapshots: the outbox that their marks belong to is gone."""
        self._pending.clear()

    async def close(self) -> None:
        """Wait for the write in progress, whether it succeeds or not."""
        if self._writing is not None:
            await asyncio.wait({self._writing[1]})

    async def _write_acknowledged(self) -> bool:
        """Begin to write the oldest snapshot; return False where it is not acknowledged yet, or a write is in progress.

        Raise DeliveryFailed after _ACKNOWLEDGED_S_MAX seconds.
        """
        if self._writing is not None:
            if not self._writing[1].done():
                return False
            await self.settle()
        if not self._pending:
            return False
        tp, flush = next(iter(self._pending.items()))
        self._step("drain", tp.partition)
        if self._outbox().is_acknowledged(flush.mark):
            self._writing = tp, asyncio.create_task(self._finish(tp))
            return True
        if (waited_s := self._clock() - self._owned[tp].flushed_at_s) > _ACKNOWLEDGED_S_MAX:
            raise DeliveryFailed(f"outputs of {tp} are not acknowledged after {waited_s:.0f} s")
        return False

    async def _take_due(self) -> bool:
        """Take a snapshot of the next partition due; return False where none is, or enough of them are pending.

        A partition is due after an interval. Partitions that are due together are spaced out, or records would wait for
        all of them. A quiet one is due as soon as it has changes that Redis lacks.
        """
        now_s, interval_s = self._clock(), self._settings.flush_interval_ms / 1_000
        due_s = now_s - interval_s if now_s >= self._next_due_s else -math.inf
        due = [
            (one.flushed_at_s, tp)
            for tp, one in self._owned.items()
            if one.memory is not None
            and tp not in self._pending
            and (one.flushed_at_s <= due_s or (tp in self._quiet and one.is_ahead))
        ]
        if not due or len(self._pending) == _FLUSHES_MAX:
            return False
        _, tp = min(due)
        one = self._owned[tp]
        if one.flushed_at_s <= due_s:
            self._next_due_s = max(self._next_due_s + _SPACING * interval_s / len(self._owned), now_s)
        one.flushed_at_s, began_s = now_s, time.perf_counter()
        snapshot = await one.take(self._settings.flush_slice_values_max)
        self._pending[tp] = _Flush(snapshot, self._outbox().mark(), time.perf_counter() - began_s)
        return True

    def _is_quiet(self, tp: TP, one: OwnedPartition) -> bool:
        position, end = self._context().position(tp)
        return end is not None and position >= end and self._clock() - one.applied_at_s >= _QUIET_S

    async def _wait_if_all_quiet(self) -> bool:
        """Wait for the write in progress where that delays no partition's records; return False where it might."""
        if self._writing is None or any(one.is_ahead and tp not in self._quiet for tp, one in self._owned.items()):
            return False
        await self.settle()
        return True

    async def _finish(self, tp: TP) -> None:
        """Write a partition's snapshot, whose outputs are acknowledged; call `on_lost` where that fails."""
        try:
            await self._write(tp)
        except (Fenced, StoreUnavailable) as why:
            self._on_lost(tp, why)

    async def _write(self, tp: TP) -> None:
        flush, one = self._pending[tp], self._owned[tp]
        try:
            await self._timed(one.write(flush.snapshot), flush.taking_s)
        finally:
            self._pending.pop(tp, None)
        if one.memory is flush.snapshot.memory:
            self._on_flushed(tp)

    async def _timed(self, writing: Awaitable[tuple[int, int]], before_s: float = 0.0) -> None:
        """Await a write, and emit its values, bytes and seconds, `before_s` included."""
        began_s = time.perf_counter()
        values, size = await writing
        self._context().emit(Flushed(values=values, bytes=size, seconds=before_s + time.perf_counter() - began_s))
