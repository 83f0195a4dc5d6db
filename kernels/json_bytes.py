"""JSON as bytes, read by compiled code: known texts, the end of a string, integers.

In all kernels `b` is uint8 (bytes); p and end are indexes into it; texts and size are the two arrays of `table`.
"""

from collections.abc import Iterable

import numpy as np

from kernels import words
from kernels.decorators import kernel

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end
_QUOTE, _BACKSLASH, _MINUS = ord('"'), ord("\\"), ord("-")
NO_INTEGER = -(2**63)

Table = tuple[np.ndarray, np.ndarray]


def table(*texts: bytes) -> Table:
    """Return texts as words of eight bytes, uint64 (texts, words), and their lengths, int64 (texts,)."""
    rows = np.zeros((len(texts), -(-max(map(len, texts)) // 8)), np.uint64)
    for row, text in zip(rows, texts, strict=True):
        row[:] = np.frombuffer(text.ljust(row.nbytes, b"\0"), np.uint64)
    return rows, np.array([len(text) for text in texts], np.int64)


def quoted(texts: Iterable[str]) -> Table:
    """Return the table of JSON strings, without their first quote."""
    return table(*(f'{text}"'.encode() for text in texts))


@kernel(forceinline=True)
def is_at(b, p, end, texts, size, row):
    """Return whether row `row` of a table of texts is at b[p:end]."""
    if p + size[row] > end:
        return False
    for k in range(texts.shape[1]):
        if words.read_word(b, p + 8 * k, size[row] - 8 * k) != texts[row, k]:
            return False
    return True


@kernel(forceinline=True)
def find(b, p, end, texts, size, first):
    """Return the first row, from `first` on, of a table of texts that is at b[p:end]; -1 where none is."""
    word = words.read_word(b, p, end - p)
    for row in range(first, texts.shape[0]):
        if words.first_bytes(word, size[row]) == texts[row, 0] and is_at(b, p, end, texts, size, row):
            return row
    return -1


@kernel(forceinline=True)
def find_near(b, p, end, texts, size, likely):
    """Return the row of a table of texts that is at b[p:end]; -1 where none is.

    Most often it is `likely` or soon after it.
    """
    row = find(b, p, end, texts, size, likely)
    return row if row >= 0 else find(b, p, end, texts, size, 0)


@kernel(forceinline=True)
def string_end(b, p, end):
    """Return the position of the quote that ends the string; -1 where an escape or the end comes first."""
    while p + 8 <= end:
        word = words.load_word(b, p)
        found = words.bytes_equal(word, _QUOTE) | words.bytes_equal(word, _BACKSLASH)
        if found:
            p += words.trailing_zeros(found) // 8
            return p if b[p] == _QUOTE else -1
        p += 8
    while p < end:
        if b[p] == _QUOTE:
            return p
        if b[p] == _BACKSLASH:
            return -1
        p += 1
    return -1


@kernel(forceinline=True)
def integer(b, p, end):
    """Return the decimal integer b[p:end] of at most 18 digits as int64.

    Else NO_INTEGER, which is outside all bounds.
    """
    negative = b[_U(p)] == _MINUS
    p += 1 if negative else 0
    value = np.int64(0)
    if not 0 < end - p <= 18:
        return np.int64(NO_INTEGER)
    for i in range(p, end):
        if not 48 <= b[_U(i)] <= 57:
            return np.int64(NO_INTEGER)
        value = value * 10 + (b[_U(i)] - 48)
    return -value if negative else value
