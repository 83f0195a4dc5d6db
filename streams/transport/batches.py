"""The compiled parser: fetched record batches (format 2) to a chunk.

One pass over the batch headers checks lengths and format, then sums are checked; batches of aborted transactions and
markers are dropped and compressed ones unpacked; one pass over the records writes where each key, value and header
begins and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cramjam
import google_crc32c
import numpy as np
from aiokafka import codec
from numpy.typing import NDArray

from streams.transport import compiled
from streams.transport.chunk import ARRAYS, OUTSIDE_A_GROUP, Chunk
from streams.transport.compiled import (
    ATTRIBUTES,
    BAD_COUNT,
    BAD_CRC,
    BAD_LENGTH,
    BAD_MAGIC,
    BASE,
    CODEC,
    COLUMNS,
    CONTROL,
    COUNT,
    END,
    HEADER,
    LAST_DELTA,
    PRODUCER,
    REASONS,
    RECORD_MIN,
    RECORDS,
    SUM,
    SUMMED,
    TRANSACTIONAL,
    Batches,
)
from streams.transport.errors import BatchTooLarge, CorruptBatch, UnsupportedMagic

LZ4 = 3
DECOMPRESS: dict[int, Callable[[bytes], bytes]] = {
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    LZ4: codec.lz4_decode,
    4: codec.zstd_decode,
}
ABORT_MARKER = 0
UNSUMMED = frozenset({BAD_LENGTH, BAD_MAGIC})  # of a batch that cannot be read so far
UNPACKED_TO_PACKED = 6  # room to begin with: our records are packed to a quarter
NO_ROOM = -1


def parse(
    raw: bytes | memoryview,
    *,
    topic: str,
    partition: int,
    start_offset: int,
    aborted: Sequence[tuple[int, int]] = (),
    generation: int = OUTSIDE_A_GROUP,
) -> Chunk:
    """The records at `start_offset` and after it of all whole batches in `raw`, as one fetch brought them.

    `aborted` is the fetch response's list of (producer id, first offset). A cut batch at the end is left for the next
    fetch.

    Raises UnsupportedMagic, CorruptBatch, and BatchTooLarge where not even the first batch is whole.
    """
    buffer = np.frombuffer(raw, dtype=np.uint8)
    batches, status = _whole_batches(buffer, start_offset)
    for base, wanted, begin, end in batches[: -1 if status in UNSUMMED else None, [BASE, SUM, SUMMED, END]].tolist():
        if google_crc32c.value(buffer[begin:end]) != wanted:
            raise CorruptBatch(topic, partition, base, REASONS[BAD_CRC])
    if status:
        row = batches[-1]
        if status == BAD_MAGIC:
            raise UnsupportedMagic(topic, partition, int(row[BASE]), int(row[ATTRIBUTES]))
        raise CorruptBatch(topic, partition, int(row[BASE]), REASONS[status])
    if not len(batches):
        raise BatchTooLarge(topic, partition, start_offset, len(raw))
    next_offset = int(batches[-1, BASE] + batches[-1, LAST_DELTA]) + 1

    if aborted or (batches[:, ATTRIBUTES] & (TRANSACTIONAL | CONTROL)).any():
        batches = batches[_committed(buffer, batches, aborted)]
    if (batches[:, ATTRIBUTES] & CODEC).any():
        buffer, batches = _unpacked(raw, batches, topic, partition)

    arrays = _columns(int(batches[:, COUNT].sum()))
    n, status, bad = compiled.index(buffer, batches, start_offset, *arrays.values())
    if status:
        raise CorruptBatch(topic, partition, int(batches[bad, BASE]), REASONS[status])
    return Chunk(
        topic=topic,
        partition=partition,
        start_offset=start_offset,
        next_offset=next_offset,
        buffer=buffer,
        generation=generation,
        **{name: array[:n] for name, array in arrays.items()},
    )


def warm() -> None:
    """Compile, or load from the cache, before the worker joins its group."""
    empty = np.frombuffer(bytes(HEADER), dtype=np.uint8)
    _whole_batches(empty, 0)
    compiled.index(empty, np.empty((0, COLUMNS), np.int64), 0, *_columns(0).values())


def _columns(n: int) -> dict[str, NDArray[Any]]:
    return {name: np.empty(n, np.uint8 if name == "timestamp_type" else np.int64) for name in ARRAYS}


def _whole_batches(buffer: NDArray[np.uint8], first_wanted: int) -> tuple[Batches, int]:
    batches = np.empty((compiled.count_batches(buffer), COLUMNS), np.int64)
    n, status = compiled.read_headers(buffer, first_wanted, batches)
    return batches[:n], status


def _committed(buffer: NDArray[np.uint8], batches: Batches, aborted: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """True for batches that carry records of committed transactions or of none.

    A producer's transaction is aborted from the first offset that the broker named to its next abort marker.
    """
    waiting = sorted(aborted, key=lambda entry: entry[1], reverse=True)
    open_aborts: set[int] = set()
    keep = np.ones(len(batches), np.bool_)
    for i, row in enumerate(batches):
        while waiting and waiting[-1][1] <= row[BASE]:
            open_aborts.add(waiting.pop()[0])
        producer, attributes = int(row[PRODUCER]), int(row[ATTRIBUTES])
        if attributes & CONTROL:
            keep[i] = False
            if _is_abort_marker(buffer, row):
                open_aborts.discard(producer)
        elif attributes & TRANSACTIONAL and producer in open_aborts:
            keep[i] = False
    return keep


def _is_abort_marker(buffer: NDArray[np.uint8], row: NDArray[np.int64]) -> bool:
    if int(row[ATTRIBUTES]) & CODEC:
        return False  # brokers do not compress markers
    arrays = _columns(int(row[COUNT]))
    n, status, _ = compiled.index(buffer, row.reshape(1, COLUMNS), 0, *arrays.values())
    if status or not n:
        return False
    key = buffer[arrays["key_start"][0] : arrays["key_end"][0]].tobytes()
    return len(key) >= 4 and int.from_bytes(key[2:4], "big") == ABORT_MARKER  # version, type


def _unpacked(
    raw: bytes | memoryview, batches: Batches, topic: str, partition: int
) -> tuple[NDArray[np.uint8], Batches]:
    """One buffer of the records of all batches, unpacked where they were compressed, and the batches' places in it."""
    out, size, moved = np.empty(UNPACKED_TO_PACKED * len(raw), np.uint8), 0, batches.copy()
    for i, row in enumerate(batches):
        packed = memoryview(raw)[row[RECORDS] : row[END]]
        kind, begin = int(row[ATTRIBUTES]) & CODEC if row[COUNT] else 0, size
        size = _unpack_lz4(packed, out, begin) if kind == LZ4 else NO_ROOM
        if size == NO_ROOM:
            part = _decompress(kind, packed, topic, partition, int(row[BASE])) if kind else packed
            size = begin + len(part)
            if size > len(out):
                out = np.concatenate([out[:begin], np.empty(max(size, begin), np.uint8)])
            out[begin:size] = np.frombuffer(part, np.uint8)
        if int(row[COUNT]) * RECORD_MIN > size - begin:
            raise CorruptBatch(topic, partition, int(row[BASE]), REASONS[BAD_COUNT])
        moved[i, RECORDS], moved[i, END] = begin, size
    out.flags.writeable = False
    return out[:size], moved


def _unpack_lz4(packed: memoryview, out: NDArray[np.uint8], begin: int) -> int:
    """Unpack to out[begin:]; where it ends, NO_ROOM where it does not fit in, or is corrupt: who unpacks it elsewhere
    will see."""
    try:
        return begin + int(cramjam.lz4.decompress_into(packed, out.data[begin:]))
    except cramjam.DecompressionError:
        return NO_ROOM


def _decompress(kind: int, packed: memoryview, topic: str, partition: int, base_offset: int) -> bytes:
    decompress = DECOMPRESS.get(kind)
    if decompress is None:
        raise CorruptBatch(topic, partition, base_offset, f"unknown compression codec {kind}")
    try:
        return decompress(bytes(packed))
    except Exception as error:  # each codec has errors of its own, and all mean the same here
        raise CorruptBatch(
            topic, partition, base_offset, f"cannot be decompressed (codec {kind}): {error!r}"
        ) from error
