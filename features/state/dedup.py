"""De-duplication: the event ids that an enterprise applied within the allowed lateness, with their fingerprints.

One arena per partition holds the entries of all enterprises: a chain per enterprise (newest first, for writing and
forgetting) and one open-addressing index over (slot, id hash) for looking up. Entries leave with their enterprise, or
when the arena is rebuilt; what an enterprise's value holds is decided by day alone, never by when that happened.

Arena arrays: id_hash uint64, fingerprint uint64, day int32, owner int32, next int32 (in the chain of an enterprise, or
of the free entries); place int32 (the index, a power of two); free int64 (2), the first free entry and their number.
"""

from typing import Any, NamedTuple

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
    free: npt.NDArray[np.int64]


def empty(capacity: int) -> Arena:
    """An arena for `capacity` entries; its index holds twice as many places."""
    places = 1 << max(4, (2 * capacity - 1).bit_length())
    following = np.arange(1, capacity + 1, dtype=np.int32)
    following[-1:] = _NONE
    return Arena(
        id_hash=np.zeros(capacity, np.uint64),
        fingerprint=np.zeros(capacity, np.uint64),
        day=np.zeros(capacity, np.int32),
        owner=np.zeros(capacity, np.int32),
        next=following,
        place=np.full(places, _NONE, np.int32),
        free=np.array([0 if capacity else _NONE, capacity], np.int64),
    )


def free_count(arena: Arena) -> int:
    """How many more entries it takes."""
    return int(arena.free[1])


@njit(cache=True)
def _home(arena, slot, id_hash):
    """Where in the index the search for (slot, id_hash) begins."""
    mixed = (id_hash ^ (np.uint64(slot) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
    return (mixed >> np.uint64(20)) & np.uint64(arena.place.shape[0] - 1)


@njit(cache=True)
def _place(arena, slot, id_hash):
    """Where (slot, id_hash) stands in the index, or the free place where it would."""
    mask = np.uint64(arena.place.shape[0] - 1)
    place = _home(arena, slot, id_hash)
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
    entry = np.int32(arena.free[0])
    arena.free[0] = arena.next[entry]
    arena.free[1] -= 1
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
def forget(arena, state, slots):
    """Take all entries of the enterprises in `slots` (n,) out, so that others may have the slots."""
    for i in range(slots.shape[0]):
        e = state[slots[i]]
        entry = e.dedup_head
        while entry != _NONE:
            following = arena.next[entry]
            _vacate(arena, _place(arena, slots[i], arena.id_hash[entry]))
            arena.next[entry] = arena.free[0]
            arena.free[0] = entry
            arena.free[1] += 1
            entry = following
        e.dedup_head = _NONE


@njit(cache=True)
def _vacate(arena, hole):
    """Free a place of the index, and move up what stands behind it only because that was taken."""
    mask = np.uint64(arena.place.shape[0] - 1)
    place = (hole + np.uint64(1)) & mask
    while arena.place[place] != _NONE:
        entry = arena.place[place]
        home = _home(arena, arena.owner[entry], arena.id_hash[entry])
        if ((place - home) & mask) >= ((place - hole) & mask):
            arena.place[hole] = entry
            hole = place
        place = (place + np.uint64(1)) & mask
    arena.place[hole] = _NONE


def rebuilt(arena: Arena, state: Any, slots: Any, more: int) -> Arena:
    """An arena with what the enterprises in `slots` (n,) still need, and as much room again, at least for `more`.

    Its size follows what is needed, so rebuilding costs a constant an entry.
    """
    new = empty(2 * (int(_needed(arena, state, slots)) + more))
    _copy(arena, new, state, slots)
    return new


@njit(cache=True)
def _first_needed(e):
    return min(first_kept(e), _first_cold(e))


@njit(cache=True)
def _needed(arena, state, slots):
    n = 0
    for i in range(slots.shape[0]):
        e = state[slots[i]]
        first, entry = _first_needed(e), e.dedup_head
        while entry != _NONE:
            n += arena.day[entry] >= first
            entry = arena.next[entry]
    return n


@njit(cache=True)
def _copy(old, new, state, slots):
    for i in range(slots.shape[0]):
        slot = slots[i]
        e = state[slot]
        entries = _entries(old, e, _first_needed(e), 2**31)
        e.dedup_head = _NONE
        for k in range(entries.shape[0]):
            place = _place(new, slot, entries[k, 0])
            _enter(new, e, slot, place, entries[k, 0], entries[k, 1], np.int32(entries[k, 2]))
