"""The enterprises of a partition that are in memory: a bounded cache of what Redis holds, and nothing else.

Every enterprise has a number (features/table.py); some have a row of the state. An enterprise gets a row when a record
or a tick needs it. Rows are evicted, the least recently touched first, from enterprises whose value Redis holds as it
is. No output and no stored value depends on which enterprises are resident.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features import layout, table, values
from features.state import dedup
from features.values import Value

Numbers = npt.NDArray[np.int32]
LACKING_MAX = 1_000
"""Enterprises that are brought into memory at once: a few milliseconds of one read."""
_FIRST_ROWS = 4_096  # of 20 KB: a partition's share of the usual bound, so that hardly any is ever copied
_FIRST_NAMES, _FIRST_IDS = 128, 2_048  # that take memory at each start, and for each partition
_NOBODY = -1
_RESERVE = 8  # room is made for an eighth of the bound at once, so that looking for it stays cheap


class RowCache:
    """The enterprises of one partition, at most `resident_max` of them in memory."""

    def __init__(self, names: Sequence[bytes], resident_max: int) -> None:
        """Start with the enterprises `names`, those that have a value in Redis."""
        keys = layout.id_table(names)
        self.directory = table.with_room(table.empty(_FIRST_NAMES), len(keys))
        table.enter(self.directory, keys, table.ABSENT)
        self.resident_max = resident_max
        first_rows = min(_FIRST_ROWS, resident_max)
        self.state = layout.reserve(first_rows)
        self.arena = dedup.empty(_FIRST_IDS)
        self._fresh = layout.words(layout.allocate(1))
        self._number_of = np.full(first_rows, _NOBODY, np.int32)
        self._free = np.arange(first_rows, dtype=np.int32)[::-1].copy()  # the lowest on top
        self._free_count = first_rows
        self._rows_written = 0  # the lowest ones
        self._handed = np.zeros(first_rows, np.uint8)  # rows that may have changed since they were flushed
        self._run = 0

    def __len__(self) -> int:
        return len(self._number_of) - self._free_count

    @property
    def known(self) -> int:
        """Number of enterprises, in memory or not."""
        return int(self.directory.used[0])

    def begin_run(self, keys: npt.NDArray[np.uint64], first: int) -> tuple[Numbers, Numbers]:
        """Begin the longest run of keys[first:] whose enterprises may be in memory together.

        keys: uint64 (records, 4). Return the number of each record's enterprise, and those that lack a row, each once.
        Numbers are int32.
        """
        self._run += 1
        self.directory = table.with_room(self.directory, len(keys))
        numbers, lacking = np.empty(len(keys), np.int32), np.empty(LACKING_MAX, np.int32)
        end, lacks = table.begin_run(self.directory, keys, first, self._run, self.resident_max, numbers, lacking)
        return numbers[first:end], lacking[:lacks]

    def begin_sweep(self) -> None:
        """Keep no row for the previous run from here on."""
        self._run += 1

    def rows_of(self, numbers: Numbers) -> Numbers:
        """Return the rows of enterprises; ABSENT or NEW for those that are not resident."""
        rows: Numbers = self.directory.entries["row"][numbers]
        return rows

    def rows_to_evict(self, count: int) -> int:
        """Return how many rows must be evicted before `count` more can be given."""
        return max(0, len(self) + count - self.resident_max)

    def evict(self, count: int) -> bool:
        """Evict at least `count` rows that Redis holds as they are; return False where there are fewer.

        Rows that the current run touches stay.
        """
        rows = np.flatnonzero((self._number_of != _NOBODY) & (self._handed == 0))
        touched = self.directory.entries["touched"][self._number_of[rows]]
        rows, touched = rows[touched < self._run], touched[touched < self._run]
        if len(rows) < count:
            return False
        some = min(len(rows), max(count, self.resident_max // _RESERVE))
        self._take_back(rows[np.argpartition(touched, some - 1)[:some]])
        return True

    def add(self, numbers: Numbers) -> None:
        """Give initial rows to enterprises that have no value yet."""
        rows = self._give(numbers)
        self.state["id"][rows] = self.directory.entries["id"][numbers]

    def restore(self, numbers: Numbers, names: Sequence[str], held: Sequence[Value]) -> None:
        """Give rows to absent enterprises, and restore their values.

        Raise LayoutError where a value has another layout or is another enterprise's.
        """
        rows = self._give(numbers).astype(np.int64)
        self.make_room_to_remember(*values.seen_counts(held))
        values.restore(self.state, self.arena, rows, names, held)
        mixed_up = (self.state["id"][rows] != self.directory.entries["id"][numbers]).any(axis=1)
        if mixed_up.any():
            first = int(np.argmax(mixed_up))
            whose = layout.id_text(self.state["id"][rows[first]])
            raise layout.LayoutError(f"value of {names[first]}: it is that of {whose}")

    def numbers_of(self, names: Sequence[str]) -> Numbers:
        """Return the numbers of enterprises by id.

        Raise LayoutError where one has neither a value in Redis nor a record.
        """
        numbers = np.empty(len(names), np.int32)
        table.numbers_of(self.directory, layout.id_table([name.encode() for name in names]), numbers)
        if (numbers < 0).any():
            raise layout.LayoutError(f"{names[int(np.argmin(numbers))]} is not among the enterprises of its partition")
        return numbers

    def names_of(self, numbers: Numbers) -> list[str]:
        """Return the ids of enterprises."""
        return layout.id_texts(self.directory.entries["id"][numbers])

    def handed(self, rows: Numbers) -> None:
        """Note that these rows may be changed from here on."""
        self._handed[rows] = 1

    def rows(self) -> npt.NDArray[np.int64]:
        """Return the rows of all residents."""
        return np.flatnonzero(self._number_of != _NOBODY)

    def write(self, **fields: int) -> None:
        """Write a value into each of these fields of all residents."""
        rows = self.rows()
        for name, value in fields.items():
            self.state[name][rows] = value

    def numbers_at(self, rows: npt.NDArray[np.int64]) -> Numbers:
        """Return the numbers of the enterprises in these rows."""
        return self._number_of[rows]

    def dirty_rows(self) -> npt.NDArray[np.int64]:
        """Return the rows whose value in Redis is behind. Everything that was taken must be written before."""
        rows = np.flatnonzero(self._handed)
        is_dirty = self.state["dirty"][rows] != 0
        self._handed[rows[~is_dirty]] = 0
        return rows[is_dirty]

    def values(self, rows: npt.NDArray[np.int64]) -> list[tuple[str, Value]]:
        """Return (enterprise id, value) of each row."""
        return self._packed(rows, values.ALL)

    def take(self, rows: npt.NDArray[np.int64]) -> list[tuple[str, Value]]:
        """Return for each row (enterprise id, the parts that Redis lacks); the rows count as clean from here on.

        They stay in memory until they are `written`, and longer where they change meanwhile.
        """
        packed = self._packed(rows, self.state["dirty"][rows])
        self.state["dirty"][rows] = 0
        return packed

    def written(self, rows: npt.NDArray[np.int64]) -> None:
        """Note that Redis holds these rows as they were taken."""
        self._handed[rows[self.state["dirty"][rows] == 0]] = 0

    def _packed(self, rows: npt.NDArray[np.int64], parts: int | npt.NDArray[np.uint8]) -> list[tuple[str, Value]]:
        packed = values.pack(self.state, self.arena, rows, parts)
        return list(zip(layout.id_texts(self.state["id"][rows]), packed, strict=True))

    def make_room_to_remember(self, ids: int, numbers: int) -> None:
        """Grow the arena where so many more event ids and numbers might not fit."""
        if not dedup.has_room(self.arena, ids, numbers):
            self.arena = dedup.rebuilt(self.arena, self.state, self.rows(), ids, numbers)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        arrays = (*self.directory, self._number_of, self._free, self._handed)
        rows_bytes = self._rows_written * layout.ROW.itemsize
        return rows_bytes + sum(array.nbytes for array in arrays) + dedup.nbytes(self.arena)

    def _give(self, numbers: Numbers) -> Numbers:
        if self._free_count < len(numbers):
            self._grow(len(self) + len(numbers))
        self._free_count -= len(numbers)
        rows = self._free[self._free_count : self._free_count + len(numbers)][::-1].copy()
        layout.words(self.state)[rows] = self._fresh
        self._rows_written = max(self._rows_written, int(rows.max(initial=-1)) + 1)
        self._number_of[rows] = numbers
        self.directory.entries["row"][numbers] = rows
        return rows

    def _take_back(self, rows: npt.NDArray[np.int64]) -> None:
        dedup.forget(self.arena, self.state, rows)
        self.directory.entries["row"][self._number_of[rows]] = table.ABSENT
        self._number_of[rows] = _NOBODY
        self._free[self._free_count : self._free_count + len(rows)] = rows
        self._free_count += len(rows)

    def _grow(self, rows: int) -> None:
        before, capacity = len(self.state), max(rows, min(2 * rows, self.resident_max))
        held, self.state = self.state, layout.reserve(capacity)
        layout.words(self.state)[: self._rows_written] = layout.words(held)[: self._rows_written]
        self._number_of = np.concatenate([self._number_of, np.full(capacity - before, _NOBODY, np.int32)])
        self._handed = np.concatenate([self._handed, np.zeros(capacity - before, np.uint8)])
        added = np.arange(before, capacity, dtype=np.int32)[::-1]
        free = np.empty(capacity, np.int32)
        free[: len(added)] = added
        free[len(added) : len(added) + self._free_count] = self._free[: self._free_count]
        self._free, self._free_count = free, self._free_count + len(added)
