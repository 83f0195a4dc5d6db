"""Record batches to be sent: written by compiled code, compressed with LZ4 at its fastest level.

aiokafka's own builder checksums each batch before compression and compresses at level 9: for our JSON that is five
times the work for a tenth of the bytes. `Batch` has the methods that aiokafka calls on a builder. The format:
streams/transport/compiled.py.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import cramjam
import google_crc32c
import numpy as np
import numpy.typing as npt

from kernels.decorators import kernel
from kernels.words import copy_bytes
from sinks.partitioner import partition_of

BYTES_MAX = 512 * 1024  # of a batch's records before they are packed; a larger record is a batch by itself
BY_KEY = -1
KeyAndValue = tuple[bytes | None, bytes | None]
Headers = Sequence[tuple[str, bytes | None]]

_LEVEL, _LZ4 = 1, 3
_HEAD = struct.Struct(">qiibIhiqqqhii")
_AFTER_LENGTH, _AFTER_CRC, _MAGIC = 12, 21, 2
_RECORD_OVERHEAD_MAX = 5 + 1 + 10 + 5 + 5 + 5  # length, attributes, time, offset, sizes of key and value
COUNT, BYTES, FIRST_MS = range(3)  # of the batch of a partition that may be added to
PARTITION, BEGIN, END, ACK_GROUP, RECORDS, PAYLOAD, IS_NEW, MS_FIRST, MS_LAST = range(9)  # of a piece of a batch
PLACE, TIME, HEADERS_BEGIN, HEADERS_END, OF_GROUP = range(5)  # of a group of records


class AckGroup:
    """Consecutive outputs that are acknowledged together: the caller counts those sent, the sender those acknowledged.

    Each counts in a thread of its own.
    """

    __slots__ = ("landed", "sent")

    def __init__(self) -> None:
        self.sent = self.landed = 0

    @property
    def is_open(self) -> bool:
        """Whether some are not acknowledged."""
        return self.landed < self.sent


@dataclass(slots=True, frozen=True, eq=False)
class Records:
    """Keys and values of records: their concatenated bytes, and their sizes int64 (records, 2), -1 for null."""

    blob: bytes
    sizes: npt.NDArray[np.int64]

    @staticmethod
    def of(records: Sequence[KeyAndValue]) -> "Records":
        """Return the records of a sequence of (key, value)."""
        parts = [*chain.from_iterable(records)]
        sizes = np.array([-1 if part is None else len(part) for part in parts], np.int64)
        return Records(b"".join(filter(None, parts)), sizes.reshape(-1, 2))

    @staticmethod
    def joined(some: Sequence["Records"]) -> "Records":
        """Return the records of several in their order."""
        if len(some) == 1:
            return some[0]
        return Records(b"".join([one.blob for one in some]), np.concatenate([one.sizes for one in some]))

    def part(self, begin: int, end: int) -> "Records":
        """Return the records [begin, end)."""
        if begin == 0 and end == len(self.sizes):
            return self
        first, last = (int(np.maximum(self.sizes[:i], 0).sum()) for i in (begin, end))
        return Records(self.blob[first:last], self.sizes[begin:end])

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[KeyAndValue]:
        end = 0
        for sizes in self.sizes.tolist():
            key, value = (None if size < 0 else self.blob[end : (end := end + size)] for size in sizes)
            yield key, value


@dataclass(slots=True, frozen=True)
class Outputs:
    """Records of one topic in their order. `partition`: theirs, or BY_KEY; `time_ms`: when they were sent."""

    topic: str
    records: Records
    partition: int
    headers: Headers
    ack_group: AckGroup
    time_ms: int


@dataclass(slots=True, eq=False)
class Batch:
    """Records of one partition. `of`: AckGroups and how many records of each; `payload`: bytes of keys and values."""

    first_ms: int
    last_ms: int = 0
    count: int = 0
    payload: int = 0
    of: list[tuple[AckGroup, int]] = field(default_factory=list)
    _pieces: list[bytes] = field(default_factory=list)
    _producer: tuple[int, int, int] = (-1, -1, -1)
    _built: bytes | None = None

    def add(self, cells: Sequence[int], piece: bytes, ack_group: AckGroup) -> None:
        """Append records, a piece as `write` returned it."""
        self._pieces.append(piece)
        self.of.append((ack_group, cells[RECORDS]))
        self.count += cells[RECORDS]
        self.payload += cells[PAYLOAD]
        self.last_ms = max(self.last_ms, cells[MS_LAST])

    def placed(self, base_offset: int) -> bytes:
        """Return the batch as a log holds it, its first record at `base_offset`, which the checksum does not cover."""
        return base_offset.to_bytes(8, "big") + self._build()[8:]

    def record_count(self) -> int:
        """Return the number of records, as aiokafka's builder does."""
        return self.count

    def closed(self) -> bool:
        """Return True, as aiokafka's builder does once nothing more is added."""
        return True

    def close(self) -> None:
        """Do nothing: it is handed over when nothing more is added."""

    def _set_producer_state(self, producer_id: int, epoch: int, sequence: int) -> None:
        self._producer = (producer_id, epoch, sequence)

    def _build(self) -> bytes:
        """Return the bytes for the broker, the same at each attempt."""
        if self._built is None:
            self._built = self._packed(b"".join(self._pieces))
            self._pieces.clear()
        return self._built

    def _packed(self, records: bytes) -> bytes:
        compressor = cramjam.lz4.Compressor(level=_LEVEL, content_checksum=False, block_linked=False)  # as brokers want
        compressor.compress(records)
        packed, codec = bytes(compressor.finish()), _LZ4
        if len(packed) >= len(records):
            packed, codec = records, 0
        length, last = _HEAD.size - _AFTER_LENGTH + len(packed), self.count - 1

        def head(crc: int) -> bytes:
            times = self.first_ms, self.last_ms
            return _HEAD.pack(0, length, -1, _MAGIC, crc, codec, last, *times, *self._producer, self.count)

        return head(google_crc32c.extend(google_crc32c.value(head(0)[_AFTER_CRC:]), packed)) + packed


def open_batches(partitions: int) -> npt.NDArray[np.int64]:
    """Return the state of batches that hold nothing, int64 (partitions, 3)."""
    return np.zeros((partitions, 3), np.int64)


def write(some: Sequence[Outputs], opened: npt.NDArray[np.int64], anywhere: int) -> list[tuple[list[int], bytes]]:
    """Return the records of outputs of one topic as pieces of batches, (cells, bytes) each, a partition's in order.

    `opened`, int64 (partitions, 3), is the state of the batches that may be added to, and is updated. Records with
    neither partition nor key go to partition `anywhere`. The cell ACK_GROUP is an index into `some`.
    """
    blob = np.frombuffer(b"".join([outputs.records.blob for outputs in some]), np.uint8)
    sizes = np.concatenate([outputs.records.sizes for outputs in some])
    headers = [encode_headers(outputs.headers) for outputs in some]
    ends = np.cumsum([len(one) for one in headers])
    groups = np.empty((len(some), 5), np.int64)
    groups[:, PLACE] = [outputs.partition for outputs in some]
    groups[:, TIME] = [outputs.time_ms for outputs in some]
    groups[:, HEADERS_END] = ends
    groups[:, HEADERS_BEGIN] = ends - [len(one) for one in headers]
    groups[:, OF_GROUP] = _runs([outputs.ack_group for outputs in some])
    counts = np.array([len(outputs.records) for outputs in some], np.int64)
    longest = max(map(len, headers))
    out = np.empty(len(blob) + len(sizes) * (_RECORD_OVERHEAD_MAX + longest), np.uint8)
    pieces = np.empty((len(sizes), 9), np.int64)
    found = _write(
        blob, sizes, np.repeat(np.arange(len(some)), counts), groups, np.frombuffer(b"".join(headers), np.uint8),
        anywhere, opened, np.empty((4, len(sizes)), np.int64), np.empty((2, len(opened)), np.int64), out, pieces,
    )  # fmt: skip
    return [(cells, out[cells[BEGIN] : cells[END]].tobytes()) for cells in pieces[:found].tolist()]


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    write([Outputs("", Records.of([(b"key", None)]), BY_KEY, (), AckGroup(), 0)], open_batches(1), 0)
    Batch(0)._packed(b"")


def _runs(groups: Sequence[AckGroup]) -> list[int]:
    """Return, for each, the index where the run of equal ones that it is in begins."""
    found: list[int] = []
    for i, ack_group in enumerate(groups):
        found.append(found[-1] if i and ack_group is groups[i - 1] else i)
    return found


def encode_headers(headers: Headers) -> bytes:
    """Return headers in the bytes of the record format."""
    encoded = bytearray(write_varint(len(headers)))
    for name, value in headers:
        name_bytes = name.encode()
        encoded += write_varint(len(name_bytes)) + name_bytes
        encoded += write_varint(-1) if value is None else write_varint(len(value)) + value
    return bytes(encoded)


def write_varint(number: int) -> bytes:
    """Return a zigzag varint, as the record format has it."""
    left = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while left > 127:
        encoded.append(left & 127 | 128)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


@kernel(inline="always")
def _put(out, at, number):  # type: ignore[no-untyped-def]
    """Write a zigzag varint to out[at:]; return the position after it."""
    left = np.uint64(number << 1 ^ number >> 63)
    while left > np.uint64(127):
        out[at] = left & np.uint64(127) | np.uint64(128)
        left >>= np.uint64(7)
        at += 1
    out[at] = left
    return at + 1


@kernel(inline="always")
def _size(number):  # type: ignore[no-untyped-def]
    left, size = np.uint64(number << 1 ^ number >> 63), 1
    while left > np.uint64(127):
        left >>= np.uint64(7)
        size += 1
    return size


@kernel(nogil=True)
def _write(  # type: ignore[no-untyped-def]
    blob, sizes, group_of, groups, headers, anywhere, opened, plan, lines, out, pieces
):
    """Write all records, those of a partition together; return the number of pieces.

    `plan` has for each record (partition, bytes after its length, offset in the batch, first time of its batch),
    `lines` for each partition (where its next record goes, its last piece).
    """
    place, length, delta, first_ms = plan[0], plan[1], plan[2], plan[3]
    next_at, last_piece = lines[0], lines[1]
    next_at[:] = 0
    last_piece[:] = -1
    at = np.int64(0)
    for i in range(sizes.shape[0]):
        key_size, value_size, group = sizes[i, 0], sizes[i, 1], groups[group_of[i]]
        p = group[PLACE]
        if p < 0:
            p = anywhere if key_size < 0 else partition_of(blob, at, at + key_size, opened.shape[0])
        at += max(key_size, 0) + max(value_size, 0)
        batch = opened[p]
        most = _RECORD_OVERHEAD_MAX + max(key_size, 0) + max(value_size, 0) + group[HEADERS_END] - group[HEADERS_BEGIN]
        if batch[COUNT] and batch[BYTES] + most > BYTES_MAX:
            batch[COUNT] = 0
        if not batch[COUNT]:
            batch[BYTES], batch[FIRST_MS] = 0, group[TIME]
        place[i], delta[i], first_ms[i] = p, batch[COUNT], batch[FIRST_MS]
        length[i] = (
            1 + _size(group[TIME] - batch[FIRST_MS]) + _size(batch[COUNT])
            + _size(key_size) + max(key_size, 0) + _size(value_size) + max(value_size, 0)
            + group[HEADERS_END] - group[HEADERS_BEGIN]
        )  # fmt: skip
        batch[COUNT] += 1
        batch[BYTES] += most
        next_at[p] += _size(length[i]) + length[i]
    at = np.int64(0)
    for p in range(opened.shape[0]):
        next_at[p], at = at, at + next_at[p]
    at, found = np.int64(0), 0
    for i in range(sizes.shape[0]):
        key_size, value_size, group = sizes[i, 0], sizes[i, 1], groups[group_of[i]]
        p = place[i]
        piece = last_piece[p]
        if piece < 0 or delta[i] == 0 or pieces[piece, ACK_GROUP] != group[OF_GROUP]:
            piece = last_piece[p] = found
            pieces[piece, PARTITION], pieces[piece, BEGIN], pieces[piece, ACK_GROUP] = p, next_at[p], group[OF_GROUP]
            pieces[piece, RECORDS], pieces[piece, PAYLOAD], pieces[piece, IS_NEW] = 0, 0, delta[i] == 0
            pieces[piece, MS_FIRST], pieces[piece, MS_LAST] = first_ms[i], group[TIME]
            found += 1
        to = _put(out, next_at[p], length[i])
        out[to] = 0
        to = _put(out, _put(out, to + 1, group[TIME] - first_ms[i]), delta[i])
        to = copy_bytes(blob, at, at + key_size, out, _put(out, to, key_size))
        at += max(key_size, 0)
        to = copy_bytes(blob, at, at + value_size, out, _put(out, to, value_size))
        at += max(value_size, 0)
        to = copy_bytes(headers, group[HEADERS_BEGIN], group[HEADERS_END], out, to)
        next_at[p] = pieces[piece, END] = to
        pieces[piece, RECORDS] += 1
        pieces[piece, PAYLOAD] += max(key_size, 0) + max(value_size, 0)
        pieces[piece, MS_LAST] = max(pieces[piece, MS_LAST], group[TIME])
    return found
