"""Enterprise ids as an open table of 64-bit hashes, looked up once a record. Pure.

The hash is keyed by a secret of the process, so that nobody can choose an id that passes for another, or many that fall
on one place. Two ids of a million have the same hash with a chance of 3 in 100 million; the later one then counts as
known.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.state.hashing import keyed_siphash
from kernels.decorators import kernel
from sinks.batch import Records

SLOTS_MIN = 1 << 12
NEW = -1
_U = np.uint64


class EnterpriseTable:
    """A set of enterprise ids, each with a mark: an int32 of the caller's, not negative.

    At most half of the slots are taken, of 12 bytes each: 24 to 48 bytes an id.
    """

    def __init__(self) -> None:
        self._key = np.frombuffer(secrets.token_bytes(16), np.uint64)
        self._slots, self._marks = np.zeros(SLOTS_MIN, np.uint64), np.empty(SLOTS_MIN, np.int32)
        self._found = np.empty(0, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def unknown(self, records: Records) -> list[int]:
        """Return the indexes of the records, ascending, whose key is not in the table."""
        if len(records) > len(self._found):
            self._found = np.empty(len(records), np.int64)
        count = _unknown(_bytes(records), records.sizes, self._key, self._slots, self._found)
        return self._found[:count].tolist() if count else []

    def put(self, keys: Sequence[bytes], marks: Sequence[int]) -> list[int]:
        """Set the marks of ids, in their order; return what each had before, NEW for one that was not there."""
        while 2 * (self._count + len(keys)) > len(self._slots):
            self._grow()
        sizes = np.array([(len(key), -1) for key in keys], np.int64).reshape(-1, 2)
        before = np.empty(len(keys), np.int32)
        joined, given = np.frombuffer(b"".join(keys), np.uint8), np.array(marks, np.int32)
        _put(joined, sizes, self._key, self._slots, self._marks, given, before)
        self._count += int(np.count_nonzero(before == NEW))
        found: list[int] = before.tolist()
        return found

    def _grow(self) -> None:
        slots, marks = np.zeros(2 * len(self._slots), np.uint64), np.empty(2 * len(self._slots), np.int32)
        _move(self._slots, self._marks, slots, marks)
        self._slots, self._marks = slots, marks


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    table, records = EnterpriseTable(), Records.of([(b"key", b"value")])
    assert table.unknown(records) == [0]
    assert table.put([b"key"], [0]) == [NEW]
    table._grow()
    assert table.unknown(records) == []


def _bytes(records: Records) -> npt.NDArray[np.uint8]:
    return np.frombuffer(records.blob, np.uint8)


@kernel(nogil=True)
def _unknown(blob, sizes, key, slots, found):  # type: ignore[no-untyped-def]
    """Write the indexes of records whose key is in no slot to found; return their number."""
    at, count = 0, 0
    for i in range(sizes.shape[0]):
        end = at + max(sizes[i, 0], 0)
        if slots[_slot(slots, _hash(blob, at, end, key))] == _U(0):
            found[count] = i
            count += 1
        at = end + max(sizes[i, 1], 0)
    return count


@kernel(nogil=True)
def _put(blob, sizes, key, slots, marks, given, before):  # type: ignore[no-untyped-def]
    """Set the mark of each key, with room in the slots; write what it had to before, NEW where it had none."""
    at = 0
    for i in range(sizes.shape[0]):
        end = at + max(sizes[i, 0], 0)
        hashed = _hash(blob, at, end, key)
        slot = _slot(slots, hashed)
        before[i] = NEW if slots[slot] == _U(0) else marks[slot]
        slots[slot], marks[slot] = hashed, given[i]
        at = end + max(sizes[i, 1], 0)


@kernel(nogil=True)
def _move(slots, marks, new_slots, new_marks):  # type: ignore[no-untyped-def]
    """Copy all ids into larger, empty arrays."""
    for i in range(slots.shape[0]):
        if slots[i] != _U(0):
            slot = _slot(new_slots, slots[i])
            new_slots[slot], new_marks[slot] = slots[i], marks[i]


@kernel(forceinline=True)
def _hash(blob, at, end, key):  # type: ignore[no-untyped-def]
    """Return the hash of a key, uint64, never 0, which an empty slot has."""
    return max(keyed_siphash(blob, at, end, key[0], key[1]), _U(1))


@kernel(forceinline=True)
def _slot(slots, hashed):  # type: ignore[no-untyped-def]
    """Return the slot that has a hash, or the empty one where it belongs; there is always an empty one."""
    mask = _U(slots.shape[0] - 1)
    slot = hashed & mask
    while slots[slot] != _U(0) and slots[slot] != hashed:
        slot = (slot + _U(1)) & mask
    return slot
