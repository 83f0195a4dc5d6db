"""From enterprise id to number: every enterprise of a partition, whether its value is in memory or not.

Open addressing over entries that hold the ids, compared in full. Numbers are given in the order of first sight and
never freed. An entry also holds the row of the value, and what a tick needs to know to pass over the enterprise.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.ids import ENTERPRISE_ID_BYTES_MAX
from kernels.decorators import copy, kernel

ABSENT, NEW = -1, -2
"""Rows of an enterprise whose value only Redis has, and of one that has none yet."""
WATCHED_MAX = 6
UNLOOKED = 128
"""Flag of an entry of which no tick has noted anything, so that each must look."""
_FREE = -1

ENTRY = np.dtype(
    [
        ("id", "<u8", (ENTERPRISE_ID_BYTES_MAX // 8,)),
        ("touched", "<i8"),  # by which run of records, last; 0: by none since the memory began
        ("row", "<i4"),  # in the state, or ABSENT or NEW
        # As of the last tick that looked at it (streams/score/due.py)
        ("closed_day", "<i4"),
        ("watched", "<u2", (WATCHED_MAX,)),  # banks whose feeds may change it
        ("main", "|u1"),  # of which each bit set is a bank that its close waits for,
        ("lends", "|u1"),  # and that one that lends to it
        ("watched_count", "|u1"),
        ("flags", "|u1"),
    ]
)  # 64 bytes: a cache line


class Directory(NamedTuple):
    """All enterprises: entries ENTRY (capacity,); places int32 (a power of two,); used int64 (1,)."""

    entries: npt.NDArray[np.void]
    places: npt.NDArray[np.int32]
    used: npt.NDArray[np.int64]


def empty(capacity: int) -> Directory:
    """Return a directory with room for `capacity` enterprises."""
    places = np.full(1 << max(4, (2 * capacity - 1).bit_length()), _FREE, np.int32)
    return Directory(np.zeros(capacity, ENTRY), places, np.zeros(1, np.int64))


def with_room(directory: Directory, more: int) -> Directory:
    """Return the directory, or a larger one with the same numbers, in which `more` new enterprises have room."""
    used = int(directory.used[0])
    if used + more <= len(directory.entries):
        return directory
    larger = empty(2 * (used + more))
    larger.entries[:used] = directory.entries[:used]
    larger.used[0] = used
    reindex(larger)
    return larger


@kernel
def _mix(w0, w1, w2, w3):
    h = np.uint64(0xCBF29CE484222325)
    h = (h ^ w0) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(29)) ^ w1) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(32)) ^ w2) * np.uint64(0x94D049BB133111EB)
    h = (h ^ (h >> np.uint64(29)) ^ w3) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@kernel
def _place_of(directory, key):
    """Return the place of the number of `key`, uint64 (4,), or the free place for it."""
    mask = np.uint64(directory.places.shape[0] - 1)
    place = _mix(key[0], key[1], key[2], key[3]) & mask
    while True:
        number = directory.places[place]
        if number == _FREE:
            return place
        held = directory.entries[number].id
        if held[0] == key[0] and held[1] == key[1] and held[2] == key[2] and held[3] == key[3]:
            return place
        place = (place + np.uint64(1)) & mask


@kernel
def _find_or_add(directory, key, row):
    place = _place_of(directory, key)
    number = directory.places[place]
    if number == _FREE:
        number = np.int32(directory.used[0])
        directory.used[0] += 1
        directory.places[place] = number
        entry = directory.entries[number]
        copy(key, entry.id)
        entry.row, entry.flags = row, UNLOOKED
    return number


@kernel
def reindex(directory):
    """Fill the places of a directory that has only entries."""
    for number in range(directory.used[0]):
        directory.places[_place_of(directory, directory.entries[number].id)] = number


@kernel
def enter(directory, keys, row):
    """Give a number to each of keys, uint64 (n, 4), that has none, with `row`. There must be room for all."""
    for i in range(keys.shape[0]):
        _find_or_add(directory, keys[i], row)


@kernel
def numbers_of(directory, keys, out):
    """Fill out[i], int32, with the number of keys[i], uint64 (4,); -1 where it has none."""
    for i in range(keys.shape[0]):
        out[i] = directory.places[_place_of(directory, keys[i])]


@kernel
def begin_run(directory, keys, first, run, distinct_max, numbers, lacking):
    """Find the longest run of keys[first:] whose enterprises may be in memory together.

    Fill numbers[i] for each record. They are at most `distinct_max` enterprises, of which at most len(lacking) have no
    row; those are written to `lacking` in the order of first sight. Each is marked as touched by `run`, which is above
    all runs before. Return (where the run ends, how many lack a row). keys: uint64 (records, 4); numbers, lacking:
    int32. There must be room for all keys.
    """
    distinct = lacks = 0
    for i in range(first, keys.shape[0]):
        number = _find_or_add(directory, keys[i], NEW)
        entry = directory.entries[number]
        if entry.touched != run:
            if distinct == distinct_max or (entry.row < 0 and lacks == lacking.shape[0]):
                return i, lacks
            entry.touched = run
            distinct += 1
            if entry.row < 0:
                lacking[lacks] = number
                lacks += 1
        numbers[i] = number
    return keys.shape[0], lacks
