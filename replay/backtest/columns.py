"""Builders of columns: rows are appended one by one, and become NumPy arrays at the end."""

from array import array

import numpy as np

from detectors.learning.statistics import Ints

SEQ_BITS = 20  # an output's place in its partition as one number: its record's offset, then its own


class Names:
    """Dictionary encoding of texts: each new text gets the next index."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __getitem__(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the texts in the order of their indices."""
        return tuple(self._numbers)


class Columns:
    """Rows of int64 under named columns."""

    def __init__(self, *names: str) -> None:
        self._names, self._cells = names, array("q")

    def add(self, *cells: int) -> None:
        """Append one row."""
        assert len(cells) == len(self._names)
        self._cells.extend(cells)

    def __len__(self) -> int:
        return len(self._cells) // len(self._names)

    def arrays(self) -> dict[str, Ints]:
        """Return the columns as int64 (rows,)."""
        table = int64(self._cells).reshape(-1, len(self._names))
        return {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(self._names)}


def int64(cells: "array[int]") -> Ints:
    """Return an array of type q as int64 (n,), without a copy."""
    return np.frombuffer(cells, np.int64) if cells else np.empty(0, np.int64)
