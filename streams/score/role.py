"""The score role: partitions in memory, their values in Redis, their messages in Kafka, in an order that survives.

A flush takes a partition's changed values and its state as they are, waits until every message up to then is
acknowledged, and writes them: the values slice by slice, last the state with its low offset. So what Redis holds never
lacks an output, and a restart goes on at the low offset, skipping for each enterprise what its value already holds.
Records are applied while a flush waits. docs/adr/0006-commit-protocol.md argues each step.

A failure costs memory, not the process: the partition pauses, is claimed and loaded again when that is possible, and
the worker reads it again from the low offset.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from config.settings import Settings
from detectors.rules.artefact import RuleSet
from detectors.rules.artefact import decode as decode_rules
from detectors.rules.conditions import RuleError
from detectors.snapshot import Snapshot, SnapshotError
from detectors.snapshot import decode as decode_snapshot
from domain import topics
from sinks.artefacts import ArtefactCorrupt, fetch
from sinks.batch import BY_KEY, Headers
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import LINGER_MS_MAX, DeliveryFailed, Outbox
from sinks.redis_store import Fenced, Outbid, PartitionStore, StoreUnavailable, connect
from sinks.telemetry import (
    EventTime,
    Flushed,
    InForce,
    MemoryLost,
    Outcome,
    Outcomes,
    Readiness,
    Reading,
    StateSize,
    Unacknowledged,
    Written,
)
from streams.score import ownership
from streams.score.holding import Holding, Step, Taken
from streams.score.partition import Partition
from streams.score.rows import Outgoing, Writer
from streams.score.version import engine_version
from streams.score.warmup import compile_kernels
from streams.transport import Chunk
from streams.worker.role import DETACHED, TP, Role, RoleContext

DELAYED = "delayed_s"  # header of an alert: how many seconds the records behind it had waited in the log
# Keyed as the log, with as many partitions as it (config/topics.toml): nothing is to be computed for each record.
_LIKE_THE_LOG = frozenset({topics.SCORE, topics.INDICATOR})
_FETCH_S_MAX = 30.0
_DELIVERY_FAILURES_MAX = 5
_LANDING_S_MAX = 60.0  # longer than this, outputs of a flush are taken for lost
_QUIET_S = 0.25  # without a record and with none left to read, a partition is flushed before it is due
_FLUSHES_MAX = 4  # that wait at once: each holds the values of its partition a second time
_APART = 0.9  # of an interval's share for each partition lies between two flushes
_OUTBID_WAIT_S = 3.0  # a heartbeat: by then a zombie knows that its partitions are another's
log = logging.getLogger("xinliu.score")


class _Flush(NamedTuple):
    """What was taken of a partition, after which mark of the outbox, and the seconds that it took."""

    taken: Taken
    mark: int
    taking_s: float


class Score(Role):
    """Applies `events.v1` to the enterprises of the partitions that this worker owns."""

    name = "score"
    topics = (topics.EVENTS,)

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        *,
        make_outbox: Callable[..., Outbox] = Outbox,
        step: Step = lambda _step, _partition: None,
    ) -> None:
        self._settings = settings
        self._client = client_settings(settings.kafka)
        self._clock = clock
        self._make_outbox = make_outbox
        self._step = step
        self._held: dict[TP, Holding] = {}
        self._writer = Writer()
        self._turn_s = 0.0  # when others last had theirs between two batches
        self._rewinds: dict[TP, int] = {}
        self._delivery_failures = 0
        self._context = DETACHED
        self._quiet: frozenset[TP] = frozenset()  # as of the last tick
        self._next_flush_s = 0.0  # not before, of those that are due
        self._flushes: dict[TP, _Flush] = {}  # they wait for their outputs, in the order of their marks
        self._writing: tuple[TP, asyncio.Task[None]] | None = None  # one whose outputs have landed
        self._since_failure: set[TP] = set()  # what has not been flushed since outputs were last lost
        self._outcomes: Counter[tuple[TP, Outcome, str]] = Counter()
        self._written: Counter[tuple[str, str, str]] = Counter()

    async def start(self, context: RoleContext) -> None:
        """Connect, and compile the loop on nothing, before the group waits for us."""
        self._context = context
        redis = self._settings.redis
        self._redis = connect(redis.url, redis.timeout_s)
        self._open_outbox()
        compile_kernels()

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Own, claim and load each new partition; one that cannot be loaded now is paused and comes later."""
        await self._settle()
        self._forget(set(self._held) - tps)
        prefix = self._settings.redis.key_prefix
        for tp in tps - set(self._held):
            store = PartitionStore(self._redis, prefix, tp.partition)
            self._held[tp] = Holding(tp.partition, store, self._snapshot, self._rules, self._step, self._writer)
        self._share_residents()
        await self._load_due()
        self._rewinds.clear()
        return {tp: offset for tp, held in self._held.items() if (offset := held.position) is not None}

    async def revoked(self, tps: set[TP]) -> None:
        """Flush what is still ours, and forget."""
        mine = tps & set(self._held)
        await self._flush_all(mine)
        self._forget(mine)

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Apply a chunk in batches and send what follows. Without memory it is let go: it comes again by a rewind."""
        for part in chunk.pieces(self._settings.score.batch_records_max):
            if self._writing is not None and self._writing[0] == tp:
                await self._settle()
            memory = self._held[tp].memory
            if memory is None:
                self._outcomes[tp, "let_go", ""] += int(np.count_nonzero(chunk.offset >= part.start_offset))
                return
            self._step("apply", tp.partition)
            try:
                await self._apply_part(tp, memory, part)
            except DeliveryFailed as why:
                self._let_go(tp, memory, chunk, part)
                self._lose_outputs(why)
                return
            except (Fenced, StoreUnavailable) as why:
                self._let_go(tp, memory, chunk, part)
                self._drop(tp, why)
                return
            self._tally(tp, memory)
            self._held[tp].applied_at_s = self._clock()
            if self._slice_is_over(self._turn_s):
                await self._go_on_flushing()
                await asyncio.sleep(0)  # signals and heartbeats get their turn
                self._turn_s = self._clock()

    def flush_after_fetch(self) -> None:
        """Send what waits in the outbox."""
        self._outbox.hurry()

    def low_offset(self, tp: TP) -> int | None:
        """Where a restart would go on: the low offset that Redis holds. None while that is not known."""
        held = self._held.get(tp)
        return None if held is None else held.low_offset

    @property
    def paused(self) -> frozenset[TP]:
        """Partitions without memory."""
        return frozenset(tp for tp, held in self._held.items() if held.memory is None)

    def rewinds(self) -> Mapping[TP, int]:
        """Where partitions go on that were loaded again since the last call."""
        rewinds, self._rewinds = self._rewinds, {}
        return rewinds

    def readings(self) -> Iterator[Reading]:
        """Return counts, state sizes and readiness."""
        for (tp, outcome, reason), records in self._outcomes.items():
            yield Outcomes(topic=tp.topic, partition=tp.partition, outcome=outcome, reason=reason, records=records)
        for (kind, severity, state), records in self._written.items():
            yield Written(kind=kind, severity=severity, state=state, records=records)  # type: ignore[arg-type]
        lacking = [tp.partition for tp, held in self._held.items() if held.memory is None]
        for tp, held in self._held.items():
            if (memory := held.memory) is not None:
                yield from _of_partition(tp.partition, memory)
        yield Unacknowledged(outputs=self._outbox.sent_count - self._outbox.acknowledged_count)
        if lacking:
            yield Readiness(ready=False, why_not=f"partitions {sorted(lacking)} wait for Redis or Kafka, see the log")

    async def tick(self) -> None:
        """Load again what can be, flush what it is time for."""
        try:
            self._outbox.poll()
        except DeliveryFailed as why:
            self._lose_outputs(why)
        await self._load_due()
        self._quiet = frozenset(tp for tp, held in self._held.items() if held.is_ahead and self._is_quiet(tp, held))
        await self._go_on_flushing()

    async def stop(self) -> None:
        """Close the connections; what was not flushed comes again."""
        if self._writing is not None:
            await asyncio.wait({self._writing[1]})
        self._redis.close()
        self._outbox.close()

    async def _apply_part(self, tp: TP, memory: Partition, part: Chunk) -> None:
        """Send each slice of records; make room in memory where it wants some, and let others have their turn."""
        turn_s, headers = self._clock(), self._delay(part)
        for outgoing in memory.apply(part):
            self._send(tp, outgoing, headers)
            if memory.wants_room:
                await self._make_room(tp, memory)
            if self._slice_is_over(turn_s):
                self._outbox.poll()
                await asyncio.sleep(0)
                turn_s = self._clock()

    def _slice_is_over(self, turn_s: float) -> bool:
        return (self._clock() - turn_s) * 1_000 >= self._settings.score.slice_ms

    def _delay(self, part: Chunk) -> Headers:
        """What alerts carry where their records have waited in the log: those of a backlog are no news."""
        appended_ms = int(part.timestamp_ms[0]) if len(part) else 0
        waited_s = time.time() - appended_ms / 1_000
        if not appended_ms or waited_s < self._settings.score.delayed_s:
            return ()
        return ((DELAYED, str(int(waited_s)).encode()),)

    def _send(self, tp: TP, outgoing: Sequence[Outgoing], delay: Headers) -> None:
        for topic, records in outgoing:
            self._step("send", tp.partition)
            headers = delay if topics.is_alert(topic) else ()
            place = tp.partition if topic in _LIKE_THE_LOG else BY_KEY
            self._outbox.send_batch(topic, records, headers=headers, partition=place)
        if not delay and any(topics.is_alert(topic) for topic, _ in outgoing):
            self._outbox.hurry()

    async def _make_room(self, tp: TP, memory: Partition) -> None:
        """Evict; values that Redis does not hold are flushed before, but no partition state in mid-batch."""
        self._step("evict", tp.partition)
        if not memory.make_room():
            self._step("drain", tp.partition)
            await asyncio.to_thread(self._outbox.drain)
            if tp in self._flushes:
                await self._write_taken(tp)
            await self._timed(self._held[tp].flush_values(self._settings.score.flush_slice_values_max))
            self._step("evict", tp.partition)
            if not memory.make_room():
                raise RuntimeError(f"{tp}: no room in memory though all is flushed")

    def _share_residents(self) -> None:
        """The bound of the process, divided over its partitions: ids are spread evenly over them."""
        for held in self._held.values():
            held.bound(max(1, self._settings.score.enterprises_resident_max // len(self._held)))

    async def _load_due(self) -> None:
        """Own, claim and load what has no memory and has waited long enough."""
        due = {tp: held for tp, held in self._held.items() if held.memory is None and self._clock() >= held.retry_at_s}
        if due:
            await self._settle()  # it may be of one of them, before it was dropped
        unowned = {tp: held for tp, held in due.items() if held.epoch is None}
        if unowned:
            try:
                await asyncio.to_thread(self._own, list(unowned.values()))
            except ownership.OwnershipUnknown as why:
                for tp in unowned:
                    due.pop(tp)
                    self._drop(tp, why)
        for tp, held in sorted(due.items()):
            try:
                if not held.load():
                    log.warning("%s has had an owner, but Redis holds nothing of it: reading its log from 0", tp)
            except (Fenced, StoreUnavailable) as why:
                self._drop(tp, why)
                continue
            assert held.memory is not None
            held.flushed_at_s = self._clock()
            self._rewinds[tp] = held.memory.low_offset
            log.info("%s runs: %d enterprises, from offset %d", tp, held.memory.residents.known, self._rewinds[tp])

    def _own(self, unowned: list[Holding]) -> None:
        kafka, numbers = self._settings.kafka, [held.number for held in unowned]
        for number in numbers:
            self._step("own", number)
        before = ownership.owned_before(kafka.bootstrap, self._client)
        epochs = ownership.take(kafka.bootstrap, self._client, numbers, kafka.instance_id or "score")
        for held in unowned:
            held.own(epochs[held.number], is_first=held.number not in before)

    def _drop(self, tp: TP, why: Exception) -> None:
        """Forget a partition's memory; outbid, we need a new record, unless the group takes the partition before."""
        held, outbid = self._held[tp], isinstance(why, Outbid)
        self._flushes.pop(tp, None)
        if outbid:
            held.epoch = None
        self._context.emit(MemoryLost(partition=tp.partition, why=type(why).__name__))
        wait_s = held.drop(self._clock(), wait_s_min=_OUTBID_WAIT_S if outbid else 0.0)
        log.warning("%s is not ready, nothing of it is committed; next attempt in %.1f s: %s", tp, wait_s, why)

    def _lose_outputs(self, why: DeliveryFailed) -> None:
        """An output is lost: nothing that was computed after it may land, so all memory goes, and the producer."""
        self._delivery_failures += 1
        if self._delivery_failures > _DELIVERY_FAILURES_MAX:
            raise why
        self._outbox.close()
        self._open_outbox()
        self._since_failure = set(self._held)
        for tp, held in self._held.items():
            if held.memory is not None:
                self._drop(tp, why)

    def _open_outbox(self) -> None:
        self._outbox = self._make_outbox(
            self._settings.kafka.bootstrap, aiokafka_settings(self._settings.kafka), linger_ms=LINGER_MS_MAX
        )
        self._flushes.clear()  # their marks were the other's

    def _forget(self, tps: set[TP]) -> None:
        for tp in tps:
            del self._held[tp]
            self._rewinds.pop(tp, None)
            self._flushes.pop(tp, None)
            self._since_failure.discard(tp)

    async def _go_on_flushing(self) -> None:
        """For a slice: write what was taken once its outputs have landed, take what has waited longest since its last.

        A few may wait at once: so the time that outputs take to land is not paid for each partition in turn. One is
        written at a time, while others are applied: only its own records wait for Redis. Where all are quiet, one flush
        follows the other.
        """
        until_s = self._clock() + self._settings.score.slice_ms / 1_000
        try:
            while await self._write_landed() or await self._take_next() or await self._wait_where_idle():
                if self._clock() > until_s:
                    break
        except DeliveryFailed as why:
            self._lose_outputs(why)

    async def _write_landed(self) -> bool:
        """Begin to write what has waited longest; False where its outputs are on their way, or Redis still works.

        DeliveryFailed after too long.
        """
        if self._writing is not None:
            if not self._writing[1].done():
                return False
            await self._settle()
        if not self._flushes:
            return False
        tp, flush = next(iter(self._flushes.items()))
        self._step("drain", tp.partition)
        if self._outbox.has_landed(flush.mark):
            self._writing = tp, asyncio.create_task(self._end_flush(tp))
            return True
        if (waited_s := self._clock() - self._held[tp].flushed_at_s) > _LANDING_S_MAX:
            raise DeliveryFailed(f"outputs of {tp} are not acknowledged after {waited_s:.0f} s")
        return False

    async def _take_next(self) -> bool:
        """False where no partition is due, or enough of them wait.

        One is due after an interval, but not together with others that are: records would wait for all of them. A quiet
        one is due as soon as it is ahead of Redis.
        """
        now_s, interval_s = self._clock(), self._settings.score.flush_interval_ms / 1_000
        due_s = now_s - interval_s if now_s >= self._next_flush_s else -math.inf
        due = [
            (held.flushed_at_s, tp)
            for tp, held in self._held.items()
            if held.memory is not None
            and tp not in self._flushes
            and (held.flushed_at_s <= due_s or (tp in self._quiet and held.is_ahead))
        ]
        if not due or len(self._flushes) == _FLUSHES_MAX:
            return False
        _, tp = min(due)
        held = self._held[tp]
        if held.flushed_at_s <= due_s:
            self._next_flush_s = max(self._next_flush_s + _APART * interval_s / len(self._held), now_s)
        held.flushed_at_s, began_s = now_s, time.perf_counter()
        taken = await held.take(self._settings.score.flush_slice_values_max)
        self._flushes[tp] = _Flush(taken, self._outbox.mark(), time.perf_counter() - began_s)
        return True

    def _is_quiet(self, tp: TP, held: Holding) -> bool:
        position, end = self._context.position(tp)
        return end is not None and position >= end and self._clock() - held.applied_at_s >= _QUIET_S

    async def _wait_where_idle(self) -> bool:
        """Wait for what is being written where nobody's records would wait too; False where somebody's might."""
        if self._writing is None or any(held.is_ahead and tp not in self._quiet for tp, held in self._held.items()):
            return False
        await self._settle()
        return True

    async def _end_flush(self, tp: TP) -> None:
        """Write what was taken of a partition; all outputs before that are acknowledged."""
        try:
            await self._write_taken(tp)
        except (Fenced, StoreUnavailable) as why:
            self._drop(tp, why)

    async def _settle(self) -> None:
        """Wait for what is being written; raises what has ended it."""
        if self._writing is not None:
            await asyncio.shield(self._writing[1])
            self._writing = None

    async def _write_taken(self, tp: TP) -> None:
        flush, held = self._flushes[tp], self._held[tp]
        try:
            await self._timed(held.write(flush.taken), flush.taking_s)
        finally:
            self._flushes.pop(tp, None)
        if held.memory is flush.taken.memory:
            self._flushed(tp)

    async def _flush_all(self, tps: set[TP]) -> None:
        """Outputs acknowledged -> values in slices -> partition state -> low offset, of each of these."""
        await self._settle()
        running = sorted(tp for tp in tps if self._held[tp].memory is not None)
        if not running:
            return
        try:
            for tp in running:
                self._step("drain", tp.partition)
            await asyncio.to_thread(self._outbox.drain)
        except DeliveryFailed as why:
            self._lose_outputs(why)
            return
        for tp in list(self._flushes):
            await self._end_flush(tp)
        for tp in running:
            if self._held[tp].memory is None:
                continue  # the flush just ended has lost it
            try:
                await self._timed(self._held[tp].flush(self._settings.score.flush_slice_values_max))
                self._flushed(tp)
            except (Fenced, StoreUnavailable) as why:
                self._drop(tp, why)

    def _flushed(self, tp: TP) -> None:
        """Lost outputs are forgiven when every partition has been flushed since."""
        self._since_failure.discard(tp)
        if not self._since_failure:
            self._delivery_failures = 0

    async def _timed(self, writing: Awaitable[tuple[int, int]], before_s: float = 0.0) -> None:
        """Write, and tell how much that was and how long it took, with the seconds before."""
        began_s = time.perf_counter()
        values, size = await writing
        self._context.emit(Flushed(values=values, bytes=size, seconds=before_s + time.perf_counter() - began_s))

    def _let_go(self, tp: TP, memory: Partition, chunk: Chunk, part: Chunk) -> None:
        """Count what a batch came to before it failed, and the rest of the chunk, which is not applied."""
        counted = self._tally(tp, memory)
        self._outcomes[tp, "let_go", ""] += int(np.count_nonzero(chunk.offset >= part.start_offset)) - counted

    def _tally(self, tp: TP, memory: Partition) -> int:
        """Take over what a partition has counted; how many records that were."""
        outcomes, written = memory.take_tally()
        for (outcome, reason), records in outcomes.items():
            self._outcomes[tp, outcome, reason] += records
        self._written += written
        return outcomes.total()

    def _snapshot(self, model_id: str) -> Snapshot:
        return fetched_snapshot(self._settings.kafka.bootstrap, self._client, model_id)

    def _rules(self, rules_id: str) -> RuleSet:
        return fetched_rules(self._settings.kafka.bootstrap, self._client, rules_id)


def fetched_snapshot(bootstrap: str, client: Mapping[str, str], model_id: str) -> Snapshot:
    """A model from `model.v1`. SnapshotError where it cannot be scored with, ArtefactMissing where it is not there."""
    try:
        body = fetch(bootstrap, topics.MODEL, model_id, _FETCH_S_MAX, client)
    except ArtefactCorrupt as error:  # refused like one that hashes well and cannot be scored with
        raise SnapshotError(str(error)) from error
    return decode_snapshot(body, model_id)


def fetched_rules(bootstrap: str, client: Mapping[str, str], rules_id: str) -> RuleSet:
    """Rules from `artefact.v1`. RuleError where they cannot be used, ArtefactMissing where they are not there."""
    try:
        body = fetch(bootstrap, topics.ARTEFACT, rules_id, _FETCH_S_MAX, client)
    except ArtefactCorrupt as error:
        raise RuleError(str(error)) from error
    return decode_rules(body, rules_id)


def _of_partition(number: int, memory: Partition) -> Iterator[Reading]:
    yield StateSize(partition=number, resident=len(memory.residents), bytes=memory.residents.nbytes)
    if memory.up_to >= 0:
        yield EventTime(partition=number, up_to_ms=memory.up_to)
    yield InForce(
        partition=number,
        model_id=memory.model_id,
        rules_id=memory.rules.id,
        engine_version=engine_version(),
        backfill=memory.backfill,
    )
