"""How a row's bytes stand in Redis: words that differ from a never-seen enterprise's, each in as few bytes as it takes.

A row is 64-bit words; most are as in a row that was never touched, and most others are small integers. Words are taken
as their difference (exclusive or) from the initial row, eight at a time:

  mask    one byte, bit i set where word i differs; 0 is followed by one byte: how many more blocks of eight have mask 0
  widths  four bits a set word, low half first: its bytes less one
  bytes   the set words, little-endian, without their leading zero bytes

That is three times as dense as the raw row and, compiled, costs a tenth of what a general compressor takes.
"""

import numpy as np
from numba import njit

_U = np.uint64
BLOCK = 8


def bytes_max(words):
    """The most that `words` words can take."""
    blocks = (words + BLOCK - 1) // BLOCK
    return blocks * (1 + BLOCK // 2 + 8 * BLOCK) + 1


@njit(cache=True)
def encode(words, initial, out, at):
    """Write words (n) uint64 against initial (n) into out from `at`; returns where it ended."""
    n = words.shape[0]
    zero_at = -1  # where the count of a run of empty blocks stands
    for first in range(0, n, BLOCK):
        mask, count, start = 0, 0, at
        for i in range(min(BLOCK, n - first)):
            if words[first + i] != initial[first + i]:
                mask |= 1 << i
                count += 1
        if mask == 0:
            if zero_at >= 0 and out[zero_at] < 255:
                out[zero_at] += 1
            else:
                out[at], out[at + 1] = 0, 0
                zero_at = at + 1
                at += 2
            continue
        zero_at = -1
        out[start] = mask
        at = start + 1 + (count + 1) // 2
        k = 0
        for i in range(BLOCK):
            if not mask >> i & 1:
                continue
            word, width = words[first + i] ^ initial[first + i], 0
            while word != _U(0):
                out[at + width] = word & _U(255)
                word >>= _U(8)
                width += 1
            place = start + 1 + k // 2
            out[place] = width - 1 if k % 2 == 0 else out[place] | (width - 1) << 4
            at += width
            k += 1
    return at


@njit(cache=True)
def decode(b, at, end, initial, words):
    """Read words back; returns where they ended, -1 where b[at:end] is not what `encode` writes."""
    n = words.shape[0]
    words[:] = initial
    first = 0
    while first < n:
        if at >= end:
            return -1
        mask = int(b[at])
        at += 1
        if mask == 0:
            if at >= end:
                return -1
            first += BLOCK * (1 + int(b[at]))
            at += 1
            continue
        count = 0
        for i in range(BLOCK):
            count += mask >> i & 1
        widths, at, k = at, at + (count + 1) // 2, 0
        for i in range(BLOCK):
            if not mask >> i & 1:
                continue
            if widths + k // 2 >= end or first + i >= n:
                return -1
            width = (int(b[widths + k // 2]) >> (4 * (k % 2)) & 15) + 1
            if width > 8 or at + width > end:
                return -1
            word = _U(0)
            for j in range(width):
                word |= _U(b[at + j]) << _U(8 * j)
            words[first + i] = initial[first + i] ^ word
            at += width
            k += 1
        first += BLOCK
    return at if first - BLOCK < n else -1


@njit(cache=True)
def put(out, at, value, size):
    """Write the lowest `size` bytes of an integer, little-endian; returns where they end."""
    for k in range(size):
        out[at + k] = (value >> (8 * k)) & 255
    return at + size


@njit(cache=True)
def get(b, at, size):
    """The unsigned integer of `size` bytes, little-endian: uint64."""
    value = _U(0)
    for k in range(size):
        value |= _U(b[at + k]) << _U(8 * k)
    return value
