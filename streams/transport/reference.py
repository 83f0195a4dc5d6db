"""The reference parser: it reads the record format byte by byte, batch after batch, and is slower by far.

It shares with the compiled parser the table of codecs, the bounds and the errors, and no line that reads the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import google_crc32c
import numpy as np

from config.limits import UNPACKED_BYTES_MAX
from streams.transport.chunk import OUTSIDE_A_GROUP, RECORD_BYTES, Chunk, ChunkBuilder
from streams.transport.compiled import HEADER_MIN, RECORD_MIN
from streams.transport.errors import OFFSET_MAX, BatchTooLarge, Reason, unreadable
from streams.transport.unpacking import Refusal, unpack

_HEADER = struct.Struct(">qiibIhiqqqhii")
_AFTER_LENGTH, _AFTER_SUM = 12, 21
_ABORT = 0


class _Batch(NamedTuple):
    base: int
    length: int
    leader_epoch: int
    magic: int
    sum: int
    attributes: int
    last_delta: int
    base_time: int
    max_time: int
    producer: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def next_offset(self) -> int:
        return self.base + self.last_delta + 1

    @property
    def codec(self) -> int:
        return self.attributes & 7

    @property
    def is_appended(self) -> bool:
        return bool(self.attributes & 8)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & 16)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & 32)


class _Record(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes


def parse(
    raw: bytes | memoryview,
    *,
    topic: str,
    partition: int,
    start_offset: int,
    aborted: Sequence[tuple[int, int]] = (),
    generation: int = OUTSIDE_A_GROUP,
    unpacked_bytes_max: int = UNPACKED_BYTES_MAX,
    batch_bytes_max: int = UNPACKED_BYTES_MAX,
) -> Chunk:
    """Return the same as `streams.transport.batches.parse`, its compiled counterpart, and raise the same errors."""
    raw = bytes(raw)
    builder = ChunkBuilder(topic, partition, start_offset, generation=generation)
    next_offset, refusal = _read(raw, builder, start_offset, aborted, unpacked_bytes_max, batch_bytes_max)
    if next_offset is not None:
        return builder.build(next_offset, is_cut=refusal is not None)
    if refusal is None:
        raise BatchTooLarge(topic, partition, start_offset, len(raw))
    raise unreadable(raw, topic, partition, start_offset, *refusal)


def _read(
    raw: bytes,
    builder: ChunkBuilder,
    start_offset: int,
    aborted: Sequence[tuple[int, int]],
    bytes_max: int,
    batch_bytes_max: int,
) -> tuple[int | None, tuple[Reason, str] | None]:
    """Add the records.

    Return the offset after the last batch read, None where none is, and why the next one is not read.
    """
    at, left, next_offset, transactions = 0, bytes_max, None, _Transactions(aborted)
    while (end := _end_of_batch(raw, at)) <= len(raw):
        before = builder.mark()
        try:
            batch = _read_header(raw, at, end, next_offset or 0, start_offset)
            payload = raw[at + _HEADER.size : end]
            if batch.is_control:
                transactions.end(batch, _records(batch, _unpacked(batch, payload, bytes_max)))
            elif not transactions.is_aborted(batch):
                unpacked = _unpacked(batch, payload, min(left, batch_bytes_max))
                left -= len(unpacked) + RECORD_BYTES * batch.record_count
                for record in _records(batch, unpacked):
                    if record.offset >= start_offset:
                        builder.add_encoded(*record, timestamp_type=int(batch.is_appended))
        except Refusal as refusal:
            builder.back_to(before)
            return next_offset, (refusal.reason, refusal.detail)
        at, next_offset = end, batch.next_offset
    return next_offset, None


def _end_of_batch(raw: bytes, at: int) -> int:
    """Return the end of the batch by its length field; a position beyond `raw` where that field itself is cut off."""
    if len(raw) - at < _AFTER_LENGTH:
        return len(raw) + 1
    (length,) = struct.unpack_from(">i", raw, at + 8)
    return max(at + _AFTER_LENGTH + int(length), at)


def _read_header(raw: bytes, at: int, end: int, base_min: int, start_offset: int) -> _Batch:
    if end - at < _AFTER_LENGTH + 5:
        raise Refusal(Reason.BATCH_LENGTH)
    (magic,) = struct.unpack_from(">b", raw, at + 16)
    if magic != 2:
        raise Refusal(Reason.MESSAGE_FORMAT, f"magic {magic}")
    if end - at < _HEADER.size:
        raise Refusal(Reason.BATCH_LENGTH)
    batch = _Batch(*_HEADER.unpack_from(raw, at))
    if google_crc32c.value(raw[at + _AFTER_SUM : end]) != batch.sum:
        raise Refusal(Reason.CHECKSUM)
    if batch.last_delta < 0 or batch.base < base_min or not start_offset < batch.next_offset <= OFFSET_MAX:
        raise Refusal(Reason.BATCH_OFFSETS)
    if batch.record_count < 0 or (
        not batch.attributes & 7 and batch.record_count * RECORD_MIN > end - at - _HEADER.size
    ):
        raise Refusal(Reason.RECORD_COUNT)
    return batch


def _unpacked(batch: _Batch, payload: bytes, bytes_max: int) -> memoryview:
    """Return the unpacked records.

    Raise Refusal where they and their positions would take more than `bytes_max` bytes.
    """
    out = np.empty(bytes_max, np.uint8).data  # what is not written takes no memory
    size = unpack(batch.codec, memoryview(payload), out)
    if batch.record_count * RECORD_MIN > size:
        raise Refusal(Reason.RECORD_COUNT)
    if size + RECORD_BYTES * batch.record_count > bytes_max:
        raise Refusal(Reason.DECOMPRESSED_TOO_LARGE)
    return out[:size]


def _records(batch: _Batch, unpacked: memoryview) -> Iterator[_Record]:
    at, before = 0, -1
    for _ in range(batch.record_count):
        length, at = _varint(unpacked, at, len(unpacked))
        if not 1 <= length <= len(unpacked) - at:
            raise Refusal(Reason.RECORD_LENGTH)
        end = at + length
        time_delta, at = _varint(unpacked, at + 1, end, bits=64)  # after the attributes, which have no meaning so far
        delta, at = _varint(unpacked, at, end)
        if not before < delta <= batch.last_delta:
            raise Refusal(Reason.OFFSET_DELTA)
        key, at = _nullable(unpacked, at, end, Reason.KEY_LENGTH)
        value, at = _nullable(unpacked, at, end, Reason.VALUE_LENGTH)
        headers_at, at = at, _end_of_headers(unpacked, at, end)
        if at != end:
            raise Refusal(Reason.RECORD_SIZE)
        timestamp_ms = batch.max_time if batch.is_appended else _int64(batch.base_time + time_delta)
        yield _Record(batch.base + delta, timestamp_ms, key, value, bytes(unpacked[headers_at:end]))
        before = delta
    if at != len(unpacked):
        raise Refusal(Reason.TRAILING_BYTES)


def _end_of_headers(unpacked: memoryview, at: int, end: int) -> int:
    count, at = _varint(unpacked, at, end)
    if not 0 <= count <= (end - at) // HEADER_MIN:
        raise Refusal(Reason.HEADERS)
    for _ in range(count):
        name, at = _nullable(unpacked, at, end, Reason.HEADERS)
        if name is None:
            raise Refusal(Reason.HEADERS)
        _, at = _nullable(unpacked, at, end, Reason.HEADERS)
    return at


def _nullable(unpacked: memoryview, at: int, end: int, reason: Reason) -> tuple[bytes | None, int]:
    size, at = _varint(unpacked, at, end)
    if size < 0:
        return None, at
    if size > end - at:
        raise Refusal(reason)
    return bytes(unpacked[at : at + size]), at + size


def _varint(unpacked: memoryview, at: int, end: int, bits: int = 32) -> tuple[int, int]:
    """Return the zigzag varint at `at` and the position after it.

    Bits beyond the last are dropped, as Kafka drops them.
    """
    number = 0
    for shift in range(0, bits + 3, 7):
        if at >= end:
            break
        byte = unpacked[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            number &= (1 << bits) - 1
            return (number >> 1) ^ -(number & 1), at
    raise Refusal(Reason.VARINT)


def _int64(number: int) -> int:
    """Return the number as Java's long would hold it, which wraps around on overflow."""
    return (number + 2**63) % 2**64 - 2**63


class _Transactions:
    """Producers that have an open transaction which was aborted later."""

    def __init__(self, aborted: Sequence[tuple[int, int]]) -> None:
        self._to_come = sorted((first_offset, producer) for producer, first_offset in aborted)
        self._open: set[int] = set()

    def is_aborted(self, batch: _Batch) -> bool:
        self._go_on(batch)
        return batch.is_transactional and batch.producer in self._open

    def end(self, batch: _Batch, records: Iterator[_Record]) -> None:
        """Take in a control batch, which ends its producer's transaction, if compaction has left its record."""
        self._go_on(batch)
        first = next(records, None)
        for _ in records:
            pass  # they must be readable, and say nothing
        if first is None:
            return
        key = first.key or b""
        if len(key) < 4 or key[0] > 127:
            raise Refusal(Reason.CONTROL_RECORD)
        if struct.unpack_from(">h", key, 2) == (_ABORT,):
            self._open.discard(batch.producer)

    def _go_on(self, batch: _Batch) -> None:
        while self._to_come and self._to_come[0][0] < batch.next_offset:
            self._open.add(self._to_come.pop(0)[1])
