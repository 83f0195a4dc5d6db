"""The value of an enterprise in Redis: its hot part, and its cold one where that ever changed.

A part is a header (magic of the part, layout version, cold day, numbers of event ids and of blocks of numbers), the
part's words by codec.py, 32-bit ones widened, and what it holds of the records that were seen (state/dedup.py). Its
bytes are a function of the row, and change only when its bit of `dirty` is set. So they are a function of the log, and
do not depend on when they were written.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features import codec
from features.layout import COLD_PART, HOT_PART, LAYOUT_VERSION, LayoutError, Part, Rows, allocate, words
from features.state import dedup
from features.state.buckets import NO_UNIT
from features.state.parts import COLD, HOT
from kernels.decorators import allocating_kernel, copy, kernel
from kernels.words import read_word

HEADER_FIELDS = (
    ("magic", "4 bytes", "which part it is, and the version of the coding"),
    ("layout", "uint32", "layout version (features/layout.py)"),
    ("cold_day", "int32", "last closed day when the cold part last changed: both parts of a value agree on it"),
    ("ids", "uint32", "event ids that it remembers"),
    ("blocks", "uint32", "blocks of sequence numbers that it remembers"),
)
_HEADER = struct.Struct("<4sIiII")  # HEADER_FIELDS
_MAGIC = {HOT: b"xlh3", COLD: b"xlc3"}
_COLD_DAY_AT, _IDS_AT, _BLOCKS_AT = 8, 12, 16
_WORD, _HALF = 8, np.uint64(0xFFFFFFFF)
_BUFFER_BYTES = 1 << 22
ALL = HOT | COLD


class Value(NamedTuple):
    """The bytes of one enterprise's parts.

    cold is None where it never changed or, in a flush, where Redis has it already.
    """

    hot: bytes
    cold: bytes | None

    @property
    def size(self) -> int:
        """Bytes of both parts together."""
        return len(self.hot) + len(self.cold or b"")

    def over(self, older: "Value | None") -> "Value":
        """Return the value in Redis after this one was written over `older`."""
        return self if self.cold is not None or older is None else Value(self.hot, older.cold)


class _Coded(NamedTuple):
    """A part for the kernels: its bounds in words, its words in an initial row, and its header.

    `bytes_max`: the most bytes that it takes without the records that were seen.
    """

    part: int
    begin: int
    narrow: int
    end: int
    initial: npt.NDArray[np.uint64]
    header: npt.NDArray[np.uint8]
    scratch: npt.NDArray[np.uint64]
    bytes_max: int


def pack(
    state: Rows, arena: dedup.Arena, slots: npt.NDArray[np.int64], parts: int | npt.NDArray[np.uint8] = ALL
) -> list[Value]:
    """Return the values of `slots`, int64 (n,): each its hot part, and its cold part where wanted and ever changed.

    `parts` says what is wanted, as one mask of HOT and COLD, or as uint8 (n,) masks like `dirty`.
    """
    masks = np.array(np.broadcast_to(np.asarray(parts, np.uint8), slots.shape))  # contiguous: one signature
    out, ends = np.empty(_BUFFER_BYTES, np.uint8), np.empty((len(slots), 2), np.int64)
    values: list[Value] = []
    first = 0
    while first < len(slots):
        last, lacking = _pack(state, words(state), arena, slots, masks, _HOT, _COLD, first, out, ends)
        if lacking > len(out):
            out = np.empty(2 * lacking, np.uint8)
        written, begin = out[: ends[last - 1, 1] if last > first else 0].tobytes(), 0
        for hot_end, cold_end in ends[first:last].tolist():
            values.append(Value(written[begin:hot_end], written[hot_end:cold_end] if cold_end > hot_end else None))
            begin = cold_end
        first = last
    return values


def restore(
    state: Rows,
    arena: dedup.Arena | None,
    slots: npt.NDArray[np.int64],
    names: Sequence[str],
    values: Sequence[Value],
) -> None:
    """Restore values into free rows, whose enterprises are `names`.

    The arena must have room for `seen_counts(values)`; with None, for readers, the records that were seen are left out.

    Raise LayoutError, with the enterprise's name, where a value has another layout or is damaged.
    """
    _decode(state, arena, slots, names, [value.hot for value in values], _HOT)
    cold = [i for i, value in enumerate(values) if value.cold is not None]
    changed = state["cold_day"][slots] != NO_UNIT
    if torn := sorted(set(np.flatnonzero(changed).tolist()) ^ set(cold)):
        raise LayoutError(f"value of {names[torn[0]]}: one of its two parts is missing")
    _decode(state, arena, slots[cold], [names[i] for i in cold], [values[i].cold for i in cold], _COLD)


def rows_of(names: Sequence[str], values: Sequence[Value]) -> Rows:
    """Return rows of some values without the records that they have seen, for readers.

    Raise LayoutError as `restore` does.
    """
    rows = allocate(len(names))
    restore(rows, None, np.arange(len(names)), names, values)
    return rows


def unpack(names: Sequence[str], hot: Sequence[bytes]) -> Rows:
    """Return rows with the hot fields of some values, for readers. Raise LayoutError as `restore` does."""
    rows = allocate(len(names))
    _decode(rows, None, np.arange(len(names)), names, hot, _HOT)
    return rows


def seen_counts(values: Sequence[Value]) -> tuple[int, int]:
    """Return the numbers of event ids and of blocks in some values. What cannot be true is refused by `restore`."""
    ids = blocks = 0
    for part in (part for value in values for part in value if part is not None and len(part) >= _HEADER.size):
        _, _, _, some_ids, some_blocks = _HEADER.unpack_from(part)
        ids, blocks = ids + min(some_ids, len(part)), blocks + min(some_blocks, len(part))
    return ids, blocks


def _decode(
    state: Rows,
    arena: dedup.Arena | None,
    slots: npt.NDArray[np.int64],
    names: Sequence[str],
    parts: Sequence[Any],
    coded: _Coded,
) -> None:
    if not parts:
        return
    buffer = np.frombuffer(b"".join(parts), np.uint8)
    ends = np.cumsum([len(part) for part in parts])
    bad = _unpack(state, words(state), arena, slots, buffer, ends, coded)
    if bad >= 0:
        raise LayoutError(f"value of {names[bad]}: {_why(parts[bad], coded.part)}")


def _why(raw: bytes, part: int) -> str:
    if len(raw) < _HEADER.size:
        return f"{len(raw)} bytes are no value"
    magic, version, *_ = _HEADER.unpack_from(raw)
    if (magic, version) != (_MAGIC[part], LAYOUT_VERSION):
        return f"layout {magic!r} {version:08x}, this engine knows {_MAGIC[part]!r} {LAYOUT_VERSION:08x}"
    return "its bytes are cut or changed"


def _coded(part: int, bounds: Part) -> _Coded:
    begin, narrow, end = (at // _WORD for at in bounds)
    count = -((narrow - begin + 2 * (end - narrow)) // -codec.BLOCK) * codec.BLOCK
    header = np.frombuffer(_HEADER.pack(_MAGIC[part], LAYOUT_VERSION, 0, 0, 0), np.uint8)
    initial, scratch = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    coded = _Coded(part, begin, narrow, end, initial, header, scratch, len(header) + codec.bytes_max(count))
    _widen(words(allocate(1))[0], coded)
    coded.initial[:] = coded.scratch
    return coded


@kernel
def _widen(row, coded):
    """Fill the scratch with a part's words, each half of its narrow words widened to a word.

    Zeros fill the last block.
    """
    count = coded.narrow - coded.begin
    copy(row[coded.begin : coded.narrow], coded.scratch[:count])
    for i in range(coded.narrow, coded.end):
        coded.scratch[count] = row[i] & _HALF
        coded.scratch[count + 1] = row[i] >> np.uint64(32)
        count += 2


@allocating_kernel(nogil=True)
def _pack(state, rows, arena, slots, masks, hot, cold, first, out, ends):
    """Write slots[first:] while `out` has room; return (where it stopped, bytes that the next one may take).

    ends[i]: where its hot part ends, and its cold one; equal where that is not written.
    """
    at = np.int64(0)
    for i in range(first, slots.shape[0]):
        e, row = state[slots[i]], rows[slots[i]]
        need = hot.bytes_max + cold.bytes_max + dedup.bytes_max(e)
        if at + need > out.shape[0]:
            return i, need
        at = _write_part(e, row, arena, hot, out, at)
        ends[i, 0] = at
        if masks[i] & COLD and e.cold_day != NO_UNIT:
            at = _write_part(e, row, arena, cold, out, at)
        ends[i, 1] = at
    return slots.shape[0], 0


@allocating_kernel
def _write_part(e, row, arena, coded, out, at):
    begin = at
    at += coded.header.shape[0]
    copy(coded.header, out[begin:at])
    _widen(row, coded)
    at = codec.encode(coded.scratch, coded.initial, out, at)
    ids, blocks, at = dedup.write(arena, e, coded.part, out, at)
    codec.put(out, begin + _COLD_DAY_AT, e.cold_day, 4)
    codec.put(out, begin + _IDS_AT, ids, 4)
    codec.put(out, begin + _BLOCKS_AT, blocks, 4)
    return at


@kernel(nogil=True)
def _unpack(state, rows, arena, slots, b, ends, coded):
    """Read one part of each value into its row, and the records that it has seen into the arena unless that is None.

    Return the first index that cannot be read, -1 where all can.
    """
    begin, size = np.int64(0), coded.header.shape[0]
    for i in range(slots.shape[0]):
        end = ends[i]
        if end - begin < size or not _is_ours(b, begin, coded):
            return i
        e, row = state[slots[i]], rows[slots[i]]
        at = codec.decode(b, begin + size, end, coded.initial, coded.scratch)
        if at < 0:
            return i
        _narrow(row, coded)
        if e.cold_day != np.int32(read_word(b, begin + _COLD_DAY_AT, 4)):
            return i
        ids, blocks = np.int64(read_word(b, begin + _IDS_AT, 4)), np.int64(read_word(b, begin + _BLOCKS_AT, 4))
        if dedup.read(arena, e, slots[i], coded.part, b, at, end, ids, blocks) != end:
            return i
        begin = end
    return -1


@kernel
def _is_ours(b, begin, coded):
    for i in range(_COLD_DAY_AT):
        if b[begin + i] != coded.header[i]:
            return False
    return True


@kernel
def _narrow(row, coded):
    """Do the inverse of `_widen`. Upper halves that no narrow word has, and what fills the last block, are dropped."""
    count = coded.narrow - coded.begin
    copy(coded.scratch[:count], row[coded.begin : coded.narrow])
    for i in range(coded.narrow, coded.end):
        row[i] = (coded.scratch[count] & _HALF) | coded.scratch[count + 1] << np.uint64(32)
        count += 2


_HOT, _COLD = _coded(HOT, HOT_PART), _coded(COLD, COLD_PART)
