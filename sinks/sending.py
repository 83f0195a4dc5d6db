"""The thread that sends: outputs become batches of their partitions, and one request to each broker for all of them.

librdkafka sends each partition's batch in a request of its own: with 64 partitions at live rates the broker does little
else. aiokafka puts all of them into one. Its loop runs in this thread, so that sending does not wait for computing.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from sinks.batch import ACK_GROUP, COUNT, IS_NEW, MS_FIRST, PARTITION, AckGroup, Batch, Outputs, open_batches, write

_WRITTEN_AT_ONCE = 10_000  # records
_REQUEST_MS_MAX = 60_000
_RECONNECT_S = 0.2
_LEAVE_S_MAX = 0.5


@dataclass(slots=True, eq=False)
class _PartitionQueue:
    """The waiting batches of one partition. At most one is in flight, so that they land in their order.

    opened: state of the last of them (sinks.batch.open_batches).
    """

    topic: str
    partition: int
    opened: npt.NDArray[np.int64]
    waiting: deque[Batch] = field(default_factory=deque)
    is_under_way: bool = False


class Sender(threading.Thread):
    """Sends what is put, `linger_s` seconds after the first of it came, as one idempotent producer (acks=all).

    landed, bytes_acknowledged: counts of what is acknowledged. failure: why it has ended, "" while it runs. After the
    first failed delivery no other is begun. `changed` is notified of all three.
    """

    def __init__(self, bootstrap: str, client: Mapping[str, Any], linger_s: float, topic_s_max: float) -> None:
        """Prepare a producer; `client` holds settings of aiokafka.

        A topic that is missing after `topic_s_max` seconds is a failure.
        """
        super().__init__(name="outbox", daemon=True)
        self.landed = self.bytes_acknowledged = 0
        self.failure = ""
        self.changed = threading.Condition()
        self._linger_s, self._topic_s_max = linger_s, topic_s_max
        self._settings: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "enable_idempotence": True,
            "acks": "all",
            "request_timeout_ms": _REQUEST_MS_MAX,
            **client,
        }
        self._came: deque[Outputs] = deque()
        self._lines: dict[str, tuple[list[_PartitionQueue], npt.NDArray[np.int64]]] = {}
        self._ready: dict[_PartitionQueue, None] = {}  # with a batch that may go
        self._loop = asyncio.new_event_loop()
        self._is_woken = self._is_flush_requested = (
            False  # and has not looked since; each call of its loop is a system call
        )
        self._woken, self._flush_requested = asyncio.Event(), asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    def put(self, outputs: Outputs) -> None:
        """Take outputs over; they go out with what is there when `wake` is called."""
        self._came.append(outputs)

    def wake(self) -> None:
        """Send what was put, after the linger."""
        if not self._is_woken:
            self._is_woken = True
            self._call(self._woken.set)

    def flush_now(self) -> None:
        """Send what was put, now."""
        if not self._is_flush_requested:
            self._is_woken = self._is_flush_requested = True
            self._call(self._go_now)

    def end(self, why: str) -> None:
        """Begin no other delivery; what is in flight may land. Return at once."""
        with self.changed:
            self.failure = self.failure or why
            self.changed.notify_all()
        self._call(self._cancel)

    def run(self) -> None:
        """Connect, send until the end, and leave."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._guarded())

    def _call(self, function: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: it has ended, and `failure` says why
            self._loop.call_soon_threadsafe(function)

    def _go_now(self) -> None:
        self._woken.set()
        self._flush_requested.set()

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()

    async def _guarded(self) -> None:
        self._serving = asyncio.current_task()
        try:
            if not self.failure:
                await self._serve()
        except KafkaError as error:
            self._fail(repr(error))
        except Exception as error:
            self._fail(repr(error))
            raise

    async def _serve(self) -> None:
        producer = await self._connected()
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                await self._linger()
                self._is_woken = self._is_flush_requested = False  # before looking: what comes from here on wakes anew
                await self._fill_batches(producer)
                await self._hand_over(producer)
        finally:
            await _leave(producer)

    async def _connected(self) -> AIOKafkaProducer:
        """Return a producer, as soon as a broker answers.

        It is tried forever: who waits for acknowledgements gives up.
        """
        while True:
            producer = AIOKafkaProducer(**self._settings)
            try:
                await producer.start()
                return producer
            except KafkaError:
                await _leave(producer)
                await asyncio.sleep(_RECONNECT_S)
            except BaseException:
                await _leave(producer)
                raise

    async def _linger(self) -> None:
        if not self._flush_requested.is_set() and self._linger_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    await self._flush_requested.wait()
        self._flush_requested.clear()

    async def _fill_batches(self, producer: AIOKafkaProducer) -> None:
        """Put new outputs into batches."""
        came: dict[str, list[Outputs]] = {}
        while self._came:
            outputs = self._came.popleft()
            came.setdefault(outputs.topic, []).append(outputs)
        for topic, of_topic in came.items():
            if topic not in self._lines:
                self._lines[topic] = await self._lines_of(producer, topic)
            lines, opened = self._lines[topic]
            for some in _chunked(of_topic):
                for cells, piece in write(some, opened, random.randrange(len(lines))):
                    self._line_up_piece(lines[cells[PARTITION]], cells, piece, some[cells[ACK_GROUP]].ack_group)

    async def _lines_of(
        self, producer: AIOKafkaProducer, topic: str
    ) -> tuple[list[_PartitionQueue], npt.NDArray[np.int64]]:
        try:
            async with asyncio.timeout(self._topic_s_max):
                opened = open_batches(len(await producer.partitions_for(topic)))
        except TimeoutError:
            self._fail(f"{topic}: no such topic, or no broker told of it in {self._topic_s_max:g} s")
            raise asyncio.CancelledError from None
        return [_PartitionQueue(topic, partition, one) for partition, one in enumerate(opened)], opened

    def _line_up_piece(self, line: _PartitionQueue, cells: Sequence[int], piece: bytes, ack_group: AckGroup) -> None:
        if cells[IS_NEW]:
            line.waiting.append(Batch(cells[MS_FIRST]))
            if not line.is_under_way:
                self._ready[line] = None
        line.waiting[-1].add(cells, piece, ack_group)

    async def _hand_over(self, producer: AIOKafkaProducer) -> None:
        while self._ready:
            line, _ = self._ready.popitem()
            batch = line.waiting.popleft()
            if not line.waiting:
                line.opened[COUNT] = 0
            line.is_under_way = True
            delivery = await producer.send_batch(batch, line.topic, partition=line.partition)
            delivery.add_done_callback(partial(self._delivered, line, batch))

    def _delivered(self, line: _PartitionQueue, batch: Batch, delivery: asyncio.Future[Any]) -> None:
        if delivery.cancelled():
            return
        if (error := delivery.exception()) is not None:
            self._fail(f"{line.topic}[{line.partition}]: {error!r}")
            return
        line.is_under_way = False
        if line.waiting:
            self._ready[line] = None
            self._go_now()  # it has waited for this
        for ack_group, count in batch.of:
            ack_group.landed += count
        self.bytes_acknowledged += batch.payload
        with self.changed:
            self.landed += batch.count
            self.changed.notify_all()

    def _fail(self, why: str) -> None:
        self.end(why)
        self._cancel()  # before anything else runs in the loop


def _chunked(some: Sequence[Outputs]) -> Iterator[list[Outputs]]:
    """Yield some outputs at a time, which bounds the memory of the bytes that they are written to."""
    chunk, size = list[Outputs](), 0
    for outputs in some:
        chunk.append(outputs)
        size += len(outputs.records)
        if size >= _WRITTEN_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _leave(producer: AIOKafkaProducer) -> None:
    """Close the producer's connections within a time; what it was given may land meanwhile, or not."""
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(_LEAVE_S_MAX):
            await producer.stop()
    await producer.client.close()
