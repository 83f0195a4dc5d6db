"""Record batches built byte by byte from the format's description, with every field free; and random ones."""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import codec
from aiokafka.record.util import calc_crc32c

from sinks.batch import encode_headers, write_varint
from streams.transport import Chunk
from streams.transport.chunk import ARRAYS

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
COMPRESS = {
    0: bytes,
    GZIP: codec.gzip_encode,
    SNAPPY: codec.snappy_encode,
    LZ4: codec.lz4_encode,
    ZSTD: codec.zstd_encode,
}
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
ABORT, COMMIT = struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)


@dataclass(frozen=True, kw_only=True)
class Row:
    delta: int
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    headers: Sequence[tuple[str, bytes | None]] = ()
    time_delta: int = 0

    def encoded(self) -> bytes:
        body = b"\0" + write_varint(self.time_delta) + write_varint(self.delta)
        for part in (self.key, self.value):
            body += write_varint(-1) if part is None else write_varint(len(part)) + part
        body += encode_headers(self.headers)
        return write_varint(len(body)) + body


@dataclass(frozen=True, kw_only=True)
class Batch:
    base: int = 0
    rows: Sequence[Row] = ()
    compression: int = 0
    flags: int = 0
    producer: int = -1
    last_delta: int | None = None
    base_time: int = 1_700_000_000_000
    max_time: int = 1_700_000_000_999
    count: int | None = None
    magic: int = 2
    crc_error: int = 0
    payload: bytes | None = None
    """In place of the encoded rows."""
    extra: bytes = field(default=b"")

    @property
    def next_offset(self) -> int:
        return self.base + self._last_delta() + 1

    def encoded(self) -> bytes:
        payload = self.payload if self.payload is not None else b"".join(row.encoded() for row in self.rows)
        count = len(self.rows) if self.count is None else self.count
        after_crc = (
            struct.pack(
                ">hiqqqhii",
                *(self.compression | self.flags, self._last_delta(), self.base_time, self.max_time),
                *(self.producer, 0, -1, count),
            )
            + COMPRESS.get(self.compression, bytes)(payload)
            + self.extra
        )
        crc = calc_crc32c(after_crc) ^ self.crc_error
        return struct.pack(">qiibI", self.base, 9 + len(after_crc), 0, self.magic, crc) + after_crc

    def _last_delta(self) -> int:
        return self.last_delta if self.last_delta is not None else max((row.delta for row in self.rows), default=0)


def rows_of(n: int) -> list[Row]:
    return [Row(delta=i, key=b"key%d" % i, value=b"value%d" % i, time_delta=i) for i in range(n)]


def marker(base: int, producer: int, kind: bytes) -> Batch:
    row = Row(delta=0, key=kind, value=struct.pack(">hi", 0, 0))
    return Batch(base=base, rows=[row], flags=CONTROL | TRANSACTIONAL, producer=producer)


def with_right_crcs(raw: bytes) -> bytes:
    """The bytes with the checksum of each whole batch made right, as far as lengths lead."""
    fixed, at = bytearray(raw), 0
    while at + 61 <= len(fixed):
        (length,) = struct.unpack_from(">i", fixed, at + 8)
        if length < 49 or at + 12 + length > len(fixed):
            break
        struct.pack_into(">I", fixed, at + 17, calc_crc32c(bytes(fixed[at + 21 : at + 12 + length])))
        at += 12 + length
    return bytes(fixed)


def with_payload(batch: bytes, payload: bytes) -> bytes:
    """The batch with other bytes behind its header, and length and checksum made right."""
    return with_right_crcs(batch[:8] + (49 + len(payload)).to_bytes(4, "big") + batch[12:61] + payload)


def random_log(rng: random.Random, batches_max: int = 4) -> tuple[bytes, int, list[tuple[int, int]]]:
    """(fetched bytes, offset asked for, aborted transactions): every kind of batch, gaps, nulls, a cut tail."""
    base, raw, aborted = rng.randrange(1 << rng.randrange(1, 40)), b"", []
    start = base
    for _ in range(rng.randint(1, batches_max)):
        producer = rng.choice([-1, 7, 8])
        if producer >= 0 and rng.random() < 0.4:
            batch = marker(base, producer, rng.choice([ABORT, COMMIT]))
        else:
            batch = _random_batch(rng, base, producer)
            if batch.flags & TRANSACTIONAL and rng.random() < 0.5:
                aborted.append((producer, base))
        start = rng.randrange(batch.base, batch.next_offset) if not raw else start
        raw += batch.encoded()
        base = batch.next_offset + rng.choice([0, 0, 0, 5])
    tail = _random_batch(rng, base, -1).encoded()
    return raw + tail[: rng.randrange(len(tail))], start, aborted


def _random_batch(rng: random.Random, base: int, producer: int) -> Batch:
    delta, rows = -1, []
    for _ in range(rng.randrange(8)):
        delta += rng.choice([1, 1, 1, 2, 70])
        headers = [(rng.choice(["", "schema", "头"]), rng.choice([None, b"", b"\x00\xff", b"x" * 70]))] * rng.randrange(
            3
        )
        blobs = [None, b"", b"k", rng.randbytes(rng.choice([3, 64, 200]))]
        rows.append(
            Row(
                delta=delta,
                key=rng.choice(blobs),
                value=rng.choice(blobs),
                headers=headers,
                time_delta=rng.randint(-1000, 1 << 33),
            )
        )
    transactional = TRANSACTIONAL if producer >= 0 and rng.random() < 0.7 else 0
    return Batch(
        base=base,
        rows=rows,
        compression=rng.randrange(5) if rows else 0,
        flags=transactional | rng.choice([0, LOG_APPEND_TIME]),
        producer=producer,
        last_delta=max(delta, 0) + rng.choice([0, 0, 9]),
    )


def assert_same(one: Chunk, other: Chunk) -> None:
    """Field by field, and of keys, values and headers byte by byte (the buffers may differ)."""
    for name in ("topic", "partition", "start_offset", "next_offset", "generation", "is_cut"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("offset", "timestamp_ms", "timestamp_type"):
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    for i in range(len(one)):
        assert one.key(i) == other.key(i)
        assert one.value(i) == other.value(i)
        assert one.headers(i) == other.headers(i)


def assert_inside(chunk: Chunk) -> None:
    """Every position is inside the buffer, or -1 and -1."""
    for part in ("key", "value", "header"):
        start, end = getattr(chunk, f"{part}_start"), getattr(chunk, f"{part}_end")
        null = start == -1
        assert (end[null] == -1).all()
        assert ((start >= 0) & (start <= end) & (end <= len(chunk.buffer)))[~null].all()
    assert all(len(getattr(chunk, name)) == len(chunk) for name in ARRAYS)
