"""The secret scan of slow-path records: whether nobody need look for a secret in one.

A record holds no secret where each name in it is one of ours, as it is usually written, and there are neither escapes
nor two dashes, of which five begin a PEM block. A name is text between two quotes with a colon next, in broken
JSON too. A test holds that `domain.credentials`, the reference, agrees.
"""

from collections.abc import Sequence

import numpy as np

from config.credentials import forbidden, names_of_events
from kernels import words
from kernels.decorators import kernel
from kernels.json_bytes import find_near, quoted
from streams.ingest.fast_path.fields import BLANK, COLON, DASH, QUOTE
from streams.transport.chunk import Chunk

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end
_BACKSLASH = ord("\\")
# Told to the kernel at each call: the hash of what is compiled does not look at `config/credentials.toml`.
_NAMES = quoted(name for name in names_of_events() if name in forbidden().harmless)


def harmless(chunk: Chunk, which: Sequence[int]) -> list[bool]:
    """Return whether each of some records holds no secret for certain."""
    out = np.empty(len(which), np.bool_)
    _scan(chunk.buffer, chunk.value_start, chunk.value_end, np.array(which, np.int64), *_NAMES, out)
    found: list[bool] = out.tolist()
    return found


@kernel
def _scan(b, value_start, value_end, which, names, names_size, out):
    for i in range(which.shape[0]):
        out[i] = _is_harmless(b, value_start[which[i]], value_end[which[i]], names, names_size)


@kernel
def _is_harmless(b, p, end, names, names_size):
    before, row = p, -1  # behind the last quote; the last name's place in the table
    while p < end:
        if p + 8 <= end:
            others = words.trailing_zeros(_marks(words.load_word(b, p))) // 8
            p += others
            if others == 8:
                continue
        byte = b[_U(p)]
        if byte == _BACKSLASH or (byte == DASH and p + 1 < end and b[_U(p + 1)] == DASH):
            return False
        p += 1
        if byte == QUOTE:
            if _is_name(b, p, end):
                row = find_near(b, before, p, names, names_size, row + 1)
                if row < 0:
                    return False
            before = p
    return True


@kernel(forceinline=True)
def _marks(word):
    """Return the high bit of the first byte of a word that is a quote, an escape or a dash."""
    return words.bytes_equal(word, QUOTE) | words.bytes_equal(word, _BACKSLASH) | words.bytes_equal(word, DASH)


@kernel(forceinline=True)
def _is_name(b, p, end):
    """Return whether the string that the quote before p ends may be a name.

    It is one where a colon comes next, after white space or bytes that may be some (all but printing ASCII).
    """
    while p < end and (b[_U(p)] <= BLANK or b[_U(p)] >= 0x7F):
        p += 1
    return p < end and b[_U(p)] == COLON
