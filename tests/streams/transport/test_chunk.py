"""A chunk's records, and its parts, which join without a gap."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streams.transport.chunk
from sinks.batch import write_varint
from streams.transport import Chunk, chunk_of
from streams.transport.chunk import ChunkBuilder, read_varint


def test_its_examples_hold() -> None:
    assert doctest.testmod(streams.transport.chunk).failed == 0


@given(st.integers(-(2**31), 2**31 - 1))
def test_varints_come_back(number: int) -> None:
    assert read_varint(write_varint(number), 0) == (number, len(write_varint(number)))


def chunk_with_gaps(n: int) -> Chunk:
    builder = ChunkBuilder("t", 0, 5)
    for i in range(n):
        builder.add(10 + 3 * i, b"k%d" % i, None if i % 2 else b"v%d" % i, [("h", b"%d" % i)], i)
    return builder.build(100)


@given(n=st.integers(0, 12), most=st.integers(1, 13))
def test_pieces_join_without_gap_and_hold_every_record(n: int, most: int) -> None:
    chunk = chunk_with_gaps(n)
    pieces = list(chunk.pieces(most))
    assert [p.start_offset for p in pieces] == [5, *(p.next_offset for p in pieces[:-1])]
    assert pieces[-1].next_offset == 100
    assert all(len(p) <= most for p in pieces)
    rows = [(int(p.offset[i]), p.key(i), p.value(i), p.headers(i)) for p in pieces for i in range(len(p))]
    assert rows == [(int(chunk.offset[i]), chunk.key(i), chunk.value(i), chunk.headers(i)) for i in range(n)]


@given(n=st.integers(0, 12), first=st.integers(0, 12))
def test_bytes_of_a_part_are_those_of_its_records_alone(n: int, first: int) -> None:
    part = chunk_with_gaps(n).part(min(first, n), n)
    rows = part.rows(range(len(part)))
    assert part.payload_bytes == sum(len(row.key or b"") + len(row.value or b"") + len(row.headers) for row in rows)


@pytest.mark.parametrize(("offset", "left", "start"), [(0, 3, 5), (10, 3, 10), (11, 2, 11), (17, 0, 17), (500, 0, 100)])
def test_from_offset_drops_what_is_before(offset: int, left: int, start: int) -> None:
    part = chunk_with_gaps(3).from_offset(offset)
    assert (len(part), part.start_offset, part.next_offset) == (left, start, 100)


def test_an_empty_chunk() -> None:
    chunk = chunk_of("t", 1, 7, [])
    assert (len(chunk), chunk.start_offset, chunk.next_offset, chunk.buffer.size) == (0, 7, 7, 0)
