"""Damaged fetches by the million: what both parsers make of each, in what time and memory.

    python -m tests.streams.transport.mutations SEED COUNT [FILE]

Damage reaches every layer, as the sums are made right again: bytes anywhere, fields of the header, the compressed
bytes, the records under the compression, single varints in them, whole batches. The same seed damages the same way.
FILE: more fetches to damage, a pickled list of (bytes, offset asked for, aborted transactions).
"""

import json
import pickle
import random
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.record.util import calc_crc32c

from config.settings import UNPACKED_BYTES_MAX
from sinks.batch import write_varint
from streams.transport import BatchError, Chunk, UnreadableBatch, batches, reference
from streams.transport.unpacking import Refusal, unpack
from tests.mutating import watched
from tests.streams.transport.record_batches import (
    COMPRESS,
    GZIP,
    LZ4,
    SNAPPY,
    ZSTD,
    Batch,
    Row,
    assert_inside,
    assert_same,
    random_log,
    rows_of,
    with_right_crcs,
)

CPU_S_MAX = 3.0  # of one fetch: a bomb fills 75,000 pages, and some hosts take 14 µs for each
OF_A_BOMB_CPU_S_MAX = 120.0  # of the reference parser, which is slower by far
# The reference parser makes the places twice. With the largest case, of tiny records, both chunks are held: 319 MiB; in
# half a million cases the heap grows by some 20 MiB more, and stays.
GROWN_BYTES_MAX = 2 * UNPACKED_BYTES_MAX + (96 << 20)
CAPS = (UNPACKED_BYTES_MAX, UNPACKED_BYTES_MAX, UNPACKED_BYTES_MAX, 1 << 20, 1 << 14, 2_000, 300)
BOMB_EVERY = 20_000
TINY = 1_600_000  # records without content that are within the bound
INTERESTING = (
    0, 1, 2, 7, 63, 64, 127, 128, 255, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 2, 2**63 - 1,
    2**63,
)  # fmt: skip
FIELDS = {  # of a batch's header: where, and how it is packed
    "base": (0, ">q"), "length": (8, ">i"), "epoch": (12, ">i"), "magic": (16, ">b"), "crc": (17, ">I"),
    "attributes": (21, ">h"), "last_delta": (23, ">i"), "base_time": (27, ">q"), "max_time": (35, ">q"),
    "producer": (43, ">q"), "count": (57, ">i"),
}  # fmt: skip


@dataclass(frozen=True)
class Fetch:
    """A fetch: its bytes, and the request."""

    raw: bytes
    start: int
    aborted: Sequence[tuple[int, int]] = ()
    batches: list[bytes] = field(default_factory=list)
    """The whole batches in it."""

    def __post_init__(self) -> None:
        at = 0
        while at + 61 <= len(self.raw):
            end = at + 12 + int.from_bytes(self.raw[at + 8 : at + 12], "big")
            if end > len(self.raw):
                break
            self.batches.append(self.raw[at:end])
            at = end


@dataclass(frozen=True)
class Case:
    """A damaged fetch."""

    raw: bytes
    start: int
    aborted: Sequence[tuple[int, int]]
    bytes_max: int


def corpus(seed: int, more: Sequence[Fetch] = ()) -> list[Fetch]:
    """Fetches of every kind of batch, well-formed, to be damaged."""
    rng = random.Random(seed)
    found = [Fetch(*random_log(rng)) for _ in range(300)]
    for codec in COMPRESS:
        raw = b"".join(Batch(base=base, rows=rows_of(40), compression=codec).encoded() for base in (0, 40, 80))
        found.append(Fetch(raw, 0))
        headers = [("h", b"x"), ("", None)] * 500
        found.append(Fetch(Batch(rows=[Row(delta=0, headers=headers)], compression=codec).encoded(), 0))
    return [fetch for fetch in [*found, *more] if fetch.batches]


def bombs(mebibytes: int, codecs: Sequence[int] = (GZIP, SNAPPY, LZ4, ZSTD)) -> list[Fetch]:
    """Return batches whose record unpacks to `size` bytes, alone and behind a good one, by each codec.

    They consist of joined streams, which every codec accepts, so making them takes no memory.
    """
    good, found = Batch(rows=rows_of(3)).encoded(), []
    size = mebibytes << 20
    body = b"\0\0\0\x01" + write_varint(size)  # then the value, all zeros, and no headers
    head = write_varint(len(body) + size + 1) + body
    for codec in codecs:
        pack = COMPRESS[codec]
        packed = pack(head) + pack(bytes(1 << 20)) * mebibytes + pack(b"\0")
        batch = _with_payload(Batch(base=3, count=1, last_delta=0, compression=codec).encoded()[:61], packed)
        found += [Fetch(with_right_crcs(batch), 3), Fetch(good + with_right_crcs(batch), 0)]
    return found


def tiny_records(count: int) -> Fetch:
    """Return a batch of empty records: their columns take ten times their bytes."""
    payload = bytearray()
    for delta in range(count):
        payload += Row(delta=delta, key=None, value=None).encoded()
    batch = Batch(base=3, payload=bytes(payload), count=count, last_delta=count - 1, compression=ZSTD)
    return Fetch(batch.encoded(), 3)


def damaged(rng: random.Random, fetches: Sequence[Fetch]) -> Case:
    """One of the fetches, damaged in one way or several."""
    fetch = rng.choice(fetches)
    parts = list(fetch.batches)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        damage = rng.choice(DAMAGES)
        damage(rng, parts, fetches)
    raw = b"".join(parts)
    if rng.random() < 0.1:
        raw = raw[: rng.randrange(len(raw) + 1)]
    if rng.random() < 0.9:
        raw = with_right_crcs(raw)
    start = fetch.start if rng.random() < 0.9 else max(fetch.start + rng.choice((-3, -1, 1, 2, 50)), 0)
    return Case(raw, start, fetch.aborted, rng.choice(CAPS))


def bytes_anywhere(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """Flip, set, insert, delete, repeat, or bring from elsewhere."""
    i = rng.randrange(len(parts))
    parts[i] = _edited(rng, parts[i], rng.choice(rng.choice(fetches).batches))


def header_field(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """Another number in a header."""
    del fetches
    i, (at, form) = rng.randrange(len(parts)), rng.choice(list(FIELDS.values()))
    if len(parts[i]) < 61:
        return
    size = struct.calcsize(form)
    old = int.from_bytes(parts[i][at : at + size], "big")
    number = rng.choice((old + 1, old - 1, old ^ 1 << rng.randrange(8 * size), rng.choice(INTERESTING), -1))
    parts[i] = parts[i][:at] + (number % (1 << 8 * size)).to_bytes(size, "big") + parts[i][at + size :]


def packed_bytes(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """Replace the bytes behind the header, and set the header's length."""
    i = rng.randrange(len(parts))
    other = rng.choice(rng.choice(fetches).batches)
    parts[i] = _with_payload(parts[i], _edited(rng, parts[i][61:], other[61:]))


def bytes_behind(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """More bytes behind the last: any, a whole compressed stream, or one that is cut off."""
    del fetches
    i = rng.randrange(len(parts))
    stream = rng.choice(list(COMPRESS.values()))(rng.choice((b"", Row(delta=0).encoded(), bytes(70_000))))
    more = rng.choice((stream, stream[: rng.randrange(len(stream) + 1)], rng.randbytes(rng.randrange(1, 40)), bytes(3)))
    parts[i] = _with_payload(parts[i], parts[i][61:] + more)


def record_bytes(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """Other bytes under the compression."""
    i = rng.randrange(len(parts))
    other = _unpacked(rng.choice(rng.choice(fetches).batches))
    payload = _unpacked(parts[i])
    parts[i] = _repacked(rng, parts[i], _edited(rng, payload, other))


def varints(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """Other varints where the records have some, with the record's length made right or not."""
    del fetches
    i = rng.randrange(len(parts))
    records = _records(_unpacked(parts[i]))
    if not records:
        return
    for _ in range(rng.choice((1, 1, 2))):
        tokens = rng.choice(records)
        at = rng.choice([at for at, (is_varint, _) in enumerate(tokens) if is_varint])
        tokens[at] = (True, _odd_varint(rng))
        if at and rng.random() < 0.8:
            tokens[0] = (True, write_varint(sum(len(text) for _, text in tokens[1:])))
    payload = b"".join(text for tokens in records for _, text in tokens)
    parts[i] = _repacked(rng, parts[i], payload)


def whole_batches(rng: random.Random, parts: list[bytes], fetches: Sequence[Fetch]) -> None:
    """Repeat, drop, swap, or bring from another fetch."""
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    how = rng.randrange(4)
    if how == 0:
        parts.insert(j, parts[i])
    elif how == 1 and len(parts) > 1:
        del parts[i]
    elif how == 2:
        parts[i], parts[j] = parts[j], parts[i]
    else:
        parts.insert(j, rng.choice(rng.choice(fetches).batches))


DAMAGES = (
    bytes_anywhere, header_field, header_field, packed_bytes, bytes_behind, record_bytes, record_bytes, varints,
    varints, varints, whole_batches,
)  # fmt: skip


def _edited(rng: random.Random, text: bytes, other: bytes) -> bytes:
    edited = bytearray(text)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at, how = rng.randrange(len(edited) + 1), rng.randrange(7)
        if how == 0:
            edited[at:at] = rng.choice((b"\0", b"\xff", b"\x80\x80\x80\x80", rng.randbytes(3)))
        elif how == 1:
            del edited[at : at + rng.choice((1, 1, 4, 50))]
        elif how == 2:
            edited[at:at] = edited[at : at + rng.choice((1, 7, 60))]
        elif how == 3 and other:
            begin = rng.randrange(len(other))
            edited[at : at + rng.choice((0, 9, 60))] = other[begin : begin + rng.choice((1, 9, 60))]
        elif how == 4:
            del edited[at:]
        elif at < len(edited):
            edited[at] = rng.choice((0, 1, 127, 128, 255, edited[at] ^ 1 << rng.randrange(8)))
    return bytes(edited)


def _odd_varint(rng: random.Random) -> bytes:
    number = rng.choice(INTERESTING) * rng.choice((1, -1)) + rng.choice((0, 0, -1, 1))
    text = write_varint((number + 2**63) % 2**64 - 2**63)
    how = rng.random()
    if how < 0.2:  # longer than need be
        return text[:-1] + bytes([text[-1] | 128]) + b"\x80" * rng.randrange(9) + b"\0"
    return text if how < 0.9 else b"\xff" * rng.randrange(1, 12)


def _records(payload: bytes) -> list[list[tuple[bool, bytes]]]:
    """Return the tokens of each record while they are well-formed: (whether it is a varint, its bytes)."""
    at, records = 0, []
    try:
        while at < len(payload):
            tokens: list[tuple[bool, bytes]] = []

            def varint(tokens: list[tuple[bool, bytes]] = tokens) -> int:
                nonlocal at
                begin = at
                while payload[at] > 127:
                    at += 1
                at += 1
                tokens.append((True, payload[begin:at]))
                number = sum((byte & 127) << 7 * i for i, byte in enumerate(payload[begin:at]))
                return (number >> 1) ^ -(number & 1)

            def take(size: int, tokens: list[tuple[bool, bytes]] = tokens) -> None:
                nonlocal at
                tokens.append((False, payload[at : at + max(size, 0)]))
                at += max(size, 0)

            varint()
            take(1)
            varint()
            varint()
            for _ in range(2):
                take(varint())
            for _ in range(2 * min(varint(), 50)):
                take(varint())
            records.append(tokens)
    except IndexError:
        pass  # the rest is damaged already
    return records


def _unpacked(batch: bytes) -> bytes:
    """The records' bytes; those behind the header where they cannot be unpacked."""
    if len(batch) < 61:
        return b""
    room = bytearray(1 << 18)
    try:
        size = unpack(batch[22] & 7, memoryview(batch)[61:], memoryview(room))
    except Refusal:
        return batch[61:]
    return bytes(room[:size])


def _repacked(rng: random.Random, batch: bytes, payload: bytes) -> bytes:
    """The batch with other records, compressed as it was or otherwise, of the same count or one more or less."""
    if len(batch) < 61:
        return batch
    codec = batch[22] & 7 if rng.random() < 0.7 else rng.randrange(5)
    codec = codec if codec in COMPRESS and payload else 0
    count = (int.from_bytes(batch[57:61], "big") + rng.choice((0, 0, 0, 0, 1, -1))) % 2**32
    head = batch[:22] + bytes([batch[22] & ~7 | codec]) + batch[23:57] + count.to_bytes(4, "big")
    return _with_payload(head, COMPRESS[codec](payload))


def _with_payload(batch: bytes, payload: bytes) -> bytes:
    if len(batch) < 61:
        return batch
    return batch[:8] + (49 + len(payload)).to_bytes(4, "big") + batch[12:61] + payload


Outcome = Chunk | BatchError


def outcome(parse: Callable[..., Chunk], case: Case, cpu_s_max: float) -> Outcome:
    """Return the outcome of a parser; any error but its own goes on."""
    begin_s = time.thread_time()
    try:
        return parse(
            case.raw, topic="t", partition=1, start_offset=case.start, aborted=case.aborted,
            unpacked_bytes_max=case.bytes_max,
        )  # fmt: skip
    except BatchError as error:
        return error.with_traceback(None)  # whose frames would hold the error, and what was read
    finally:
        took_s = time.thread_time() - begin_s
        assert took_s < cpu_s_max, f"{parse.__module__} took {took_s:.2f} s"


def check(case: Case, cpu_s_max: float = CPU_S_MAX, reference_cpu_s_max: float = CPU_S_MAX) -> str:
    """Both parsers give the same chunk within its bounds, or the same error, field by field; which it is."""
    one, other = outcome(batches.parse, case, cpu_s_max), outcome(reference.parse, case, reference_cpu_s_max)
    if isinstance(one, Chunk):
        assert_inside(one)
        assert case.start < one.next_offset
        assert one.offset.size == 0 or case.start <= one.offset[0] <= one.offset[-1] < one.next_offset
        assert (one.offset[1:] > one.offset[:-1]).all()
        assert isinstance(other, Chunk), other
        assert_same(one, other)
        return "cut" if one.is_cut else "read"
    assert (type(one), vars(one)) == (type(other), vars(other))
    if isinstance(one, UnreadableBatch):
        assert one.offset >= case.start
        assert one.next_offset is None or one.next_offset > one.offset
        assert one.crc == calc_crc32c(one.raw)
        assert case.raw.startswith(one.raw)
        return one.reason
    return "no whole batch"


def main(seed: int, count: int, more: Sequence[Fetch]) -> None:
    """Check `count` fetches, and print the outcomes as JSON."""
    rng, fetches, large, small = random.Random(seed), corpus(seed, more), [*bombs(300), tiny_records(TINY)], bombs(2)
    batches.warm()
    for bomb in small:  # what the libraries take once
        check(Case(bomb.raw, bomb.start, (), 1 << 20))

    def check_one(n: int) -> list[str]:
        is_bomb = n % BOMB_EVERY == 0
        if is_bomb:
            bomb = large[n // BOMB_EVERY % len(large)]
            case = Case(bomb.raw, bomb.start, (), UNPACKED_BYTES_MAX)
        else:
            case = damaged(rng, small if n % 500 == 0 else fetches)
        try:
            return [check(case, reference_cpu_s_max=OF_A_BOMB_CPU_S_MAX if is_bomb else CPU_S_MAX)]
        except Exception as error:
            raise AssertionError(f"seed {seed}, case {n}: {case!r:.2000}") from error

    print(json.dumps(watched(count, check_one, grown_bytes_max=GROWN_BYTES_MAX)))


if __name__ == "__main__":
    seed, count, *paths = sys.argv[1:]
    main(int(seed), int(count), [Fetch(*fetch) for path in paths for fetch in pickle.loads(Path(path).read_bytes())])
