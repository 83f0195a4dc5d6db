"""From enterprise id to slot: open addressing over the ids that the state itself holds, compared in full."""

import numpy as np
from numba import njit

FREE = -1


@njit(cache=True)
def _mix(w0, w1, w2, w3):
    h = np.uint64(0xCBF29CE484222325)
    h = (h ^ w0) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(29)) ^ w1) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(32)) ^ w2) * np.uint64(0x94D049BB133111EB)
    h = (h ^ (h >> np.uint64(29)) ^ w3) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@njit(cache=True)
def find_or_add(index, state, used, key):
    """The slot of `key` (4 words), a new one at `used` where it has none. Returns (slot, used)."""
    mask = np.uint64(index.shape[0] - 1)
    place = _mix(key[0], key[1], key[2], key[3]) & mask
    while True:
        slot = index[place]
        if slot == FREE:
            index[place] = used
            state[used].id[:] = key
            return used, used + 1
        held = state[slot].id
        if held[0] == key[0] and held[1] == key[1] and held[2] == key[2] and held[3] == key[3]:
            return slot, used
        place = (place + np.uint64(1)) & mask


@njit(cache=True)
def slots_of(index, state, used, keys, out):
    """Fill out[i] with the slot of keys[i]; returns `used` after it. The caller keeps the index at most half full."""
    for i in range(keys.shape[0]):
        out[i], used = find_or_add(index, state, used, keys[i])
    return used


@njit(cache=True)
def reindexed(state, used, places):
    """A new index of `places` (a power of two) over the first `used` ids."""
    index = np.full(places, FREE, np.int32)
    for slot in range(used):
        find_or_add(index, state, slot, state[slot].id)
    return index
