"""The observations that the learner holds, as columns: those that wait for their label, and those that have one.

A row stays in its place for its whole life. What a model reads of it never changes; what becomes of it (MARKS) does. So
a checkpoint writes each row once, and then its marks alone.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.learning.examples import EXAMPLE, UNKNOWN, Examples, values_of
from detectors.snapshot import MICRO
from domain.outputs import Observation
from features.indicators import INDICATORS

Rows = npt.NDArray[np.void]
Indexes = npt.NDArray[np.intp]
HELD, LABELLED, DROPPED = range(3)
NEVER_DUE = np.int32(2**31 - 1)
ID_BYTES = 16
BLOCK_ROWS = 8_192
_INT32_MAX = 2**31 - 1

ROW = np.dtype(
    [
        ("example", EXAMPLE),
        ("id", f"V{ID_BYTES}"),  # of the observation
        ("partition", "<u2"),
        ("offset", "<i8"),  # of the record in the log that it was made of
        ("loan", "<u8"),  # a hash of the loan that was granted; 0 for a month's observation
        ("state", "u1"),  # HELD, LABELLED or DROPPED
        ("due", "<i4"),  # day from which the next label may be known
        ("turn", "<u4"),  # place in the order of learning, where labelled
    ]
)
_OF_EXAMPLE, _OF_ROW = ("matured_on", "bad", "default_12m"), ("state", "due", "turn")
MARKS = np.dtype([(name, EXAMPLE[name]) for name in _OF_EXAMPLE] + [(name, ROW[name]) for name in _OF_ROW])


class Block:
    """Rows that came one after the other, at most BLOCK_ROWS.

    stored, marks_differ: how many of the rows a checkpoint has, and whether it has other marks of any.
    """

    __slots__ = ("_rows", "count", "marks_differ", "number", "stored")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = self.stored = 0
        self.marks_differ = False
        self._rows = np.zeros(BLOCK_ROWS, ROW)

    @property
    def rows(self) -> Rows:
        """The rows, ROW (count,)."""
        return self._rows[: self.count]

    @property
    def is_full(self) -> bool:
        return self.count == BLOCK_ROWS

    def restore(self, first: int, rows: Rows) -> None:
        """Take in rows from a checkpoint, to stand from place `first` on; a block's may come in any order."""
        self._rows[first : first + len(rows)] = rows
        self.count = self.stored = max(self.count, first + len(rows))

    def add(self) -> Any:
        """Return the next row, to be filled."""
        self.count += 1
        return self._rows[self.count - 1]

    @property
    def marks(self) -> Rows:
        """A copy of the marks of all rows, MARKS (count,)."""
        found = np.zeros(self.count, MARKS)
        for name in _OF_EXAMPLE:
            found[name] = self.rows["example"][name]
        for name in _OF_ROW:
            found[name] = self.rows[name]
        return found

    @marks.setter
    def marks(self, marks: Rows) -> None:
        rows = self.rows[: len(marks)]
        for name in _OF_EXAMPLE:
            rows["example"][name] = marks[name]
        for name in _OF_ROW:
            rows[name] = marks[name]


class Observations:
    """Blocks of rows, in the order in which the rows came."""

    def __init__(self, blocks: list[Block] | None = None) -> None:
        self.blocks = blocks or []
        self._next_number = max((block.number for block in self.blocks), default=-1) + 1

    def __len__(self) -> int:
        return sum(block.count for block in self.blocks)

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks."""
        return len(self.blocks) * BLOCK_ROWS * ROW.itemsize

    def add(self) -> Any:
        """Return a new row, to be filled."""
        if not self.blocks or self.blocks[-1].is_full:
            self.blocks.append(Block(self._next_number))
            self._next_number += 1
        return self.blocks[-1].add()

    def ids(self) -> Iterator[list[bytes]]:
        """Yield the ids of the rows, by block."""
        for block in self.blocks:
            yield block.rows["id"].tolist()

    def count(self, state: int) -> int:
        """Count the rows in a state."""
        return sum(int(np.count_nonzero(block.rows["state"] == state)) for block in self.blocks)

    def newest_offsets(self) -> dict[int, int]:
        """Return by partition the highest offset of a record that a row was made of."""
        found = dict[int, int]()
        for block in self.blocks:
            for partition in np.unique(block.rows["partition"]).tolist():
                newest = int(block.rows["offset"][block.rows["partition"] == partition].max())
                found[partition] = max(found.get(partition, -1), newest)
        return found

    def of(self, state: int) -> Rows:
        """Return a copy of the rows in a state, ROW (n,), in the order in which they came."""
        found = [block.rows[block.rows["state"] == state] for block in self.blocks]
        return np.concatenate(found) if found else np.zeros(0, ROW)

    def labelled(self) -> Examples:
        """Return the labelled rows as EXAMPLE (n,), in the order of learning."""
        places = [np.flatnonzero(block.rows["state"] == LABELLED) for block in self.blocks]
        turns = [block.rows["turn"][place] for block, place in zip(self.blocks, places, strict=True)]
        found = np.zeros(sum(map(len, places)), EXAMPLE)
        if len(found):
            rank = np.empty(len(found), np.intp)
            rank[np.argsort(np.concatenate(turns), kind="stable")] = np.arange(len(found))
            first = 0
            for block, place in zip(self.blocks, places, strict=True):
                found[rank[first : first + len(place)]] = block.rows["example"][place]
                first += len(place)
        return found


def fill(row: Any, seen: Observation, *, enterprise: int, partition: int, loan: int, due: int) -> None:
    """Write an observation into a new row. `check` has passed it."""
    example = row["example"]
    example["enterprise"], example["day"], example["default_12m"] = enterprise, seen.day, UNKNOWN
    example["score_milli"], example["p_ppm"] = seen.score_milli, seen.p_overdue30_90d_ppm
    example["value"], example["null"] = values_of(seen)
    row["id"], row["partition"], row["offset"] = np.void(id_of(seen)), partition, seen.offset
    row["loan"], row["due"] = loan, due


def id_of(seen: Observation) -> bytes:
    """Return the id of an observation as 16 bytes, which are ordered as its text is."""
    return bytes.fromhex(seen.observation_id)


_KNOWN = frozenset(INDICATORS)
_VALUE_MAX_MICRO = 2**62


def check(seen: Observation) -> None:
    """Raise ValueError, with the observation and the field, for one that no model may see.

    An indicator that it does not name is null: there was none when it was made.
    """
    name = f"observation {seen.observation_id}"
    if len(seen.observation_id) != 2 * ID_BYTES or set(seen.observation_id) - set("0123456789abcdef"):
        raise ValueError(f"{name}: observation_id is not {2 * ID_BYTES} hex digits")
    if seen.values_micro.keys() - _KNOWN:
        odd = ", ".join(sorted(seen.values_micro.keys() - _KNOWN))
        raise ValueError(f"{name}: values_micro names {odd}, which is of another catalogue")
    for field, value, low, high in (
        ("day", seen.day, -_INT32_MAX, _INT32_MAX - 1_000),
        ("score_milli", seen.score_milli, 0, MICRO),
        ("p_overdue30_90d_ppm", seen.p_overdue30_90d_ppm, 0, MICRO),
        ("offset", seen.offset, 0, 2**62),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name}: {field} = {value} is outside {low} to {high}")
    for field, values, low, high in (
        ("utilities_ppm", seen.utilities_ppm, 0, MICRO),
        ("values_micro", seen.values_micro, -_VALUE_MAX_MICRO, _VALUE_MAX_MICRO),
    ):
        odd_ones = [key for key, value in values.items() if value is not None and not low <= value <= high]
        if odd_ones:
            raise ValueError(f"{name}: {field} of {odd_ones[0]} = {values[odd_ones[0]]} is outside {low} to {high}")
