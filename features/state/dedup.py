"""De-duplication: what an enterprise applied within the allowed lateness, and what came again with another body.

A record is known by its event id or, where the bank numbers the records of an account, by the account and that number.
Sixteen numbers share one entry: five bytes a record instead of thirty. A record is kept as a check of 32 bits: of the
body for an id, of id and body for a number. An id is forgotten when its day is out of reach, a number when the newest
day of its sixteen is. A record that came with a number is not looked up by its id.

An arena is the memory of a partition: a pool of entries for ids, and one for blocks of numbers. In a pool each
enterprise has a chain of its entries (newest first, for writing and forgetting), and all share one open-addressing
index over (slot, key). Entries leave with their enterprise, or when the arena is rebuilt. Which of them an enterprise's
value holds depends on days and on what a block holds, never on when that happened:

  hot   ids of open days; blocks of open days, and those that still lack a number
  cold  ids, and blocks that are full, of the last closed days, as of the day on which the cold part last changed

So a block that fills over some days is not moved back and forth.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.codec import put
from features.state.parts import HOT, first_kept, touch_cold
from kernels.decorators import allocating_kernel, kernel
from kernels.words import read_word, store_word

NEW, DUPLICATE, CONFLICT = 0, 1, 2
BLOCK = 16  # numbers that share an entry
NO_NUMBER = -1
_NONE = -1
_ID = np.dtype([("key", "<u8"), ("check", "<u4"), ("day", "<i4"), ("owner", "<i4"), ("next", "<i4")])
_NUMBERS = np.dtype([("key", "<u8"), ("check", "<u4", (BLOCK,)), ("day", "<i4"), ("owner", "<i4"), ("next", "<i4")])
_ID_BYTES = 8 + 4 + 1  # in a value: key, check, day
_BLOCK_BYTES, _CHECK_BYTES = 8 + 1 + 2, 4  # key, day, mask; and for each number that was seen
_LAST_DAY = 2**31 - 1
_U, _LOW = np.uint64, np.uint64(0xFFFFFFFF)


class Pool(NamedTuple):
    """Entries of one kind (capacity,).

    Place int32, the index (a power of two,); free int64 (2,): the first, how many.
    """

    entry: npt.NDArray[np.void]
    place: npt.NDArray[np.int32]
    free: npt.NDArray[np.int64]


class Arena(NamedTuple):
    """The ids and numbers that the enterprises of a partition remember."""

    ids: Pool
    blocks: Pool


def empty(ids: int, blocks: int = 0) -> Arena:
    """Return an arena with room for `ids` event ids and `blocks` blocks of numbers."""
    return Arena(_pool(ids, _ID), _pool(blocks, _NUMBERS))


def has_room(arena: Arena, ids: int, numbers: int) -> bool:
    """Return whether `ids` more ids and `numbers` more numbers fit, whatever blocks these belong to."""
    return bool(arena.ids.free[1] >= ids and arena.blocks.free[1] >= numbers)


def nbytes(arena: Arena) -> int:
    """Return the bytes allocated."""
    return sum(array.nbytes for pool in arena for array in pool)


def rebuilt(arena: Arena, state: Any, slots: Any, ids: int, numbers: int) -> Arena:
    """Return an arena with what the enterprises in `slots`, int64 (n,), still need, and as much room again.

    It has room for `ids` and `numbers` more at least. Its size follows what is needed, so that rebuilding costs a
    constant for each entry.
    """
    needed_ids, needed_blocks = _needed(arena, state, slots)
    new = empty(2 * (needed_ids + ids), 2 * (needed_blocks + numbers))
    _move(arena, new, state, slots)
    return new


def _pool(capacity: int, dtype: np.dtype[np.void]) -> Pool:
    places = 1 << max(4, (2 * capacity - 1).bit_length())
    entry = np.zeros(capacity, dtype)
    entry["next"] = np.arange(1, capacity + 1)
    entry["next"][-1:] = _NONE
    return Pool(entry, np.full(places, _NONE, np.int32), np.array([0 if capacity else _NONE, capacity], np.int64))


@kernel
def remember(arena, e, slot, id_hash, fingerprint, day):
    """Take in a record by its id: return NEW and remember it, or DUPLICATE, or CONFLICT (the id with another body).

    id_hash, fingerprint: uint64; day: day number.
    """
    ids, check = arena.ids, _folded(fingerprint)
    place = _place(ids, slot, id_hash)
    i = ids.place[place]
    if i != _NONE and ids.entry[i].day >= first_kept(e):
        return DUPLICATE if ids.entry[i].check == check else CONFLICT
    if day <= e.closed_day or (i != _NONE and _is_cold(e, ids.entry[i].day)):
        touch_cold(e)  # it comes to the cold part, or leaves it
    if i == _NONE:  # else it is forgotten, only not swept out: a restart would not have it
        i = e.id_head = _enter(ids, slot, place, id_hash, e.id_head)
        e.id_count += 1
    ids.entry[i].check, ids.entry[i].day = check, day
    return NEW


@kernel
def remember_number(arena, e, slot, account, number, id_hash, fingerprint, day):
    """Take in a record by the number (from 0 on) that its account's bank gave it; return as `remember`."""
    blocks = arena.blocks
    key = _mixed(account ^ _mixed(_U(number // BLOCK)))
    check = max(_folded(_mixed(id_hash) ^ fingerprint), np.uint32(1))
    place = _place(blocks, slot, key)
    i = blocks.place[place]
    if i == _NONE:
        i = e.block_head = _enter(blocks, slot, place, key, e.block_head)
        e.block_count += 1
        _begin(blocks.entry[i], day)
    block = blocks.entry[i]
    if block.day < first_kept(e):
        if _is_full(block) and _is_cold(e, block.day):
            touch_cold(e)
        _begin(block, day)
    seen = block.check[number % BLOCK]
    if seen != 0:
        return DUPLICATE if seen == check else CONFLICT
    block.check[number % BLOCK] = check
    block.day = max(block.day, day)
    if block.day <= e.closed_day and _is_full(block):
        touch_cold(e)
    return NEW


@kernel
def forget(arena, state, slots):
    """Remove everything that the enterprises in `slots`, int64 (n,), remember, so that others may have the slots."""
    for slot in slots:
        e = state[slot]
        _forget(arena.ids, slot, e.id_head)
        _forget(arena.blocks, slot, e.block_head)
        e.id_head = e.block_head = _NONE
        e.id_count = e.block_count = 0


@kernel
def bytes_max(e):
    """Return the most bytes that both parts of an enterprise's value take for what it remembers."""
    return e.id_count * _ID_BYTES + e.block_count * (_BLOCK_BYTES + BLOCK * _CHECK_BYTES)


@allocating_kernel
def write(arena, e, part, out, at):
    """Write what a part of the value holds to out[at:]; return (ids, blocks, where it ends).

    Ids, then blocks, each ascending by key and column by column: keys, checks and days of ids; keys, days and masks of
    blocks, then the checks that the masks name. Days count from the part's first one.
    """
    base = first_kept(e) if part == HOT else e.cold_first
    ids = _ids_of(arena.ids, e, part)
    check_at, day_at = at + 8 * ids.shape[0], at + 12 * ids.shape[0]
    for k in range(ids.shape[0]):  # an entry at a time: each may be far from the last
        entry = arena.ids.entry[ids[k]]
        store_word(out, at + 8 * k, entry.key)
        put(out, check_at + 4 * k, entry.check, 4)
        out[day_at + k] = entry.day - base
    at += _ID_BYTES * ids.shape[0]
    block = arena.blocks.entry
    blocks = _blocks_of(arena.blocks, e, part)
    for i in blocks:
        at = put(out, at, block[i].key, 8)
    for i in blocks:
        at = put(out, at, block[i].day - base, 1)
    for i in blocks:
        mask = np.int64(0)
        for k in range(BLOCK):
            mask |= np.int64(block[i].check[k] != 0) << k
        at = put(out, at, mask, 2)
    for i in blocks:
        for check in block[i].check:
            if check != 0:
                at = put(out, at, check, _CHECK_BYTES)
    return ids.shape[0], blocks.shape[0], at


@kernel
def read(arena, e, slot, part, b, at, end, ids, blocks):
    """Read back what `write` wrote, for an enterprise that remembers none of it.

    Return where it ends, -1 if past `end`. `arena` has room for so many ids and blocks, or is None where only the end
    is asked for. The row has its hot fields.
    """
    if ids < 0 or blocks < 0 or at + ids * _ID_BYTES + blocks * _BLOCK_BYTES > end:
        return -1
    base = first_kept(e) if part == HOT else e.cold_first
    if arena is not None:
        for k in range(ids):
            key = read_word(b, at + 8 * k, 8)
            i = e.id_head = _enter(arena.ids, slot, _place(arena.ids, slot, key), key, e.id_head)
            e.id_count += 1
            arena.ids.entry[i].check = read_word(b, at + 8 * ids + 4 * k, 4)
            arena.ids.entry[i].day = base + b[at + 12 * ids + k]
    at += ids * _ID_BYTES
    check_at = at + blocks * _BLOCK_BYTES
    for k in range(blocks):
        mask = np.int64(read_word(b, at + 9 * blocks + 2 * k, 2))
        checks = np.int64(0)
        for j in range(BLOCK):
            checks += mask >> j & 1
        if check_at + checks * _CHECK_BYTES > end:
            return -1
        if arena is not None:
            key = read_word(b, at + 8 * k, 8)
            i = e.block_head = _enter(arena.blocks, slot, _place(arena.blocks, slot, key), key, e.block_head)
            e.block_count += 1
            _read_block(arena.blocks.entry[i], base + b[at + 8 * blocks + k], mask, b, check_at)
        check_at += checks * _CHECK_BYTES
    return check_at


@kernel
def _read_block(block, day, mask, b, at):
    _begin(block, day)
    for j in range(BLOCK):
        if mask >> j & 1:
            block.check[j] = read_word(b, at, _CHECK_BYTES)
            at += _CHECK_BYTES


@kernel
def _folded(x):
    return np.uint32((x ^ (x >> _U(32))) & _LOW)


@kernel
def _mixed(x):
    """Return a permutation of 64 bits in which each bit moves all others (splitmix64, Steele et al., OOPSLA 2014)."""
    x += _U(0x9E3779B97F4A7C15)
    x = (x ^ (x >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U(27))) * _U(0x94D049BB133111EB)
    return x ^ (x >> _U(31))


@kernel
def _is_cold(e, day):
    return e.cold_first <= day <= e.cold_day


@kernel
def _is_full(block):
    for check in block.check:
        if check == 0:
            return False
    return True


@kernel
def _begin(block, day):
    block.check[:] = 0
    block.day = day


@kernel
def _home(pool, slot, key):
    """Return the place of the index where the search for (slot, key) begins."""
    mixed = (key ^ (_U(slot) * _U(0x9E3779B97F4A7C15))) * _U(0xD6E8FEB86659FD93)
    return (mixed >> _U(20)) & _U(pool.place.shape[0] - 1)


@kernel
def _place(pool, slot, key):
    """Return the place of (slot, key) in the index, or the free place for it."""
    mask = _U(pool.place.shape[0] - 1)
    place = _home(pool, slot, key)
    while True:
        i = pool.place[place]
        if i == _NONE or (pool.entry[i].key == key and pool.entry[i].owner == slot):
            return place
        place = (place + _U(1)) & mask


@kernel
def _enter(pool, slot, place, key, head):
    """Take a free entry for (slot, key), before `head` in its chain; return it."""
    i = np.int32(pool.free[0])
    entry = pool.entry[i]
    pool.free[0] = entry.next
    pool.free[1] -= 1
    entry.key, entry.owner, entry.next = key, slot, head
    pool.place[place] = i
    return i


@kernel
def _forget(pool, slot, i):
    while i != _NONE:
        entry = pool.entry[i]
        following = entry.next
        _vacate(pool, _place(pool, slot, entry.key))
        entry.next = pool.free[0]
        pool.free[0] = i
        pool.free[1] += 1
        i = following


@kernel
def _vacate(pool, hole):
    """Free a place of the index, and move up the entries after it that are there only because it was taken."""
    mask = _U(pool.place.shape[0] - 1)
    place = (hole + _U(1)) & mask
    while pool.place[place] != _NONE:
        entry = pool.entry[pool.place[place]]
        home = _home(pool, entry.owner, entry.key)
        if ((place - home) & mask) >= ((place - hole) & mask):
            pool.place[hole] = pool.place[place]
            hole = place
        place = (place + _U(1)) & mask
    pool.place[hole] = _NONE


@allocating_kernel
def _ids_of(pool, e, part):
    """Return the ids that a part of the value holds, ascending."""
    first = max(first_kept(e), np.int64(e.closed_day) + 1) if part == HOT else e.cold_first
    last = e.cold_day if part != HOT else np.int64(_LAST_DAY)
    found, key, n, i = np.empty(e.id_count, np.int32), np.empty(e.id_count, np.uint64), 0, e.id_head
    while i != _NONE:
        entry = pool.entry[i]
        if first <= entry.day <= last:
            found[n], key[n] = i, entry.key
            n += 1
        i = entry.next
    return found[:n][np.argsort(key[:n])]


@allocating_kernel
def _blocks_of(pool, e, part):
    """Return the blocks that a part of the value holds, ascending."""
    first = first_kept(e)
    found, key, n, i = np.empty(e.block_count, np.int32), np.empty(e.block_count, np.uint64), 0, e.block_head
    while i != _NONE:
        block = pool.entry[i]
        if part == HOT:
            belongs = block.day >= first and (block.day > e.closed_day or not _is_full(block))
        else:
            belongs = _is_cold(e, block.day) and _is_full(block)
        if belongs:
            found[n], key[n] = i, block.key
            n += 1
        i = block.next
    return found[:n][np.argsort(key[:n])]


@kernel
def _needed(arena, state, slots):
    """Return the numbers of ids and blocks within reach of their enterprises."""
    ids = blocks = 0
    for slot in slots:
        e = state[slot]
        first = min(first_kept(e), e.cold_first)
        i = e.id_head
        while i != _NONE:
            ids += arena.ids.entry[i].day >= first
            i = arena.ids.entry[i].next
        i = e.block_head
        while i != _NONE:
            blocks += arena.blocks.entry[i].day >= first
            i = arena.blocks.entry[i].next
    return ids, blocks


@kernel
def _move(old, new, state, slots):
    for slot in slots:
        e = state[slot]
        first = min(first_kept(e), e.cold_first)
        e.id_head, e.id_count = _moved(old.ids, new.ids, slot, e.id_head, first)
        e.block_head, e.block_count = _moved(old.blocks, new.blocks, slot, e.block_head, first)


@kernel
def _moved(old, new, slot, i, first):
    """Copy a chain's entries from day `first` on; return (the head of the new chain, the number of its entries)."""
    head, count = np.int32(_NONE), 0
    while i != _NONE:
        entry = old.entry[i]
        if entry.day >= first:
            head = _enter(new, slot, _place(new, slot, entry.key), entry.key, head)
            new.entry[head].check, new.entry[head].day = entry.check, entry.day
            count += 1
        i = entry.next
    return head, count
