"""The score role: partitions in memory, their values in Redis, their messages in Kafka, in an order safe from crashes.

A flush takes a partition's changed values and its state as of now, waits until every message up to now is acknowledged,
and writes them: the values slice by slice, last the state with its low offset. So Redis never holds a state whose
outputs are missing, and a restart goes on at the low offset, skipping for each enterprise what its value already holds.
Records are applied while a flush waits. docs/adr/0006-commit-protocol.md has the reasons for each step.

A failure costs memory, not the process: the partition pauses, is claimed and loaded again when that is possible, and
the worker reads it again from the low offset.

A control record that names another engine ends a partition: everything before it is flushed, and the worker stops when
all of its partitions have ended (docs/adr/0048-one-engine-a-partition.md).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import redis

from config.settings import Settings
from detectors.rules.artefact import RuleSet
from detectors.snapshot import Snapshot
from domain import topics
from sinks.artefacts import ArtefactMissing
from sinks.batch import BY_KEY, Headers
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import LINGER_MS_MAX, DeliveryFailed, Outbox
from sinks.redis_store import Fenced, Outbid, PartitionStore, StoreUnavailable, opened, read_stored
from sinks.telemetry import (
    DaysClosed,
    EventTime,
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
from streams import control_log
from streams.artefacts import rules_of, snapshot_of
from streams.score import engines, ownership
from streams.score.engines import EnginesDiffer
from streams.score.flush_scheduler import FlushScheduler
from streams.score.owned_partition import OwnedPartition, Step
from streams.score.partition import EngineVersionChanged, Partition, PartitionState
from streams.score.rows import Outgoing, Writer
from streams.score.version import engine_version
from streams.score.warmup import compile_kernels
from streams.transport import Chunk
from streams.worker.role import DETACHED, TP, Role, RoleContext

DELAYED = "delayed_s"  # header of an alert: how many seconds the records behind it had waited in the log
# Keyed as the log, with as many partitions as it (config/topics.toml): nothing is to be computed for each record.
_LIKE_THE_LOG = frozenset({topics.SCORE, topics.INDICATOR})
_DELIVERY_FAILURES_MAX = 5
_OUTBID_WAIT_S = 3.0  # a heartbeat: by then a zombie knows that its partitions are another's
log = logging.getLogger("xinliu.score")


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
        self._held: dict[TP, OwnedPartition] = {}
        self._writer = Writer()
        self._turn_s = 0.0  # when others last had theirs between two batches
        self._rewinds: dict[TP, int] = {}
        self._engines = engines.NO_RECORDS  # as last read
        self._delivery_failures = 0
        self._context = DETACHED
        self._flushes = FlushScheduler(
            self._held,
            settings.score,
            clock,
            step,
            outbox=lambda: self._outbox,
            context=lambda: self._context,
            on_flushed=self._flushed,
            on_lost=self._drop,
        )
        self._since_failure: set[TP] = set()  # what has not been flushed since outputs were last lost
        self._outcomes: Counter[tuple[TP, Outcome, str]] = Counter()
        self._written: Counter[tuple[str, str, str]] = Counter()
        self._days_closed: Counter[bool] = Counter()

    async def start(self, context: RoleContext) -> None:
        """Connect, and compile all kernels before the worker joins its group.

        Raise EnginesDiffer where partitions are another engine's, and EngineVersionChanged where all are handed on: in
        the group this worker would keep them from those that may go on. Raise ArtefactMissing where some are handed on
        and `control.v1` cannot be read.
        """
        self._context = context
        self._redis = opened(self._settings.redis)
        await self._demand_a_part()
        self._open_outbox()
        compile_kernels()

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Own, claim and load each new partition; return where each goes on.

        One that cannot be loaded now is paused until it can.
        """
        await self._flushes.settle()
        self._forget(set(self._held) - tps)
        prefix = self._settings.redis.key_prefix
        for tp in tps - set(self._held):
            store = PartitionStore(self._redis, prefix, tp.partition)
            self._held[tp] = OwnedPartition(
                tp.partition, store, self._snapshot, self._rules, self._step, self._writer, lambda: self._engines
            )
        self._share_residents()
        await self._load_due()
        self._rewinds.clear()
        return {tp: offset for tp, held in self._held.items() if (offset := held.position) is not None}

    async def revoked(self, tps: set[TP]) -> None:
        """Flush the partitions that are still owned, and drop them."""
        mine = tps & set(self._held)
        try:
            await self._flushes.flush_all(mine)
        except DeliveryFailed as why:
            self._lose_outputs(why)
        self._forget(mine)

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Apply a chunk in batches and send the outputs. Without memory it is dropped: it comes again by a rewind."""
        for part in chunk.pieces(self._settings.score.batch_records_max):
            await self._flushes.settle(tp)
            memory = self._held[tp].memory
            if memory is None or memory.next_engine:
                self._outcomes[tp, "let_go", ""] += int(np.count_nonzero(chunk.offset >= part.start_offset))
                return
            self._step("apply", tp.partition)
            try:
                await self._apply_part(tp, memory, part)
            except DeliveryFailed as why:
                self._count_unapplied(tp, memory, chunk, part)
                self._lose_outputs(why)
                return
            except (Fenced, StoreUnavailable) as why:
                self._count_unapplied(tp, memory, chunk, part)
                self._drop(tp, why)
                return
            except EngineVersionChanged as why:
                self._count_unapplied(tp, memory, chunk, part)
                await self._hand_on(tp, why)
                return
            self._tally(tp, memory)
            self._held[tp].applied_at_s = self._clock()
            if self._slice_is_over(self._turn_s):
                await self._advance_flushes()
                await asyncio.sleep(0)  # signals and heartbeats get their turn
                self._turn_s = self._clock()

    def flush_after_fetch(self) -> None:
        """Send what waits in the outbox."""
        self._outbox.flush_now()

    def low_offset(self, tp: TP) -> int | None:
        """Return the low offset in Redis, from which a restart would go on; None while it is not known."""
        held = self._held.get(tp)
        return None if held is None else held.low_offset

    @property
    def paused(self) -> frozenset[TP]:
        """Partitions without memory, and those that go on under another engine."""
        return frozenset(tp for tp, held in self._held.items() if held.memory is None or held.memory.next_engine)

    def rewinds(self) -> Mapping[TP, int]:
        """Return the partitions loaded again since the last call, and the offsets where they go on."""
        rewinds, self._rewinds = self._rewinds, {}
        return rewinds

    def readings(self) -> Iterator[Reading]:
        """Yield counts, sizes of state, and readiness."""
        for (tp, outcome, reason), records in self._outcomes.items():
            yield Outcomes(topic=tp.topic, partition=tp.partition, outcome=outcome, reason=reason, records=records)
        for (kind, severity, state), records in self._written.items():
            yield Written(kind=kind, severity=severity, state=state, records=records)  # type: ignore[arg-type]
        yield DaysClosed(days=self._days_closed.total(), model_changed=self._days_closed[True])
        lacking = [tp.partition for tp, held in self._held.items() if held.memory is None]
        for tp, held in self._held.items():
            if (memory := held.memory) is not None:
                yield from _of_partition(tp.partition, memory)
        yield Unacknowledged(outputs=self._outbox.sent_count - self._outbox.acknowledged_count)
        if lacking:
            yield Readiness(ready=False, why_not=f"partitions {sorted(lacking)} wait for Redis or Kafka, see the log")

    async def tick(self) -> None:
        """Load partitions that can be loaded again, and flush those that are due.

        Raise EngineVersionChanged where all partitions go on under another engine.
        """
        try:
            self._outbox.poll()
        except DeliveryFailed as why:
            self._lose_outputs(why)
        await self._load_due()
        self._flushes.refresh()
        await self._advance_flushes()
        handed_to = {held.number: held.handed_to for held in self._held.values()}
        engines.demand_some_left(handed_to.keys(), handed_to.values())

    async def stop(self) -> None:
        """Close the connections. What was not flushed is read again after the next start."""
        await self._flushes.close()
        self._redis.close()
        self._outbox.close()

    async def _demand_a_part(self) -> None:
        settings = self._settings
        wanted: dict[int, Sequence[str]] = dict.fromkeys(range(settings.kafka.log_partitions), ())
        try:
            found = read_stored(self._redis, settings.redis.key_prefix, wanted)
        except redis.RedisError as error:
            log.warning("Redis does not say whose its partitions are, each is asked when it is claimed: %s", error)
            return
        states = {
            number: msgspec.json.decode(one.state, type=PartitionState)
            for number, one in found.items()
            if one.state is not None
        }
        engines.demand_a_part(states)
        if any(state.next_engine for state in states.values()):
            await self._read_of_engines()
        left = [engines.taken(state, newest=self._engines.newest).next_engine for state in states.values()]
        engines.demand_some_left(found.keys(), left + [""] * (len(found) - len(states)))

    async def _read_of_engines(self) -> None:
        said = await asyncio.to_thread(control_log.read, self._settings)
        self._engines = engines.records_of(said.controls)

    async def _hand_on(self, tp: TP, why: EngineVersionChanged) -> None:
        """Flush a partition that goes on under another engine, or read on where that was taken back.

        In both cases, and where it cannot be told or flushed now, nothing is lost: it is read up to there once more.
        """
        try:
            await self._read_of_engines()
        except ArtefactMissing as missing:
            self._drop(tp, missing)
            return
        if why.control_id in self._engines.taken_back:
            log.info("%s: %s; a later record names this engine again, so it is passed over", tp, why)
            for other, held in self._held.items():
                if other == tp or (held.memory is not None and held.memory.next_engine):
                    self._drop(other, why)
            return
        log.info("%s ends: %s", tp, why)
        try:
            await self._flushes.flush_all({tp})
        except DeliveryFailed as lost:
            self._lose_outputs(lost)

    async def _apply_part(self, tp: TP, memory: Partition, part: Chunk) -> None:
        """Apply records and send each slice of outputs.

        Make room in memory where it is wanted; let other tasks have their turn.
        """
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
        """Return headers for alerts whose records have waited in the log, so that a backlog is not taken for news."""
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
            self._outbox.flush_now()

    async def _make_room(self, tp: TP, memory: Partition) -> None:
        """Evict enterprises.

        Values that Redis does not hold are flushed before, without partition state within a batch.
        """
        self._step("evict", tp.partition)
        if not memory.make_room():
            self._step("drain", tp.partition)
            await asyncio.to_thread(self._outbox.drain)
            await self._flushes.flush_values(tp)
            self._step("evict", tp.partition)
            if not memory.make_room():
                raise RuntimeError(f"{tp}: no room in memory though all is flushed")

    def _share_residents(self) -> None:
        """Divide the process's bound on residents over its partitions: ids are spread evenly over them."""
        for held in self._held.values():
            held.bound(max(1, self._settings.score.enterprises_resident_max // len(self._held)))

    async def _load_due(self) -> None:
        """Own, claim and load the partitions that have no memory and have waited long enough."""
        due = {tp: held for tp, held in self._held.items() if held.memory is None and self._clock() >= held.retry_at_s}
        if due:
            await self._flushes.settle()  # it may be of one of them, before it was dropped
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
            except (Fenced, StoreUnavailable, EnginesDiffer) as why:
                self._drop(tp, why)
                continue
            assert held.memory is not None
            held.flushed_at_s = self._clock()
            self._rewinds[tp] = held.memory.low_offset
            log.info("%s runs: %d enterprises, from offset %d", tp, held.memory.residents.known, self._rewinds[tp])

    def _own(self, unowned: list[OwnedPartition]) -> None:
        kafka, numbers = self._settings.kafka, [held.number for held in unowned]
        for number in numbers:
            self._step("own", number)
        before = ownership.owned_before(kafka.bootstrap, self._client)
        epochs = ownership.take(kafka.bootstrap, self._client, numbers, kafka.instance_id or "score")
        for held in unowned:
            held.own(epochs[held.number], is_first=held.number not in before)

    def _drop(self, tp: TP, why: Exception) -> None:
        """Drop a partition's memory.

        Where another owner has fenced it, a new ownership record is needed, unless it is revoked.
        """
        held, outbid = self._held[tp], isinstance(why, Outbid)
        self._flushes.forget(tp)
        if outbid:
            held.epoch = None
        self._context.emit(MemoryLost(partition=tp.partition, why=type(why).__name__))
        wait_s = held.drop(self._clock(), wait_s_min=_OUTBID_WAIT_S if outbid else 0.0)
        log.warning("%s is not ready, nothing of it is committed; next attempt in %.1f s: %s", tp, wait_s, why)

    def _lose_outputs(self, why: DeliveryFailed) -> None:
        """Drop all memory and the producer: an output is lost, so nothing that was computed after it may be written."""
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
        self._flushes.forget_all()

    def _forget(self, tps: set[TP]) -> None:
        for tp in tps:
            del self._held[tp]
            self._rewinds.pop(tp, None)
            self._flushes.forget(tp)
            self._since_failure.discard(tp)

    async def _advance_flushes(self) -> None:
        try:
            await self._flushes.advance()
        except DeliveryFailed as why:
            self._lose_outputs(why)

    def _flushed(self, tp: TP) -> None:
        """Reset the count of lost outputs once every partition has been flushed since."""
        self._since_failure.discard(tp)
        if not self._since_failure:
            self._delivery_failures = 0

    def _count_unapplied(self, tp: TP, memory: Partition, chunk: Chunk, part: Chunk) -> None:
        """Count the outcomes of a batch before it failed, and the rest of the chunk, which is not applied."""
        counted = self._tally(tp, memory)
        self._outcomes[tp, "let_go", ""] += int(np.count_nonzero(chunk.offset >= part.start_offset)) - counted

    def _tally(self, tp: TP, memory: Partition) -> int:
        """Add a partition's counts to the role's; return the number of records."""
        outcomes, written, days_closed = memory.take_tally()
        for (outcome, reason), records in outcomes.items():
            self._outcomes[tp, outcome, reason] += records
        self._written += written
        self._days_closed += days_closed
        return outcomes.total()

    def _snapshot(self, model_id: str) -> Snapshot:
        return snapshot_of(self._settings.kafka.bootstrap, self._client, model_id)

    def _rules(self, rules_id: str) -> RuleSet:
        return rules_of(self._settings.kafka.bootstrap, self._client, rules_id)


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
