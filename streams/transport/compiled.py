"""The compiled passes over fetched record batches (format 2). Reads are checked against the ends of record and batch.

Record batch (big-endian, sizes in bytes): base offset 8, length 4, leader epoch 4, magic 1, CRC 4, attributes 2, last
offset delta 4, base timestamp 8, max timestamp 8, producer id 8, producer epoch 2, base sequence 4, count 4, records.
Record (varints are zigzag): length, attributes 1 byte, timestamp delta, offset delta, key length and key, value length
and value, header count, headers. Source: Kafka's documentation, "Message Format", and KIP-98.

In all kernels `b` is uint8 (bytes), and positions are indexes into it. `Batches` is int64 (batches, COLUMNS).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.decorators import kernel
from streams.transport.errors import OFFSET_MAX, Reason

Batches = NDArray[np.int64]
"""A row a batch, the columns below."""
BASE, SUM, SUMMED, RECORDS, END, ATTRIBUTES, LAST_DELTA, BASE_TIME, MAX_TIME, PRODUCER, COUNT = range(11)
COLUMNS = 11
OVERHEAD, ATTRIBUTES_AT, HEADER = 12, 21, 61
# bytes before those that `length` counts, before those that the sum is of, before the records
RECORD_MIN = 7  # bytes of a record with null key and value and no headers
HEADER_MIN = 2  # bytes of a header with an empty name and a null value

CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
REASONS = (
    Reason.BATCH_LENGTH,
    Reason.MESSAGE_FORMAT,
    Reason.BATCH_OFFSETS,
    Reason.RECORD_COUNT,
    Reason.RECORD_LENGTH,
    Reason.VARINT,
    Reason.OFFSET_DELTA,
    Reason.KEY_LENGTH,
    Reason.VALUE_LENGTH,
    Reason.HEADERS,
    Reason.RECORD_SIZE,
    Reason.TRAILING_BYTES,
)
"""By status - 1."""
(
    FINE,
    BAD_LENGTH,
    BAD_MAGIC,
    BAD_OFFSETS,
    BAD_COUNT,
    BAD_RECORD_LENGTH,
    BAD_VARINT,
    BAD_DELTA,
    BAD_KEY,
    BAD_VALUE,
    BAD_HEADERS,
    BAD_RECORD_SIZE,
    BAD_REST,
) = range(13)


@kernel(inline="always")
def _int(b, p, size):  # type: ignore[no-untyped-def]
    """Return the signed big-endian integer of `size` bytes at p."""
    value = np.int64(b[p])
    if value > 127:
        value -= 256
    for k in range(1, size):
        value = (value << 8) | np.int64(b[p + k])
    return value


@kernel(inline="always")
def _varint(b, p, end):  # type: ignore[no-untyped-def]
    """Return the position after the zigzag varint of 32 bits at p, and its value; position -1 where it runs over `end`.

    It has 5 bytes at most. Bits beyond the 32nd are dropped, as Kafka's own reader drops them.
    """
    value, shift = np.uint64(0), np.uint64(0)
    while p < end and shift < np.uint64(35):
        byte = np.uint64(b[p])
        p += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            value &= np.uint64(0xFFFFFFFF)
            return p, np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))
        shift += np.uint64(7)
    return -1, np.int64(0)


@kernel(inline="always")
def _varlong(b, p, end):  # type: ignore[no-untyped-def]
    """Return the same as `_varint` for a varint of 64 bits, which has 10 bytes at most."""
    value, shift = np.uint64(0), np.uint64(0)
    while p < end and shift < np.uint64(64):
        byte = np.uint64(b[p])
        p += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return p, np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))
        shift += np.uint64(7)
    return -1, np.int64(0)


@kernel(inline="always")
def _wrapping_sum(one, other):  # type: ignore[no-untyped-def]
    """Return the sum as Java's long has it: of signed numbers the compiler takes it that none overflows."""
    return np.int64(np.uint64(one) + np.uint64(other))


@kernel(nogil=True)
def count_batches(b):  # type: ignore[no-untyped-def]
    """Return the number of rows that `read_headers` may write."""
    n, p = 0, 0
    while len(b) - p >= OVERHEAD:
        length = _int(b, p + 8, 4)
        if length < HEADER - OVERHEAD or length > len(b) - p - OVERHEAD:
            return n + 1
        n += 1
        p += OVERHEAD + length
    return n


@kernel(nogil=True)
def read_headers(b, first_wanted, out):  # type: ignore[no-untyped-def]
    """Write a row of `out`, int64 (count_batches(b), COLUMNS), for each whole batch; return (rows, status).

    With a status other than FINE, the last row is the batch at fault. A batch whose last offset is before
    `first_wanted` is one. Column SUM is the CRC-32C that the bytes from SUMMED to END should have; the caller checks
    it.
    """
    n, p, next_base = 0, 0, np.int64(0)
    while len(b) - p >= OVERHEAD:
        length = _int(b, p + 8, 4)
        if length > len(b) - p - OVERHEAD:
            break  # the broker may cut the last batch
        out[n, BASE] = base = _int(b, p, 8)
        out[n, SUMMED] = p + ATTRIBUTES_AT
        if length < 5:
            return n + 1, BAD_LENGTH
        out[n, END] = end = p + OVERHEAD + length
        magic = _int(b, p + 16, 1)
        if magic != 2:
            out[n, ATTRIBUTES] = magic
            return n + 1, BAD_MAGIC
        if length < HEADER - OVERHEAD:
            return n + 1, BAD_LENGTH
        out[n, SUM] = _int(b, p + 17, 4) & 0xFFFFFFFF
        out[n, ATTRIBUTES] = attributes = _int(b, p + 21, 2)
        out[n, LAST_DELTA] = last_delta = _int(b, p + 23, 4)
        out[n, BASE_TIME] = _int(b, p + 27, 8)
        out[n, MAX_TIME] = _int(b, p + 35, 8)
        out[n, PRODUCER] = _int(b, p + 43, 8)
        out[n, COUNT] = count = _int(b, p + 57, 4)
        out[n, RECORDS] = p + HEADER
        # Compared without a sum that could overflow: the compiler takes it that none does.
        if last_delta < 0 or base < next_base or base > OFFSET_MAX - 1 - last_delta or base + last_delta < first_wanted:
            return n + 1, BAD_OFFSETS
        if count < 0 or (attributes & CODEC == 0 and count * RECORD_MIN > end - p - HEADER):
            return n + 1, BAD_COUNT
        next_base = base + last_delta + 1
        n += 1
        p = end
    return n, FINE


@kernel(inline="always")
def _skip_headers(b, p, end):  # type: ignore[no-untyped-def]
    """Return the position after the headers at p, and a status."""
    p, count = _varint(b, p, end)
    if p < 0:
        return p, BAD_VARINT
    if count < 0 or count > (end - p) // HEADER_MIN:
        return p, BAD_HEADERS
    for _ in range(count):
        p, size = _varint(b, p, end)
        if p < 0:
            return p, BAD_VARINT
        if size < 0 or size > end - p:
            return p, BAD_HEADERS
        p, value_size = _varint(b, p + size, end)
        if p < 0:
            return p, BAD_VARINT
        if value_size > end - p:
            return p, BAD_HEADERS
        p += max(value_size, 0)
    return p, FINE


@kernel(nogil=True)
def index(  # type: ignore[no-untyped-def]
    b,
    batches,
    first_wanted,
    offset,
    timestamp,
    timestamp_type,
    key_start,
    key_end,
    value_start,
    value_end,
    header_start,
    header_end,
):
    """Write offset, times and positions of the records at `first_wanted` or after it into the arrays of a chunk.

    The arrays have the dtypes of `Chunk`, with room for the sum of column COUNT. Return the number of records, a
    status, and the row of the batch at fault. With a status other than FINE, the records are those of the batches
    before that row.
    """
    m = 0
    for i in range(len(batches)):
        base, batch_end = batches[i, BASE], batches[i, END]
        last_delta = batches[i, LAST_DELTA]
        appended = batches[i, ATTRIBUTES] & LOG_APPEND_TIME != 0
        time = batches[i, MAX_TIME] if appended else batches[i, BASE_TIME]
        p, before, whole = batches[i, RECORDS], np.int64(-1), m
        for _ in range(batches[i, COUNT]):
            p, length = _varint(b, p, batch_end)
            if p < 0:
                return whole, BAD_VARINT, i
            if length < 1 or length > batch_end - p:
                return whole, BAD_RECORD_LENGTH, i
            end = p + length
            p, time_delta = _varlong(b, p + 1, end)  # after its attributes, which have no meaning so far
            if p < 0:
                return whole, BAD_VARINT, i
            p, delta = _varint(b, p, end)
            if p < 0:
                return whole, BAD_VARINT, i
            if delta <= before or delta > last_delta:
                return whole, BAD_DELTA, i
            before = delta
            p, key_size = _varint(b, p, end)
            if p < 0:
                return whole, BAD_VARINT, i
            if key_size > end - p:
                return whole, BAD_KEY, i
            k = p
            p, value_size = _varint(b, p + max(key_size, 0), end)
            if p < 0:
                return whole, BAD_VARINT, i
            if value_size > end - p:
                return whole, BAD_VALUE, i
            v = p
            h = p + max(value_size, 0)
            p, status = _skip_headers(b, h, end)
            if status != FINE:
                return whole, status, i
            if p != end:
                return whole, BAD_RECORD_SIZE, i
            if base + delta >= first_wanted:
                offset[m] = base + delta
                timestamp[m] = time if appended else _wrapping_sum(time, time_delta)
                timestamp_type[m] = 1 if appended else 0
                key_start[m], key_end[m] = (k, k + key_size) if key_size >= 0 else (-1, -1)
                value_start[m], value_end[m] = (v, v + value_size) if value_size >= 0 else (-1, -1)
                header_start[m], header_end[m] = h, end
                m += 1
        if p != batch_end:
            return whole, BAD_REST, i
    return m, FINE, 0
