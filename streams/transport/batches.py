"""The compiled parser: fetched record batches (format 2) to a chunk.

The first pass, over the batch headers, checks lengths and format; then checksums are checked, batches of aborted
transactions and control batches dropped, and compressed batches unpacked. The last pass, over the records, writes where
each key, value and header begins and ends. Each pass stops before the first batch that an earlier pass could not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from config.limits import UNPACKED_BYTES_MAX
from streams.transport import compiled
from streams.transport.chunk import ARRAYS, OUTSIDE_A_GROUP, RECORD_BYTES, Chunk
from streams.transport.compiled import (
    ATTRIBUTES,
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
from streams.transport.errors import BatchTooLarge, Reason, unreadable
from streams.transport.unpacking import Refusal, unpack

ABORT_MARKER = 0
UNPACKED_TO_PACKED = 6  # room to begin with: our records are packed to a quarter
UNSUMMED = frozenset({Reason.BATCH_LENGTH, Reason.MESSAGE_FORMAT})  # of a batch whose sum is not known
Rows = NDArray[np.int64]


class Fault(NamedTuple):
    """Reason why the batches from row `row` on are left out."""

    row: int
    reason: Reason
    detail: str = ""


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
    """Return the records from `start_offset` on of the whole batches in `raw`, the bytes that one fetch brought.

    `aborted` is the fetch response's list of (producer id, first offset). A batch that is cut off at the end is left
    for the next fetch. The chunk ends (`is_cut`) before the first batch that cannot be read, and before the batch with
    which the unpacked records and their positions would take more than `unpacked_bytes_max` bytes; one that alone takes
    more than `batch_bytes_max` cannot be read. The format is Kafka's message format 2 (KIP-98), see compiled.py.

    Raise UnreadableBatch where the first batch cannot be read, and BatchTooLarge where not even the first is whole.
    """
    next_offset, fault, buffer, arrays = _read(raw, start_offset, aborted, unpacked_bytes_max, batch_bytes_max)
    if next_offset is None:
        if fault is None:
            raise BatchTooLarge(topic, partition, start_offset, len(raw))
        raise unreadable(raw, topic, partition, start_offset, fault.reason, fault.detail)
    return Chunk(
        topic=topic,
        partition=partition,
        start_offset=start_offset,
        next_offset=next_offset,
        buffer=buffer,
        generation=generation,
        is_cut=fault is not None,
        **arrays,
    )


def _read(
    raw: bytes | memoryview, start_offset: int, aborted: Sequence[tuple[int, int]], bytes_max: int, batch_bytes_max: int
) -> tuple[int | None, Fault | None, NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Return the offset after the last batch read, the fault of the next one, and the records' bytes and positions.

    The offset is None where no batch is read.
    """
    buffer = np.frombuffer(raw, dtype=np.uint8)
    batches, fault = _whole_batches(buffer, start_offset)
    wanted = np.arange(fault.row if fault else len(batches))
    if aborted or (batches[wanted, ATTRIBUTES] & (TRANSACTIONAL | CONTROL)).any():
        wanted, fault = _committed(raw, batches[wanted], aborted, bytes_max, fault)
    if (batches[wanted, ATTRIBUTES] & CODEC).any():
        buffer, read, bad = _unpacked(raw, batches[wanted], bytes_max, batch_bytes_max)
    else:
        read, bad = _within(batches[wanted], bytes_max, batch_bytes_max)
    fault = _of_all(wanted, bad) or fault

    arrays = _columns(int(read[:, COUNT].sum()))
    n, status, row = compiled.index(buffer, read, start_offset, *arrays.values())
    fault = _of_all(wanted, _fault(row, status)) or fault
    count = fault.row if fault else len(batches)
    next_offset = int(batches[count - 1, BASE] + batches[count - 1, LAST_DELTA]) + 1 if count else None
    return next_offset, fault, buffer, {name: array[:n] for name, array in arrays.items()}


def warm() -> None:
    """Compile the kernels, or load them from the cache, before the worker joins its group."""
    empty = np.frombuffer(bytes(HEADER), dtype=np.uint8)
    _whole_batches(empty, 0)
    compiled.index(empty, np.empty((0, COLUMNS), np.int64), 0, *_columns(0).values())


def _columns(n: int) -> dict[str, NDArray[Any]]:
    return {name: np.empty(n, np.uint8 if name == "timestamp_type" else np.int64) for name in ARRAYS}


def _fault(row: int, status: int) -> Fault | None:
    return Fault(row, REASONS[status - 1]) if status else None


def _of_all(wanted: Rows, fault: Fault | None) -> Fault | None:
    """Return a fault that names a row among the wanted batches as one that names a row among all."""
    return fault and fault._replace(row=int(wanted[fault.row]))


def _whole_batches(buffer: NDArray[np.uint8], first_wanted: int) -> tuple[Batches, Fault | None]:
    """Return one row for each whole batch up to the first whose header or checksum is wrong, and that fault."""
    batches = np.empty((compiled.count_batches(buffer), COLUMNS), np.int64)
    n, status = compiled.read_headers(buffer, first_wanted, batches)
    fault = _fault(n - 1, status)
    if fault and fault.reason == Reason.MESSAGE_FORMAT:
        magic = int(batches[n - 1, ATTRIBUTES])
        fault = fault._replace(detail=f"magic {magic}")
    summed = batches[: n - 1 if fault and fault.reason in UNSUMMED else n, [SUM, SUMMED, END]]
    for row, (wanted, begin, end) in enumerate(summed.tolist()):
        if google_crc32c.value(buffer[begin:end]) != wanted:
            return batches[: row + 1], Fault(row, Reason.CHECKSUM)
    return batches[:n], fault


def _within(batches: Batches, bytes_max: int, batch_bytes_max: int) -> tuple[Batches, Fault | None]:
    """Return the batches, none of them compressed, that with their records' positions fit into `bytes_max` bytes.

    They end before the first that alone takes more than `batch_bytes_max`.
    """
    sizes = batches[:, END] - batches[:, RECORDS] + RECORD_BYTES * batches[:, COUNT]
    fits = (np.cumsum(sizes) <= bytes_max) & (sizes <= batch_bytes_max)
    row = len(fits) if fits.all() else int(fits.argmin())
    return batches[:row], Fault(row, Reason.DECOMPRESSED_TOO_LARGE) if row < len(batches) else None


def _committed(
    raw: bytes | memoryview,
    batches: Batches,
    aborted: Sequence[tuple[int, int]],
    bytes_max: int,
    fault: Fault | None,
) -> tuple[Rows, Fault | None]:
    """Return the rows of batches that carry records of committed transactions or of none.

    A producer's transaction is aborted from the first offset that the broker named to its next abort marker.
    """
    waiting = sorted(aborted, key=lambda entry: entry[1], reverse=True)
    open_aborts: set[int] = set()
    keep: list[int] = []
    for i, row in enumerate(batches):
        while waiting and waiting[-1][1] <= row[BASE] + row[LAST_DELTA]:
            open_aborts.add(waiting.pop()[0])
        producer, attributes = int(row[PRODUCER]), int(row[ATTRIBUTES])
        if attributes & CONTROL:
            is_abort = _is_abort_marker(raw, batches[i : i + 1], bytes_max)
            if isinstance(is_abort, Fault):
                fault = is_abort._replace(row=i)
                break
            if is_abort:
                open_aborts.discard(producer)
        elif not (attributes & TRANSACTIONAL and producer in open_aborts):
            keep.append(i)
    return np.array(keep, np.int64), fault


def _is_abort_marker(raw: bytes | memoryview, control: Batches, bytes_max: int) -> bool | Fault:
    buffer, control, fault = _unpacked(raw, control, bytes_max, bytes_max)
    if fault:
        return fault
    arrays = _columns(int(control[:, COUNT].sum()))
    n, status, row = compiled.index(buffer, control, 0, *arrays.values())
    if status or not n:
        return _fault(row, status) or False
    key = buffer[max(arrays["key_start"][0], 0) : max(arrays["key_end"][0], 0)].tobytes()
    if len(key) < 4 or key[0] > 127:
        return Fault(0, Reason.CONTROL_RECORD)
    return int.from_bytes(key[2:4], "big") == ABORT_MARKER  # after the version


def _unpacked(
    raw: bytes | memoryview, batches: Batches, bytes_max: int, batch_bytes_max: int
) -> tuple[NDArray[np.uint8], Batches, Fault | None]:
    """Return one buffer with the records of all batches, unpacked, and the batches with their places in it.

    It ends before the first batch that cannot be unpacked, or with which all would take more than `bytes_max` bytes,
    or which alone takes more than `batch_bytes_max`, positions included.
    """
    view, left, size, fault = memoryview(raw), bytes_max, 0, None
    places: list[tuple[int, int]] = []
    packed_bytes = int((batches[:, END] - batches[:, RECORDS]).sum())
    out = np.empty(min(UNPACKED_TO_PACKED * packed_bytes, bytes_max), np.uint8).data
    for attributes, count, begin, end in batches[:, [ATTRIBUTES, COUNT, RECORDS, END]].tolist():
        room = min(left, batch_bytes_max)
        try:
            while (unpacked_end := _append(out, size, attributes & CODEC, view[begin:end], room)) is None:
                out = _grown(out, size, size + left)
            taken = unpacked_end - size + RECORD_BYTES * count
            left -= taken
            if count * RECORD_MIN > unpacked_end - size:
                raise Refusal(Reason.RECORD_COUNT)
            if taken > room:
                raise Refusal(Reason.DECOMPRESSED_TOO_LARGE)
        except Refusal as refusal:
            fault = Fault(len(places), refusal.reason, refusal.detail)
            break
        places.append((size, unpacked_end))
        size = unpacked_end
    moved = batches[: len(places)].copy()
    moved[:, [RECORDS, END]] = np.array(places, np.int64).reshape(-1, 2)
    return np.frombuffer(out.toreadonly(), np.uint8)[:size], moved, fault


def _append(out: memoryview, size: int, codec: int, packed: memoryview, left: int) -> int | None:
    """Unpack to out[size:], at most `left` bytes.

    Return the end of the content; None where a larger buffer might take it.
    """
    end = min(len(out), size + left)
    try:
        return size + unpack(codec, packed, out[size:end])
    except Refusal as refusal:
        if refusal.reason != Reason.DECOMPRESSED_TOO_LARGE or end == size + left:
            raise
    return None


def _grown(out: memoryview, size: int, grown_bytes: int) -> memoryview:
    """Return a buffer with the first `size` bytes of `out`, which is given back before: both would exceed the bound."""
    content = bytes(out[:size])
    out.release()
    grown = np.empty(grown_bytes, np.uint8).data  # the largest at once: pages that stay untouched take no memory
    grown[:size] = content
    return grown
