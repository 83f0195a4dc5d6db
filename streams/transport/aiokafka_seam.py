"""The one place that reaches inside aiokafka 0.14: `use_raw_records` replaces a name, the rest reads its fields.

aiokafka parses the bytes that it fetches and drops them; its record classes are compiled and cannot be subclassed. So
`aiokafka.consumer.fetcher.MemoryRecords`, in which the fetcher wraps the bytes of each partition, is replaced with a
class that keeps them. For every other consumer in the process it behaves as the original does.
tests/streams/transport/test_aiokafka_seam.py fails by name when a new version changes what this rests on.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiokafka.consumer.fetcher as fetcher_module
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, RecordTooLargeError
from aiokafka.record.memory_records import MemoryRecords

from streams.transport.chunk import Chunk
from streams.transport.errors import OffsetOutsideLog, UnreadableBatch

NOT_YET_S = 0.02
_NEVER_S = 1e9
RECORD_S = 5e-6  # of a fetch's gap, for each record a second: at 50,000 a second 250 ms
RATE_S = 1.0  # that a rate is counted over
ENOUGH_RECORDS = 10_000  # some ten milliseconds to parse
ENOUGH_BYTES = 64 << 20  # of chunks that are delivered together
PART_BYTES = 5 << 20  # that are parsed at once: unpacked, they still fit into memory that malloc kept
_LENGTH, _AFTER_LENGTH = 8, 12  # where a batch says its length, and from where on that counts


class Unreadable:
    """Stands for a chunk where the next batch cannot be read. It has no records, and its position does not move."""

    def __init__(self, batch: UnreadableBatch, position: int, generation: int) -> None:
        self.batch = batch.with_traceback(None)  # whose frames would hold the fetch, and it in a circle
        self.start_offset, self.next_offset, self.generation = position, position, generation

    def __len__(self) -> int:
        return 0

    @property
    def nbytes(self) -> int:
        """Size of the batch as fetched, in bytes."""
        return len(self.batch.raw)

    def pieces(self, _records_max: int) -> Iterator[Unreadable]:
        """Yield itself, as a chunk yields its pieces."""
        yield self


Fetched = Chunk | Unreadable
Take = Callable[[TopicPartition, memoryview, int, list[tuple[int, int]]], Fetched]
"""(partition, fetched bytes, position, aborted transactions) to a chunk."""


class RawRecords:
    """aiokafka's MemoryRecords, which also keeps the bytes that it was made from.

    It parses nothing until it is asked to: an exception inside the fetch routine would end that routine silently. Where
    not even one batch is whole, aiokafka would skip the record (its issue 1173); here `next_batch` raises.
    """

    __slots__ = ("_inner", "parts", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = bytes(raw)
        self.parts: deque[memoryview] = deque()  # of the bytes, still to be parsed; filled when the first is
        self._inner: Any = None

    def size_in_bytes(self) -> int:
        """Return the number of bytes fetched."""
        return len(self.raw)

    def has_next(self) -> bool:
        """Return whether a batch is left."""
        return bool(self.raw) if self._inner is None else bool(self._inner.has_next())

    def next_batch(self) -> Any:
        """Return the next batch as aiokafka parses it.

        Raise RecordTooLargeError where the bytes do not hold one whole batch.
        """
        if self._inner is None:
            self._inner = MemoryRecords(self.raw)
            if not self._inner.has_next():
                raise RecordTooLargeError("the fetched bytes do not hold one whole record batch")
        return self._inner.next_batch()


def use_raw_records() -> None:
    """Make aiokafka's fetcher keep the bytes that it fetches. Calling it again changes nothing."""
    fetcher_module.MemoryRecords = RawRecords


class Pace:
    """Pace of the fetches from a broker: `gap_s` seconds between two, and up to `gap_s_max` the more records come.

    A fetch has a fixed cost. At low rates the gap lets some records gather. At tens of thousands of records a second
    the gap is RECORD_S for each record of a second, so that a fetch brings thousands at a fraction of the cost. The
    rate is measured over RATE_S: records that pile up behind a short stall are no higher rate, and must not be delayed
    again.
    """

    def __init__(self, gap_s: float, gap_s_max: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s, self._gap_s_max, self._clock = gap_s, gap_s_max, clock
        self._asked_s: dict[int, float] = {}  # by broker
        self._rate_gap_s = 0.0  # by the rate that was last counted
        self._since_s, self._taken = clock(), 0

    def took(self, records: int) -> None:
        """Count `records` more records as taken."""
        self._taken += records

    def wait_s(self, node_id: int) -> float:
        """Return the seconds from now until this broker may be asked; negative where it may be asked already."""
        now_s = self._clock()
        if (counted_s := now_s - self._since_s) >= RATE_S:
            self._rate_gap_s = self._taken / counted_s * RECORD_S
            self._since_s, self._taken = now_s, 0
        gap_s = min(max(self._gap_s, self._rate_gap_s), self._gap_s_max)
        return self._asked_s.get(node_id, -math.inf) + gap_s - now_s

    def asked(self, node_id: int) -> None:
        """Note that this broker is asked now."""
        self._asked_s[node_id] = self._clock()


def use_pace(fetcher: Any, pace: Pace) -> None:
    """Ask a broker for all partitions together, once everything fetched is taken, and at the given pace.

    By itself the fetcher asks as soon as it may. At low rates that is a fetch a record, which costs broker and worker
    about a millisecond. It also leaves out partitions whose records have waited for a tenth of a second, and asks for
    the others alone: new records of the first then wait until the others have some, or the broker's own wait is over.
    """
    send = fetcher._proc_fetch_request

    async def send_later(assignment: Any, node_id: int, request: Any) -> bool:
        try:
            await asyncio.sleep(pace.wait_s(node_id))
        except asyncio.CancelledError:  # as where it is cancelled later: nobody wants what would come
            return False
        pace.asked(node_id)
        return bool(await send(assignment, node_id, request))

    fetcher._prefetch_backoff = _NEVER_S
    fetcher._proc_fetch_request = send_later


async def fetched_chunks(
    fetcher: Any, partitions: set[Any], timeout_s: float, may_take: Callable[[], bool], take: Take
) -> dict[TopicPartition, Fetched]:
    """Return one chunk for each of `partitions` that has records as soon as one has, none after `timeout_s` seconds.

    Like `Fetcher.fetched_records`, but it takes everything that a fetch brought. A backlog is the exception: it is
    parsed PART_BYTES at a time, so that its first records are applied meanwhile. Positions move with what is taken.

    Raise KafkaError where the fetch routine has ended, and OffsetOutsideLog where a position is not in the log.
    """
    until = time.monotonic() + timeout_s
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            await fetcher._subscriptions.wait_for_assignment()
        if fetcher.error_future.done():
            raise KafkaError("the fetch routine has ended") from fetcher.error_future.exception()
        if not may_take():
            await asyncio.sleep(NOT_YET_S)  # the caller asks again at once
            return {}
        chunks = await _take_all(fetcher, partitions, take)
        left_s = until - time.monotonic()
        if chunks or left_s <= 0:
            return chunks
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=left_s)
        if not done or fetcher._closed:
            waiter.cancel()
            return {}
        waiter.result()  # errors of the coordinator and of authorization come this way


async def _take_all(fetcher: Any, partitions: set[Any], take: Take) -> dict[TopicPartition, Fetched]:
    chunks: dict[TopicPartition, Fetched] = {}
    records = size = 0
    for tp in list(fetcher._records):
        if records >= ENOUGH_RECORDS or size >= ENOUGH_BYTES:
            break
        fetched = fetcher._records[tp]
        if tp not in partitions:
            if fetcher._subscriptions.is_assigned(tp):
                fetched._backoff = 0.0  # paused: it stays, and does not hold up fetches of the others
            else:
                del fetcher._records[tp]
            fetcher._notify(fetcher._wait_consume_future)
            continue
        if isinstance(fetched, fetcher_module.FetchResult):
            chunk, is_whole = _take_part(tp, fetched, take)
            if is_whole:
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
            if chunk is not None:
                chunks[tp] = chunk
                records, size = records + len(chunk), size + chunk.nbytes
        elif not chunks:  # an error; what was taken before it goes first
            del fetcher._records[tp]
            fetcher._notify(fetcher._wait_consume_future)
            await _raise(fetcher, tp, fetched)
    return chunks


def _take_part(tp: TopicPartition, fetched: Any, take: Take) -> tuple[Fetched | None, bool]:
    """Return the next part of a result as a chunk, and whether that was the last.

    What cannot be read is fetched again.
    """
    if not fetched.has_more() or not fetched.check_assignment(tp):
        return None, True  # paused, revoked or sought elsewhere since the fetch
    records = fetched._partition_records
    raw, parts, aborted = records._records.raw, records._records.parts, records._aborted_transactions
    if not parts:  # aborted transactions are named for all of the bytes
        parts.extend([memoryview(raw)] if aborted else parts_of(raw))
    chunk = take(tp, parts[0], records.next_fetch_offset, aborted)
    if isinstance(chunk, Unreadable):
        return chunk, True
    parts.popleft()
    records.next_fetch_offset = chunk.next_offset
    fetched._update_position()
    if chunk.is_cut:  # what is left of the bytes is fetched again, from the batch on that was left out
        parts.clear()
    return chunk, not parts


def parts_of(raw: bytes) -> Iterator[memoryview]:
    """Yield the whole batches in `raw`, as many as fit into PART_BYTES at a time, or one where it alone is larger.

    Where not even the first batch is whole, yield all of `raw`.
    """
    view, begin, end = memoryview(raw), 0, 0
    while end + _AFTER_LENGTH <= len(raw):
        after = end + _AFTER_LENGTH + int.from_bytes(view[end + _LENGTH : end + _AFTER_LENGTH])
        if after > len(raw):
            break
        if after - begin > PART_BYTES and end > begin:
            yield view[begin:end]
            begin = end
        end = after
    yield view[begin : end or len(raw)]


async def _raise(fetcher: Any, tp: TopicPartition, fetched: Any) -> None:
    try:
        fetched.check_raise()
    except OffsetOutOfRangeError as error:
        begin = await fetcher.beginning_offsets([tp], 10_000)
        end = await fetcher.end_offsets([tp], 10_000)
        raise OffsetOutsideLog(tp.topic, tp.partition, error.args[0][tp], begin[tp], end[tp]) from error


async def committed_offsets(consumer: Any, partitions: set[Any]) -> Mapping[TopicPartition, int]:
    """Return the group's committed offsets as the broker has them now; partitions without one are left out.

    `AIOKafkaConsumer.committed` waits for a task that starts only when the assignment callback has returned.
    """
    plain = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
    found = await consumer._coordinator.fetch_committed_offsets(plain)
    return {tp: meta.offset for tp, meta in found.items() if meta.offset >= 0}


def log_end(consumer: Any, tp: Any) -> int | None:
    """Return the last stable offset of a partition as its last fetch reported it; None before the first fetch."""
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    state = None if assignment is None else assignment.state_value(TopicPartition(tp.topic, tp.partition))
    if state is None:
        return None
    end = state.highwater if state.lso is None else state.lso
    return None if end is None else int(end)
