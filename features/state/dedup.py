"""De-duplication: the event ids that an enterprise applied within the allowed lateness, with their fingerprints.

One arena per partition holds the entries of all enterprises: a chain per enterprise (newest first, for writing and
forgetting) and one open-addressing index over (slot, id hash) for looking up. Entries leave when the arena is rebuilt;
what an enterprise's value holds is decided by day alone, never by when that happened.

Arena arrays: id_hash uint64, fingerprint uint64, day int32, owner int32, next int32; place int32 (the index, a power
of two); used int64 (1).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from features.state.buckets import day_of
from features.state.parts import HOT, touch_cold

NEW, DUPLICATE, CONFLICT = 0, 1, 2
KEEP_DAYS = 8  # the seven days of lateness, and the day that they begin within
_NONE = -1
_SIZES = (8, 8, 4)  # bytes of id, fingerprint and day in a value
_BYTES = sum(_SIZES)


class Arena(NamedTuple):
    """The entries of a partition, and the index over them."""

    id_hash: npt.NDArray[np.uint64]
    fingerprint: npt.NDArray[np.uint64]
    day: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]
    next: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    used: npt.NDArray[np.int64]


def empty(capacity: int) -> Arena:
    """An arena for `capacity` entries; its index holds twice as many places."""
    places = 1 << max(4, (2 * capacity - 1).bit_length())
    return Arena(
        id_hash=np.zeros(capacity, np.uint64),
        fingerprint=np.zeros(capacity, np.uint64),
        day=np.zeros(capacity, np.int32),
        owner=np.zeros(capacity, np.int32),
        next=np.full(capacity, _NONE, np.int32),
        place=np.full(places, _NONE, np.int32),
        used=np.zeros(1, np.int64),
    )


@njit(cache=True)
def _place(arena, slot, id_hash):
    """Where (slot, id_hash) stands in the index, or the free place where it would."""
    mask = np.uint64(arena.place.shape[0] - 1)
    mixed = (id_hash ^ (np.uint64(slot) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    place = (mixed >> np.uint64(20)) & mask
    while True:
        entry = arena.place[place]
        if entry == _NONE or (arena.id_hash[entry] == id_hash and arena.owner[entry] == slot):
            return place
        place = (place + np.uint64(1)) & mask


@njit(cache=True)
def first_kept(e):
    """The first day whose ids an enterprise still needs at its time t."""
    return max(day_of(e.newest_ms + 1), e.closed_day + 1) - KEEP_DAYS


@njit(cache=True)
def _first_cold(e):
    """The first day whose ids the cold part holds; the last is `cold_day`."""
    return e.cold_day + 1 - KEEP_DAYS


@njit(cache=True)
def remember(arena, e, slot, id_hash, fingerprint, day):
    """NEW and remembered, DUPLICATE, or CONFLICT (the id with another body)."""
    place = _place(arena, slot, id_hash)
    entry = arena.place[place]
    if entry != _NONE and arena.day[entry] >= first_kept(e):
        return DUPLICATE if arena.fingerprint[entry] == fingerprint else CONFLICT
    if entry != _NONE and _first_cold(e) <= arena.day[entry] <= e.cold_day:
        touch_cold(e)  # it leaves the cold part
    if day <= e.closed_day:
        touch_cold(e)
    if entry != _NONE:  # forgotten, only not swept out yet: a restart would not have it
        arena.fingerprint[entry] = fingerprint
        arena.day[entry] = day
        return NEW
    _enter(arena, e, slot, place, id_hash, fingerprint, day)
    return NEW


@njit(cache=True)
def _enter(arena, e, slot, place, id_hash, fingerprint, day):
    entry = np.int32(arena.used[0])
    arena.used[0] += 1
    arena.id_hash[entry] = id_hash
    arena.fingerprint[entry] = fingerprint
    arena.day[entry] = day
    arena.owner[entry] = slot
    arena.next[entry] = e.dedup_head
    arena.place[place] = entry
    e.dedup_head = entry


@njit(cache=True)
def bytes_max(arena, e):
    """The most that the ids of an enterprise take in both parts of its value."""
    n, entry = 0, e.dedup_head
    while entry != _NONE:
        n += 1
        entry = arena.next[entry]
    return n * _BYTES


@njit(cache=True)
def write(arena, e, part, out, at):
    """Write the ids of a part of the value, column by column, ascending; returns (how many, where they end).

    Ids of open days belong to the hot part, those of closed days to the cold one.
    """
    if part == HOT:
        entries = _entries(arena, e, max(first_kept(e), np.int64(e.closed_day) + 1), 2**31)
    else:
        entries = _entries(arena, e, _first_cold(e), np.int64(e.cold_day))
    for column in range(3):
        for i in range(entries.shape[0]):
            for k in range(_SIZES[column]):
                out[at + k] = (entries[i, column] >> np.uint64(8 * k)) & np.uint64(255)
            at += _SIZES[column]
    return entries.shape[0], at


@njit(cache=True)
def read(arena, e, slot, b, at, end, count):
    """Put the ids that `write` wrote back, unless `arena` is None; returns where they end, -1 where that is past `end`.

    The enterprise has none of them yet.
    """
    if count < 0 or at + count * _BYTES > end:
        return -1
    if arena is not None:
        for i in range(count):
            start, cells = at, np.zeros(3, np.uint64)
            for column in range(3):
                size = _SIZES[column]
                for k in range(size):
                    cells[column] |= np.uint64(b[start + i * size + k]) << np.uint64(8 * k)
                start += count * size
            _enter(arena, e, slot, _place(arena, slot, cells[0]), cells[0], cells[1], np.int32(cells[2]))
    return at + count * _BYTES


@njit(cache=True)
def _entries(arena, e, first, last):
    """The entries of an enterprise that are of the days first..last, ascending by id: (n, 3) uint64."""
    n, entry = 0, e.dedup_head
    while entry != _NONE:
        n += first <= arena.day[entry] <= last
        entry = arena.next[entry]
    found = np.empty((n, 3), np.uint64)
    row, entry = 0, e.dedup_head
    while entry != _NONE:
        if first <= arena.day[entry] <= last:
            found[row, 0] = arena.id_hash[entry]
            found[row, 1] = arena.fingerprint[entry]
            found[row, 2] = np.uint64(arena.day[entry])
            row += 1
        entry = arena.next[entry]
    return found[np.argsort(found[:, 0])]


@njit(cache=True)
def rebuild(old, new, state, used):
    """Copy into `new` what the first `used` enterprises still need."""
    for slot in range(used):
        e = state[slot]
        entries = _entries(old, e, min(first_kept(e), _first_cold(e)), 2**31)
        e.dedup_head = _NONE
        for i in range(entries.shape[0]):
            place = _place(new, slot, entries[i, 0])
            _enter(new, e, slot, place, entries[i, 0], entries[i, 1], np.int32(entries[i, 2]))
