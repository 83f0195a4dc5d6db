"""The score role: partitions in memory, their values in Redis, their messages in Kafka, in an order that survives.

A flush waits until every message is acknowledged, writes the changed values slice by slice, and last the partition's
state with its low offset. So what Redis holds never lacks an output, and a restart goes on at the low offset, skipping
for each enterprise what its value already holds.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from config.settings import Settings
from detectors.snapshot import Snapshot
from detectors.snapshot import decode as decode_snapshot
from domain import topics
from features.redis_store import PartitionStore, connect
from sinks.artefacts import fetch
from sinks.client import client_settings
from sinks.kafka import Outbox
from streams.role import TP
from streams.score import ownership
from streams.score.partition import Partition, PartitionState
from streams.score.warmup import compile_kernels
from streams.transport import Chunk

_FETCH_S_MAX = 30.0
log = logging.getLogger("xinliu.score")


class Score:
    """Applies `events.v1` to the enterprises of the partitions that this worker owns."""

    name = "score"
    topics = (topics.EVENTS,)

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._client = client_settings(settings.kafka)
        self._clock = clock
        self._partitions: dict[TP, Partition] = {}
        self._stores: dict[TP, PartitionStore] = {}
        self._flushed_at_s = 0.0
        self._low: dict[TP, int] = {}

    async def start(self) -> None:
        """Connect, and compile the loop on nothing, before the group waits for us."""
        kafka, redis = self._settings.kafka, self._settings.redis
        self._redis = connect(redis.url, redis.timeout_s)
        self._outbox = Outbox(kafka.bootstrap, self._client)
        compile_kernels()

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Claim each new partition, then load its values; returns where each goes on."""
        for tp in set(self._partitions) - tps:
            self._forget(tp)
        new = tps - set(self._partitions)
        if new:
            kafka = self._settings.kafka
            owned_before = ownership.owned_before(kafka.bootstrap, self._client)
            owner = kafka.instance_id or "score"
            epochs = ownership.take(kafka.bootstrap, self._client, (tp.partition for tp in new), owner)
            for tp in sorted(new):
                self._load(tp, epochs[tp.partition], tp.partition in owned_before)
        return {tp: self._low[tp] for tp in new}

    async def revoked(self, tps: set[TP]) -> None:
        """Flush what is still ours, and forget."""
        mine = tps & set(self._partitions)
        self._flush(mine)
        for tp in mine:
            self._forget(tp)

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Apply a chunk in batches and send what follows."""
        partition, most = self._partitions[tp], self._settings.score.batch_records_max
        for first in range(0, len(chunk), most):
            part = chunk.part(first, min(first + most, len(chunk)))
            for message in partition.apply(part):
                self._outbox.send(message.topic, message.value, key=message.key, lane=tp, mark=message.mark)
            self._outbox.poll()
            self._flush_if_due()
            await asyncio.sleep(0)  # signals and heartbeats get their turn between batches

    def low_offset(self, tp: TP) -> int | None:
        """Where a restart would go on: the low offset that Redis holds."""
        return self._low.get(tp)

    async def tick(self) -> None:
        """Flush when it is time."""
        self._outbox.poll()
        self._flush_if_due()

    async def stop(self) -> None:
        """Close the connections; what was not flushed comes again."""
        self._redis.close()

    def _load(self, tp: TP, epoch: int, owned_before: bool) -> None:
        store = PartitionStore(self._redis, self._settings.redis.key_prefix, tp.partition)
        stored = store.claim(epoch)
        state = msgspec.json.decode(stored, type=PartitionState) if stored else None
        if state is None and owned_before:
            log.warning("partition %d had an owner, but Redis holds nothing of it: replaying the log", tp.partition)
        partition = Partition(tp.partition, self._snapshot, state)
        for name, value in store.load():
            partition.restore(name, value)
        self._partitions[tp], self._stores[tp] = partition, store
        self._low[tp] = partition.saved.low_offset
        log.info("partition %d: %d enterprises, from offset %d", tp.partition, partition.used, self._low[tp])

    def _forget(self, tp: TP) -> None:
        del self._partitions[tp], self._stores[tp], self._low[tp]

    def _flush_if_due(self) -> None:
        now = self._clock()
        if (now - self._flushed_at_s) * 1_000 >= self._settings.score.flush_interval_ms:
            self._flush(set(self._partitions))
            self._flushed_at_s = self._clock()

    def _flush(self, tps: set[TP]) -> None:
        """Outputs acknowledged -> values in slices -> partition state -> low offset."""
        if not tps:
            return
        self._outbox.drain()
        for tp in sorted(tps):
            partition, store = self._partitions[tp], self._stores[tp]
            slots = partition.dirty_slots()
            for some in np.array_split(slots, -(-len(slots) // self._settings.score.flush_slice_values_max) or 1):
                if len(some):
                    store.write(partition.values(some))
                    partition.flushed(some)
            if partition.saved.low_offset != self._low[tp]:
                store.write((), msgspec.json.encode(partition.saved))
                self._low[tp] = partition.saved.low_offset
            else:
                store.check()

    def _snapshot(self, model_id: str) -> Snapshot:
        body = fetch(self._settings.kafka.bootstrap, topics.MODEL, model_id, _FETCH_S_MAX, self._client)
        return decode_snapshot(body, model_id)
