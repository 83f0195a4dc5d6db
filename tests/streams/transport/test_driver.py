"""Packing of chunks into messages."""

import itertools

from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.chunk import chunk_of
from streams.transport.driver import _portions


@given(sizes=st.lists(st.integers(0, 40), max_size=8), records_max=st.integers(1, 50))
def test_portions_hold_all_chunks_in_order_as_many_at_a_time_as_may_be(sizes, records_max):
    chunks = {TP("t", p): chunk_of("t", p, 5, [(None, b"v", [], 0)] * size) for p, size in enumerate(sizes)}
    portions = list(_portions(chunks, records_max))
    records = [sum(len(piece) for _, piece in portion) for portion in portions]
    assert max(records, default=0) <= records_max
    firsts = [len(portion[0][1]) for portion in portions]
    assert all(one + first > records_max for one, first in zip(records, firsts[1:], strict=False))
    pieces = list(itertools.chain.from_iterable(portions))
    assert list(dict.fromkeys(tp for tp, _ in pieces)) == list(chunks)
    for tp, chunk in chunks.items():
        own = [piece for other, piece in pieces if other == tp]
        assert [offset for piece in own for offset in piece.offset.tolist()] == chunk.offset.tolist()
        assert (own[0].start_offset, own[-1].next_offset) == (chunk.start_offset, chunk.next_offset)
