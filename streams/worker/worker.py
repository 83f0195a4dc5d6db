"""Runs a role: as a Faust worker until it is told to stop, or in process over chunks that are already there."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP
from faust.types.transports import ConsumerT

from sinks import batch
from sinks.telemetry import BatchApplied, Consumed, NoTelemetry, Readiness, Reading, Telemetry
from streams.transport import Chunk, OffsetOutsideLog, TransportOptions, Unreadable, batches
from streams.worker.agents import ChunkApp, add_agent
from streams.worker.loop_watch import LoopWatch
from streams.worker.role import DETACHED, Role, RoleContext
from streams.worker.stop_deadline import set_stop_deadline

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Options of a worker. Times are in seconds."""

    tick_interval_s: float = 0.05
    commit_interval_s: float = 0.25
    """An idle partition waits for no more than this to be committed; a commit costs worker and broker a millisecond."""
    session_timeout_s: float = 15.0
    """The group gives a silent worker's partitions to others after this."""
    heartbeat_interval_s: float = 3.0
    rebalance_timeout_s: float = 60.0
    request_timeout_s: float = 40.0
    reading_interval_s: float = 1.0
    """How often telemetry is read."""
    stall_s: float = 60.0
    """Exit where there is something to read and nothing has come for this long."""
    blocked_s: float = 5.0
    """An alarm where the event loop takes no turn for this long: nothing is applied, ticked or committed meanwhile."""
    stop_s: float = 25.0
    """Exit, clean or not, this long after SIGTERM."""
    last_commit_s: float = 8.0
    """How long the commit before giving partitions away may take; it retries while the broker is away."""
    log_end_wait_s: float = 10.0
    """A broker that has just restarted may for a moment say that its log ends earlier."""
    buffered_chunks_max: int = 8
    group_instance_id: str | None = None
    """Set, it makes the worker a static member: a quick restart keeps its partitions."""
    transport: TransportOptions = field(default_factory=TransportOptions)

    def __post_init__(self) -> None:
        if self.session_timeout_s <= self.heartbeat_interval_s or self.session_timeout_s > self.request_timeout_s:
            raise ValueError(
                f"session_timeout_s = {self.session_timeout_s} must be above "
                f"heartbeat_interval_s = {self.heartbeat_interval_s} "
                f"and not above request_timeout_s = {self.request_timeout_s}"
            )


class StalledError(Exception):
    """There is something to read, and nothing comes."""


def run_worker(
    role: Role, *, broker: str, app_id: str, options: WorkerOptions | None = None, telemetry: Telemetry | None = None
) -> int:
    """Run `role` in this process as a member of group `app_id` until SIGTERM or SIGINT; return the exit code.

    That is 0 after a clean stop (flushed, committed, left the group), and 1 where something failed, with the cause on
    stderr. A process that cannot stop within `stop_s` says where it waits and exits with 1.
    """
    options = options or WorkerOptions()
    return asyncio.run(Worker(role, broker=broker, app_id=app_id, options=options, telemetry=telemetry).run())


async def drive(role: Role, source: Iterable[tuple[TP, Chunk]], *, tps: Iterable[TP] | None = None) -> None:
    """Run `role` over chunks without a broker, as the worker would: for tests and replays.

    `tps` are the partitions to assign; without them the source is read into memory to find them.
    """
    if tps is None:
        source = list(source)
        tps = [tp for tp, _ in source]
    held = set(tps)
    await role.start(DETACHED)
    positions = dict(await role.assigned(set(held)))
    for tp, chunk in source:
        part = chunk.from_offset(positions.get(tp, chunk.start_offset))
        if len(part):
            await role.apply(tp, part)
        positions[tp] = max(part.next_offset, positions.get(tp, 0))
        await role.tick()
    await role.revoked(held)
    await role.stop()


class Worker:
    """The transport's listener: calls the role's methods one at a time, keeps positions, stops at the first failure."""

    def __init__(
        self, role: Role, *, broker: str, app_id: str, options: WorkerOptions, telemetry: Telemetry | None = None
    ) -> None:
        self.role, self.options, self.app_id = role, options, app_id
        self._telemetry = telemetry or NoTelemetry()
        self._consumed: Counter[TP] = Counter()  # records handed to the role since the start
        self._consumed_bytes: Counter[TP] = Counter()  # of these
        self._told_at = 0.0
        self.broker = broker
        self._lock = asyncio.Lock()
        self._positions: dict[TP, int] = {}
        self._empty_spans: dict[TP, tuple[int, int]] = {}
        self._paused: frozenset[TP] = frozenset()
        self._rewinds: dict[TP, int] = {}  # what the role said, not sought yet
        self._rewound: set[TP] = set()
        self._generation = -1
        self._error: BaseException | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._deadline: threading.Timer | None = None
        self._progress_at = time.monotonic()

    # What the transport calls

    async def assigned(self, tps: set[TP], generation: int) -> None:
        """Let the role claim and load.

        A partition starts where the role says, else as committed, else at the log's start.
        """
        async with self._lock:
            if self._stopping:
                return
            self._positions, self._empty_spans, self._generation = {}, {}, generation
            self._paused, self._rewinds, self._rewound = frozenset(), {}, set()
            if tps:
                await self._guarded(self._claim(tps))
            self._progress_at = time.monotonic()

    async def revoked(self, tps: set[TP]) -> None:
        """Let the role flush, and commit."""
        async with self._lock:
            held = tps & set(self._positions)
            if held and not self._stopping:
                await self._guarded(self._release(held))

    def positions(self) -> tuple[int, Mapping[TP, int]]:
        """Return the generation last assigned, and the next offset to deliver of each of its partitions."""
        return self._generation, dict(self._positions)

    def low_offset(self, tp: TP) -> int | None:
        """Return the role's lowest unapplied offset, advanced over markers and aborted transactions that follow it."""
        if self._error is not None or tp not in self._positions:
            return None
        return self._over_empty(tp, self.role.low_offset(tp))

    def failed(self, error: BaseException) -> None:
        """Remember the first failure, and stop."""
        if self._error is None and not self._stopping:
            self._error = error
        self._stopping = True
        self._wake.set()

    # Running

    def stop_soon(self) -> None:
        """Stop cleanly, as on SIGTERM."""
        self._wake.set()

    async def run(self) -> int:
        """Run until a signal or a failure; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop_soon)
        try:
            if self.options.transport.parser == "compiled":
                batches.warm()
            batch.warm()
            await self._until_woken(self.role.start(self._context()))
            if not self._wake.is_set():
                await self._serve()
            await self.role.stop()
        except Exception as error:  # noqa: BLE001  printed below, and the exit code says it
            self._error = self._error or error
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if self._error is None:
            return 0
        print(f"{self.role.name}: stopped by {type(self._error).__name__}: {self._error}", file=sys.stderr, flush=True)
        traceback.print_exception(self._error, file=sys.stderr)
        return 1

    async def _serve(self) -> None:
        self._app = self._make_app()
        watched = [asyncio.create_task(self._app.start()), asyncio.create_task(self._tick())]
        watched.append(asyncio.create_task(self._watch_app()))
        watched.append(asyncio.create_task(self._watch_progress()))
        watch = LoopWatch(self.role.name, self.options.blocked_s)
        watched.append(asyncio.create_task(watch.beat()))
        watch.start()
        for task in watched:
            task.add_done_callback(self._ended)
        await self._wake.wait()
        loops = [asyncio.get_running_loop(), self._consumer.thread_loop]
        self._deadline = set_stop_deadline(self.role.name, self.options.stop_s, loops)
        async with self._lock:
            if self._error is None and self._positions:
                await self._guarded(self._release(set(self._positions)))
            self._stopping = True
        for task in watched[1:]:
            task.cancel()
        watch.end()
        await self._app.stop()
        watched[0].cancel()
        await asyncio.gather(*watched, return_exceptions=True)

    async def _until_woken(self, step: Coroutine[Any, Any, None]) -> None:
        """Run a step, and cancel it when a signal comes first."""
        running, woken = asyncio.create_task(step), asyncio.create_task(self._wake.wait())
        await asyncio.wait({running, woken}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, woken):
            if not task.done():
                task.cancel()
        await asyncio.gather(running, woken, return_exceptions=True)
        if not running.cancelled():
            running.result()

    def _make_app(self) -> ChunkApp:
        options = self.options
        app = ChunkApp(
            self.app_id,
            listener=self,
            transport_options=options.transport,
            broker=[f"xinliu://{address}" for address in self.broker.split(",")],
            broker_session_timeout=options.session_timeout_s,
            broker_heartbeat_interval=options.heartbeat_interval_s,
            broker_rebalance_timeout=options.rebalance_timeout_s,
            broker_request_timeout=options.request_timeout_s,
            broker_commit_interval=options.commit_interval_s,
            stream_buffer_maxsize=options.buffered_chunks_max,
            consumer_group_instance_id=options.group_instance_id,
        )
        add_agent(app, self.role.name, self.role.topics, self._apply)
        app.finalize()
        return app

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)

    async def _guarded(self, step: Awaitable[None]) -> None:
        try:
            await step
        except Exception as error:  # noqa: BLE001  stops the worker, which prints it
            self.failed(error)

    async def _apply(self, chunks: Sequence[tuple[TP, Chunk | Unreadable]]) -> None:
        for tp, chunk in chunks:
            async with self._lock:
                if not self._stopping and chunk.generation == self._generation and tp in self._positions:
                    await self._guarded(self._apply_next(tp, chunk))
        async with self._lock:
            if not self._stopping:
                self.role.flush_after_fetch()
            await self._guarded(self._apply_pauses_and_rewinds())
        if self._stopping:
            await asyncio.Event().wait()  # until the app stops: what follows a failure is not applied
        await asyncio.sleep(0)  # ticks, commits and signals get their turn

    async def _apply_next(self, tp: TP, chunk: Chunk | Unreadable) -> None:
        if tp in self._rewinds:
            return
        position = self._positions[tp]
        if isinstance(chunk, Unreadable):
            if chunk.start_offset == position:  # else fetched before a rewind
                await self.role.unreadable(tp, chunk.batch)
            return
        if tp in self._rewound:
            if chunk.start_offset > position or chunk.next_offset <= position:
                return  # fetched before the rewind, or once more after it
            chunk = chunk.from_offset(position)
        if chunk.start_offset != position:
            raise RuntimeError(f"{tp.topic}[{tp.partition}]: offset {position} was due, {chunk.start_offset} came")
        if len(chunk):
            began_s = time.perf_counter()
            await self.role.apply(tp, chunk)
            self._consumed[tp] += len(chunk)
            self._consumed_bytes[tp] += chunk.payload_bytes
            seconds = time.perf_counter() - began_s
            self._telemetry.emit(BatchApplied(topic=tp.topic, records=len(chunk), seconds=seconds))
        else:
            start, end = self._empty_spans.get(tp, (position, position))
            self._empty_spans[tp] = (start if end == position else position, chunk.next_offset)
        self._positions[tp] = chunk.next_offset
        self._progress_at = time.monotonic()

    async def _claim(self, tps: set[TP]) -> None:
        starts = dict(await self.role.assigned(set(tps)))
        if missing := tps - set(starts):
            starts |= await self._consumer.committed(missing)
        self._positions = await self._within_log(tps, starts)

    async def _within_log(self, tps: set[TP], starts: Mapping[TP, int]) -> dict[TP, int]:
        """Return the offsets to go on from, the log's first where none is given.

        Raise OffsetOutsideLog where one is not in the log.
        """
        until = time.monotonic() + self.options.log_end_wait_s
        begin, end = await self._consumer.log_bounds(tps)
        while any(starts.get(tp, 0) > end[tp] for tp in tps) and time.monotonic() < until:
            await asyncio.sleep(0.2)
            begin, end = await self._consumer.log_bounds(tps)
        found = {tp: starts.get(tp, begin[tp]) for tp in tps}
        for tp, start in found.items():
            if not begin[tp] <= start <= end[tp]:
                raise OffsetOutsideLog(tp.topic, tp.partition, start, begin[tp], end[tp])
        return found

    async def _release(self, tps: set[TP]) -> None:
        """Let the role flush and forget.

        Commit the low offset that it reports after that, or before where it reports none.
        """
        before = {tp: self.role.low_offset(tp) for tp in tps}
        await self.role.revoked(set(tps))
        lows: dict[TP, int] = {}
        for tp in tps:
            after = self.role.low_offset(tp)
            low = self._over_empty(tp, before[tp] if after is None else after)
            if low is not None:
                lows[tp] = low
            del self._positions[tp]
        if not lows:
            return
        try:
            await asyncio.wait_for(self._consumer._commit_offsets(lows), self.options.last_commit_s)
        except TimeoutError:
            log.warning("offsets not committed in %s s, records will come again: %s", self.options.last_commit_s, lows)

    def _over_empty(self, tp: TP, low: int | None) -> int | None:
        start, end = self._empty_spans.get(tp, (-1, -1))
        return end if low is not None and low == start else low

    async def _apply_pauses_and_rewinds(self) -> None:
        """Seek where the role rewinds to, pause what it pauses, and resume what it no longer does."""
        if self._stopping or not self._positions:
            return
        self._rewinds |= {tp: offset for tp, offset in self.role.rewinds().items() if tp in self._positions}
        if self._rewinds:
            await self._rewind()
        wanted = self.role.paused & self._positions.keys()
        if wanted != self._paused:
            self._consumer.resume_partitions(self._paused & self._positions.keys() - wanted)
            self._consumer.pause_partitions(wanted - self._paused)
            self._paused = wanted

    async def _rewind(self) -> None:
        """Seek. Chunks of these partitions that come before that is done are dropped."""
        rewinds = self._rewinds
        try:
            positions = await self._within_log(set(rewinds), rewinds)
        except KafkaError as error:
            if not error.retriable:
                raise
            log.warning("not yet back at %s: %r", rewinds, error)
            return
        await self._consumer.rewind(rewinds)
        for tp in rewinds:
            self._empty_spans.pop(tp, None)
        self._positions |= positions
        self._rewound |= set(rewinds)
        self._rewinds = {}
        self._progress_at = time.monotonic()

    def _context(self) -> RoleContext:
        return RoleContext(
            emit=self._telemetry.emit,
            position=lambda tp: (self._positions.get(tp, 0), self._consumer.log_end(tp)),
            end_offsets=self._end_offsets,
            generation=lambda: self._generation,
        )

    async def _end_offsets(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        found: Mapping[TP, int] = await self._consumer.log_ends(set(tps))
        return found

    @property
    def _consumer(self) -> Any:
        consumer: ConsumerT = self._app.consumer
        return consumer

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.options.tick_interval_s)
            async with self._lock:
                if not self._stopping:
                    await self._guarded(self.role.tick())
                    await self._guarded(self._apply_pauses_and_rewinds())
                    self._emit_readings()

    def _emit_readings(self) -> None:
        """Emit the role's readings, between two calls of its methods, so that the counts of one moment add up."""
        if (now := time.monotonic()) - self._told_at < self.options.reading_interval_s:
            return
        self._told_at = now
        self._telemetry.read(self._readings())

    def _readings(self) -> list[Reading]:
        found = list(self.role.readings())
        not_ready = [one for one in found if isinstance(one, Readiness) and not one.ready]
        readings = [one for one in found if not isinstance(one, Readiness)]
        for tp in self._consumed.keys() | self._positions.keys():
            held = tp in self._positions
            readings.append(
                Consumed(
                    topic=tp.topic,
                    partition=tp.partition,
                    records=self._consumed[tp],
                    payload_bytes=self._consumed_bytes[tp],
                    position=self._positions.get(tp, 0),
                    end=self._consumer.log_end(tp) if held else None,
                )
            )
        if self._generation < 0:
            not_ready.append(Readiness(ready=False, why_not="the group has not given it its partitions yet"))
        return [*readings, *(not_ready[:1] or [Readiness(ready=True)])]

    async def _watch_app(self) -> None:
        await self._app.wait_until_stopped()
        raise self._app.crash_reason or RuntimeError("the Faust app has stopped by itself")

    async def _watch_progress(self) -> None:
        """Raise StalledError where there is something to read and nothing comes: a known fault of the libraries.

        What counts is how long the worker has been behind without moving, not how long nothing came: a quiet log is no
        fault, and its first new record is there a moment before it is delivered.
        """
        look_s = min(5.0, self.options.stall_s / 4)
        behind_since_s, moved_at_s = math.inf, self._progress_at
        while True:
            await asyncio.sleep(look_s)
            now_s = time.monotonic()
            if moved_at_s != self._progress_at:
                behind_since_s, moved_at_s = math.inf, self._progress_at
            if now_s - moved_at_s < look_s or not self._positions or self._lock.locked():
                continue
            seen = {tp: offset for tp, offset in self._positions.items() if tp not in self._paused}
            try:
                _, end = await self._consumer.log_bounds(set(seen))
            except Exception as error:  # noqa: BLE001  a broker that does not answer is no stalled consumer
                log.warning("cannot ask for the ends of the logs: %r", error)
                continue
            behind = {tp: end[tp] - offset for tp, offset in seen.items() if end[tp] > offset}
            behind_since_s = min(behind_since_s, now_s) if behind else math.inf
            idle_s = time.monotonic() - behind_since_s
            if idle_s >= self.options.stall_s and moved_at_s == self._progress_at:
                raise StalledError(f"nothing has come for {idle_s:.0f} s, though there is: {behind}")
