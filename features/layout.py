"""The state of a partition's enterprises in memory: one structured row an enterprise.

Kernels read and write rows in place. A row holds the hot fields of fields.py, then the cold ones, then those that are
not stored. Within a part, fields of eight bytes come first, then those of one and two, then those of four, so that a
part is words of 64 bits, then words of 32 (values.py writes them as such). `LAYOUT_VERSION` is a hash of the table: a
value of another version is refused by name.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.ids import ENTERPRISE_ID_BYTES_MAX
from features.fields import FIELDS, INITIAL, VOLATILE, Field
from features.state.parts import COLD, HOT


class Part(NamedTuple):
    """The bytes of a part in a row: 64-bit words from `begin` on, 32-bit ones from `narrow` on, to `end`."""

    begin: int
    narrow: int
    end: int


Rows = npt.NDArray[np.void]
_WORD = 8


class LayoutError(ValueError):
    """A value in Redis does not have this layout; the message names the enterprise and both versions."""


def _placed(fields: Iterable[Field], begin: int) -> tuple[dict[str, int], Part]:
    """Return the offset of each field, and the part's bounds; each section is padded to a word."""
    offsets, at = {}, begin
    fields = list(fields)
    for sizes in ((8,), (2, 1), (4,)):
        narrow = at
        for size in sizes:
            for field in fields:
                if np.dtype(field.dtype).itemsize == size:
                    offsets[field.name] = at
                    at += size * int(np.prod(field.shape, dtype=int))
        at += -at % _WORD
    return offsets, Part(begin, narrow, at)


def _row() -> tuple[np.dtype[np.void], Part, Part]:
    hot_at, hot = _placed((field for field in FIELDS if field.part == HOT), 0)
    cold_at, cold = _placed((field for field in FIELDS if field.part == COLD), hot.end)
    volatile_at, volatile = _placed(VOLATILE, cold.end)
    offsets = hot_at | cold_at | volatile_at
    fields = sorted((*FIELDS, *VOLATILE), key=lambda field: offsets[field.name])
    row = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [(field.dtype, field.shape) for field in fields],
            "offsets": [offsets[field.name] for field in fields],
            "itemsize": volatile.end,
        }
    )
    return row, hot, cold


ROW, HOT_PART, COLD_PART = _row()
LAYOUT_VERSION = int.from_bytes(hashlib.sha256(repr([field[:4] for field in FIELDS]).encode()).digest()[:4], "little")


def allocate(capacity: int) -> Rows:
    """Return `capacity` rows, dtype ROW, each the initial state of an enterprise."""
    rows = np.zeros(capacity, ROW)
    for name, value in INITIAL.items():
        rows[name] = value
    return rows


def reserve(capacity: int) -> Rows:
    """Return `capacity` rows of zero bytes, dtype ROW, none a state yet. A row takes memory once it is written."""
    return np.zeros(capacity, ROW)


def words(rows: Rows) -> npt.NDArray[np.uint64]:
    """Return a view of the rows as 64-bit words, uint64 (rows, words)."""
    return rows.view(np.uint8).reshape(len(rows), ROW.itemsize).view(np.uint64)


def id_words(enterprise_id: str) -> npt.NDArray[np.uint64]:
    """Return the bytes of an id, padded with NUL, as four words, uint64 (4,)."""
    return np.frombuffer(enterprise_id.encode().ljust(ENTERPRISE_ID_BYTES_MAX, b"\0"), "<u8")


def id_table(names: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Return `id_words` of many ids, uint64 (n, 4). Raise LayoutError where one is longer than ids may be."""
    if names and len(longest := max(names, key=len)) > ENTERPRISE_ID_BYTES_MAX:
        raise LayoutError(f"the id {longest!r} is longer than {ENTERPRISE_ID_BYTES_MAX} bytes")
    return np.array(names, f"S{ENTERPRISE_ID_BYTES_MAX}").view("<u8").reshape(len(names), ENTERPRISE_ID_BYTES_MAX // 8)


def id_texts(words: npt.NDArray[np.uint64]) -> list[str]:
    """Return the ids of id words, uint64 (n, 4) and contiguous."""
    return [name.decode() for name in words.view(f"S{ENTERPRISE_ID_BYTES_MAX}").ravel().tolist()]


def id_text(words: npt.NDArray[np.uint64]) -> str:
    """Return the id (of an enterprise or a loan) that `id_words` made."""
    return words.tobytes().rstrip(b"\0").decode()
