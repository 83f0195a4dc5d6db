"""JSON written by compiled code: its leaves.

Each writes to out[p:], out being uint8 (bytes), and returns where it ends. Positions are unsigned where they index: of
signed ones, compiled code asks at each byte whether they count from the end.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.snapshot import MICRO
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from kernels.decorators import copy, kernel

_ONE, _TEN, _ZERO_DIGIT = np.uint64(1), np.uint64(10), np.uint8(48)
MICRO_MAX = 9_000_000_000_000_000_000  # where a value times 10^6 would leave int64


class Phrases(NamedTuple):
    """Byte strings of one kind: text uint8 (n, longest), size int64 (n,)."""

    text: npt.NDArray[np.uint8]
    size: npt.NDArray[np.int64]


def phrases(words: tuple[str, ...]) -> Phrases:
    """Return the words as UTF-8, in their order."""
    encoded = [np.frombuffer(word.encode(), np.uint8) for word in words]
    rows = np.zeros((len(encoded), max(len(word) for word in encoded)), np.uint8)
    for row, word in zip(rows, encoded, strict=True):
        row[: len(word)] = word
    return Phrases(rows, np.array([len(word) for word in encoded], np.int64))


@kernel
def micro(x):
    """Return a value times 10^6 as int64, rounded half to even, within ±MICRO_MAX."""
    scaled = np.rint(x * MICRO)
    if scaled >= MICRO_MAX:
        return np.int64(MICRO_MAX)
    if scaled <= -MICRO_MAX:
        return np.int64(-MICRO_MAX)
    return np.int64(scaled)


@kernel
def text(out, p, words, k):
    """Write phrase k of `words`."""
    first = np.uint64(p)
    for i in range(np.uint64(words.size[k])):
        out[first + i] = words.text[k, i]
    return p + words.size[k]


@kernel
def raw(out, p, written):
    """Write bytes, uint8 (n,), that are JSON already."""
    copy(written, out[p : p + written.shape[0]])
    return p + written.shape[0]


@kernel
def id_text(out, p, words):
    """Write an id, uint64 (4,), up to its padding. The alphabet of ids needs no escape."""
    for i in range(ENTERPRISE_ID_BYTES_MAX):
        byte = np.uint8((words[i // 8] >> np.uint64(8 * (i % 8))) & np.uint64(255))
        if byte == 0:
            break
        out[p] = byte
        p += 1
    return p


@kernel
def put_integer(out, p, number):
    """Write an int64 in decimal digits."""
    value = np.int64(number)
    if value < 0:
        out[p] = 45
        p += 1
        value = -value
    left = np.uint64(value)
    size, rest = 1, left
    while rest >= _TEN:
        rest //= _TEN
        size += 1
    place = np.uint64(p + size)
    for _ in range(size):
        place -= _ONE
        rest = left // _TEN
        out[place] = _ZERO_DIGIT + np.uint8(left - rest * _TEN)
        left = rest
    return p + size
