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

NEW, DUPLICATE, CONFLICT = 0, 1, 2
KEEP_DAYS = 8  # the seven days of lateness, and the day that they begin within
_NONE = -1


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
def remember(arena, e, slot, id_hash, fingerprint, day, first_day):
    """NEW and remembered, DUPLICATE, or CONFLICT (the id with another body). Entries before first_day are forgotten."""
    place = _place(arena, slot, id_hash)
    entry = arena.place[place]
    if entry != _NONE and arena.day[entry] >= first_day:
        return DUPLICATE if arena.fingerprint[entry] == fingerprint else CONFLICT
    if entry != _NONE:  # forgotten, only not swept out yet: a restart would not have it
        arena.fingerprint[entry] = fingerprint
        arena.day[entry] = day
        return NEW
    entry = np.int32(arena.used[0])
    arena.used[0] += 1
    arena.id_hash[entry] = id_hash
    arena.fingerprint[entry] = fingerprint
    arena.day[entry] = day
    arena.owner[entry] = slot
    arena.next[entry] = e.dedup_head
    arena.place[place] = entry
    e.dedup_head = entry
    return NEW


@njit(cache=True)
def entries_of(arena, e, first_day, out):
    """Write the entries of enterprise e from `first_day` on into out (n, 3) uint64, oldest first; return how many."""
    n = 0
    entry = e.dedup_head
    while entry != _NONE:
        if arena.day[entry] >= first_day:
            n += 1
        entry = arena.next[entry]
    if n > out.shape[0]:
        return n
    row, entry = n, e.dedup_head
    while entry != _NONE:
        if arena.day[entry] >= first_day:
            row -= 1
            out[row, 0] = arena.id_hash[entry]
            out[row, 1] = arena.fingerprint[entry]
            out[row, 2] = np.uint64(arena.day[entry])
        entry = arena.next[entry]
    return n


@njit(cache=True)
def restore(arena, e, slot, rows):
    """Put the entries of `rows` (n, 3), oldest first, back for an enterprise that has none."""
    for i in range(rows.shape[0]):
        remember(arena, e, slot, rows[i, 0], rows[i, 1], np.int32(rows[i, 2]), np.int32(rows[i, 2]))


@njit(cache=True)
def entries_at(arena, state, slot, first_day, out):
    """`entries_of` for Python, which would take long to hand a row over."""
    return entries_of(arena, state[slot], first_day, out)


@njit(cache=True)
def restore_at(arena, state, slot, rows):
    """`restore` for Python."""
    restore(arena, state[slot], slot, rows)


@njit(cache=True)
def rebuild(old, new, state, first_day, used):
    """Copy into `new` what is still needed: per slot the entries from first_day[slot] on."""
    scratch = np.empty((max(1, old.used[0]), 3), np.uint64)
    for slot in range(used):
        e = state[slot]
        n = entries_of(old, e, first_day[slot], scratch)
        e.dedup_head = _NONE
        restore(new, e, slot, scratch[:n])
