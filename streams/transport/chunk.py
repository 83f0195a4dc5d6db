"""A chunk: the records of one partition that one fetch brought, as positions in one buffer."""

from __future__ import annotations

import dataclasses
import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.caching import cached_if_short
from sinks.batch import encode_headers

Headers = tuple[tuple[str, bytes | None], ...]
Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int]
"""(key, value, headers, timestamp in ms): what `chunk_of` takes."""

OUTSIDE_A_GROUP = -1
HEADERS_CACHED_MAX = 500  # most records have the same ones
HEADERS_CACHED_BYTES_MAX = 512  # of each; decoded, 500 of them take 8 MiB at most


class Row(NamedTuple):
    """One record for readers in Python. `headers` are the bytes of the record format."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """n records of one (topic, partition), in the order of their offsets.

    `buffer` is read-only uint8, shape (bytes,). The other arrays have shape (n,); record i has its value in
    `buffer[value_start[i]:value_end[i]]`, its key likewise, and start = end = -1 where key or value is null.
    Headers are in the bytes of the record format (a varint count first, never null). Offsets rise strictly and
    may leave gaps (compaction, transaction markers).

    `start_offset` is the position that was asked for, `next_offset` the one to ask for next: past the last
    record and past whatever was skipped after it (markers, aborted transactions). A chunk may be empty.
    """

    topic: str
    partition: int
    start_offset: int
    next_offset: int
    buffer: NDArray[np.uint8]
    offset: NDArray[np.int64]
    timestamp_ms: NDArray[np.int64]
    timestamp_type: NDArray[np.uint8]
    """0 the producer's time, 1 the broker's time of appending."""
    key_start: NDArray[np.int64]
    key_end: NDArray[np.int64]
    value_start: NDArray[np.int64]
    value_end: NDArray[np.int64]
    header_start: NDArray[np.int64]
    header_end: NDArray[np.int64]
    generation: int = OUTSIDE_A_GROUP
    """The consumer group's generation under which it was fetched."""
    is_cut: bool = False
    """Whether batches that were fetched with it are left out: one cannot be read, or all would take too much memory."""

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def nbytes(self) -> int:
        """Bytes that its records and their positions take in memory."""
        return self.buffer.nbytes + RECORD_BYTES * len(self)

    @property
    def payload_bytes(self) -> int:
        """Bytes of the keys, values and headers of its records."""
        return int(self.payload_sizes().sum())

    def payload_sizes(self) -> NDArray[np.int64]:
        """Return the bytes of key, value and headers of each record."""
        keys, values = self.key_end - self.key_start, self.value_end - self.value_start
        return keys + values + (self.header_end - self.header_start)

    def key(self, i: int) -> bytes | None:
        """Return the key of record i."""
        return self._bytes(int(self.key_start[i]), int(self.key_end[i]))

    def value(self, i: int) -> bytes | None:
        """Return the value of record i."""
        return self._bytes(int(self.value_start[i]), int(self.value_end[i]))

    def headers(self, i: int) -> Headers:
        """Return the headers of record i."""
        return read_headers(self.buffer[int(self.header_start[i]) : int(self.header_end[i])].tobytes())

    def rows(self, which: Sequence[int]) -> list[Row]:
        """Return the records at the indexes `which`, in that order."""
        spans = self.key_start, self.key_end, self.value_start, self.value_end, self.header_start, self.header_end
        offsets, times_ms, *columns = (column[which].tolist() for column in (self.offset, self.timestamp_ms, *spans))
        keys, values = (list(map(self._bytes, *columns[i : i + 2])) for i in (0, 2))
        headers = [self.buffer[start:end].tobytes() for start, end in zip(*columns[4:], strict=True)]
        return list(map(Row, offsets, times_ms, keys, values, headers))

    def part(self, first: int, last: int) -> Chunk:
        """Return the records [first, last) over the same buffer; its offsets join those of its neighbours."""
        arrays = {name: getattr(self, name)[first:last] for name in ARRAYS}
        starts = (self.start_offset, *self.offset[first : first + 1].tolist(), self.next_offset)
        return dataclasses.replace(
            self,
            start_offset=starts[min(first, 1)],
            next_offset=self.next_offset if last >= len(self) else int(self.offset[last]),
            **arrays,
        )

    def from_offset(self, offset: int) -> Chunk:
        """Return the records at `offset` and after it."""
        first = int(np.searchsorted(self.offset, offset))
        part = self.part(first, len(self)) if first else self
        start = min(max(offset, self.start_offset), self.next_offset)
        return dataclasses.replace(part, start_offset=start)

    def pieces(self, records_max: int) -> Iterator[Chunk]:
        """Yield the chunk in parts of at most `records_max` records, of about the same size."""
        count = -(len(self) // -records_max)
        if count <= 1:
            yield self
            return
        ends = [i * len(self) // count for i in range(count + 1)]
        for first, last in itertools.pairwise(ends):
            yield self.part(first, last)

    def _bytes(self, start: int, end: int) -> bytes | None:
        return None if start < 0 else self.buffer[start:end].tobytes()


ARRAYS = (
    "offset",
    "timestamp_ms",
    "timestamp_type",
    "key_start",
    "key_end",
    "value_start",
    "value_end",
    "header_start",
    "header_end",
)
RECORD_BYTES = sum(1 if name == "timestamp_type" else 8 for name in ARRAYS)  # of a record's places


class ChunkBuilder:
    """Builds one chunk from records given one at a time, in the order of offsets."""

    def __init__(self, topic: str, partition: int, start_offset: int, *, generation: int = OUTSIDE_A_GROUP) -> None:
        self._identity = {
            "topic": topic,
            "partition": partition,
            "start_offset": start_offset,
            "generation": generation,
        }
        self._bytes = bytearray()
        self._rows = array("q")  # as many a record as there are ARRAYS

    def add(
        self,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        timestamp_ms: int,
        timestamp_type: int = 0,
    ) -> None:
        """Append one record."""
        self.add_encoded(offset, timestamp_ms, key, value, encode_headers(headers), timestamp_type=timestamp_type)

    def add_encoded(
        self,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: bytes,
        *,
        timestamp_type: int = 0,
    ) -> None:
        """Append one record whose headers are in the bytes of the record format."""
        places = (place for part in (key, value, headers) for place in self._append(part))
        self._rows.extend((offset, timestamp_ms, timestamp_type, *places))

    def mark(self) -> tuple[int, int]:
        """Return the present state, for `back_to`."""
        return len(self._bytes), len(self._rows)

    def back_to(self, mark: tuple[int, int]) -> None:
        """Drop the records that were added after `mark`."""
        del self._bytes[mark[0] :], self._rows[mark[1] :]

    def build(self, next_offset: int, *, is_cut: bool = False) -> Chunk:
        """Return the chunk of all records added. Nothing can be added after that."""
        table = np.frombuffer(self._rows, dtype=np.int64).reshape(-1, len(ARRAYS))
        arrays = {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(ARRAYS)}
        arrays["timestamp_type"] = arrays["timestamp_type"].astype(np.uint8)
        buffer = np.frombuffer(self._bytes, dtype=np.uint8)
        buffer.flags.writeable = False
        return Chunk(buffer=buffer, next_offset=next_offset, is_cut=is_cut, **self._identity, **arrays)  # type: ignore[arg-type]

    def _append(self, part: bytes | None) -> tuple[int, int]:
        if part is None:
            return -1, -1
        start = len(self._bytes)
        self._bytes += part
        return start, len(self._bytes)


def chunk_of(topic: str, partition: int, first_offset: int, records: Iterable[Record]) -> Chunk:
    """Return a chunk of plain records (key, value, headers, timestamp_ms) at consecutive offsets from `first_offset`.

    >>> chunk = chunk_of("events.v1", 3, 100, [(b"k", b"v", [("schema", b"1")], 7), (None, None, [], 8)])
    >>> chunk.offset.tolist(), chunk.next_offset
    ([100, 101], 102)
    >>> chunk.key(0), chunk.value(0), chunk.headers(0)
    (b'k', b'v', (('schema', b'1'),))
    >>> chunk.key(1), chunk.value(1), chunk.headers(1)
    (None, None, ())
    """
    builder = ChunkBuilder(topic, partition, first_offset)
    offset = first_offset
    for key, value, headers, timestamp_ms in records:
        builder.add(offset, key, value, headers, timestamp_ms)
        offset += 1
    return builder.build(offset)


cached_by_headers = cached_if_short(HEADERS_CACHED_MAX, HEADERS_CACHED_BYTES_MAX)


@cached_by_headers
def read_headers(raw: bytes) -> Headers:
    """Decode headers from the bytes of the record format.

    Bytes of a name that are not UTF-8 become U+FFFD, so that no producer can stop a reader.
    """
    return first_headers(raw, len(raw))


def first_headers(raw: bytes, bytes_max: int) -> Headers:
    """Decode as many headers, from the first on, as end within `bytes_max` bytes of the record format."""
    count, at = read_varint(raw, 0)
    headers: list[tuple[str, bytes | None]] = []
    while len(headers) < count:
        size, at = read_varint(raw, at)
        name, at = raw[at : at + size], at + size
        size, at = read_varint(raw, at)
        value, at = (raw[at : at + size], at + size) if size >= 0 else (None, at)
        if at > bytes_max:
            break
        headers.append((name.decode(errors="replace"), value))
    return tuple(headers)


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return the zigzag varint of 32 bits at `at`, and the position after it."""
    number = shift = 0
    while True:
        byte = raw[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            number &= 0xFFFFFFFF
            return (number >> 1) ^ -(number & 1), at
