"""The codec of values: round trips, the stated maximum of bytes, and refusal of foreign input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import codec

WORD = st.one_of(st.just(0), st.integers(0, 255), st.integers(0, 2**63), st.just(2**64 - 1))


def _written(words, initial):
    out = np.full(codec.bytes_max(len(words)) + 16, 0xAA, np.uint8)
    end = codec.encode(words, initial, out, 3)
    assert (out[3 + codec.bytes_max(len(words)) :] == 0xAA).all()
    assert end - 3 <= codec.bytes_max(len(words))
    return out, end


@given(st.lists(st.tuples(WORD, st.booleans(), WORD), min_size=1, max_size=700))
def test_words_come_back(drawn):
    drawn += [(0, False, 0)] * (-len(drawn) % codec.BLOCK)
    initial = np.array([i for i, _, _ in drawn], np.uint64)
    words = np.array([w if differs else i for i, differs, w in drawn], np.uint64)
    out, end = _written(words, initial)
    back = np.zeros(len(words), np.uint64)
    assert codec.decode(out, 3, end, initial, back) == end
    assert (back == words).all()
    assert codec.decode(out, 3, end - 1, initial, back) == -1


@pytest.mark.parametrize("words", [8, 16, 72, 3_000])
def test_an_untouched_row_takes_a_byte_for_sixty_four_words(words):
    initial = np.arange(words, dtype=np.uint64)
    _, end = _written(initial.copy(), initial)
    assert end - 3 == -(-words // 64)


@given(st.binary(max_size=200), st.integers(1, 12))
def test_no_bytes_lead_out_of_bounds(raw, blocks):
    n = blocks * codec.BLOCK
    b, back = np.frombuffer(raw, np.uint8), np.zeros(n, np.uint64)
    end = codec.decode(b, 0, len(b), np.zeros(n, np.uint64), back)
    assert -1 <= end <= len(b)
