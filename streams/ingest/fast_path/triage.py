"""Triage of slow-path records: secret scan and error signature.

A record holds no secret where each name in it is one of ours, as it is usually written, and there are neither escapes
nor two dashes, of which five begin a PEM block. A name is text between two quotes with a colon next, in broken
JSON too.

The error signature of a transaction is its bytes without the values that are valid whatever the others are; a mark
stands for a value that is invalid whatever it is exactly (a text for a number, a number out of bounds). So records of
one signature are refused for the same reason. A record has no signature where the reason may depend on more (another
time, the topic's bank), or where it is nested, escaped, or of another type.

A test holds that `domain.validate` and `domain.credentials`, the reference, agree.
"""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from config.credentials import forbidden, names_of_events
from domain.events import EVENT_BYTES_MAX, AnyEvent, Txn
from kernels import words
from kernels.decorators import kernel
from kernels.json_bytes import find, find_near, integer, quoted, string_end, table
from streams.ingest.fast_path.fields import (
    ABSENT,
    BLANK,
    CLOSE,
    COLON,
    COMMA,
    DASH,
    ENTERPRISE_ID,
    KIND_OF,
    LEAST,
    NUMBER,
    OPEN,
    QUOTE,
    TEXT,
    ZERO,
    is_ours,
    is_right,
    key_at,
    number_end,
    skip,
    text_end,
    value_end,
)
from streams.transport.chunk import Chunk

FAULT_BYTES_MAX = 512

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end
_BACKSLASH = ord("\\")
_TYPES = [str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)]
_OTHER_TYPES, _OTHER_TYPES_SIZE = table(*(b'"%s"' % kind.encode() for kind in _TYPES if kind != "txn"))
# Told to the kernel at each call: the hash of what is compiled does not look at `config/credentials.toml`.
_NAMES = quoted(name for name in names_of_events() if name in forbidden().harmless)
_BARE = np.array([chr(byte).isascii() and (chr(byte).isalnum() or byte in b"+-.") for byte in range(256)])
_HANGS_ON_MORE = np.isin(Txn.__struct_fields__, ["bank_id", "event_time", "date_only", "ref_event_time"])
_NONE = -1
_TYPE = -1  # in place of a field
_ITSELF, _DIGITS_MAX = 0, 18
_ANY_TEXT, _ANY_INTEGER, _ANY_FRACTION, _BELOW, _BEYOND = (ord(c) for c in "$#~<>")  # with which no value begins


class Triage(NamedTuple):
    """Triage of a slow-path record.

    is_harmless: it holds no secret. fault: its error signature, None where it has none.
    """

    is_harmless: bool
    fault: bytes | None


def look(
    chunk: Chunk, which: Sequence[int], bank: npt.NDArray[np.uint8], tolerance_ms: int, fields: npt.NDArray[np.int64]
) -> list[Triage]:
    """Return the triage of the records `which` of a bank. fields: int64 (2, fields of Txn), scratch."""
    harmless, ends = np.empty(len(which), np.bool_), np.empty(len(which), np.int64)
    out = np.empty(len(which) * FAULT_BYTES_MAX, np.uint8)
    _look(
        chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end, chunk.timestamp_ms,
        np.array(which, np.int64), bank, tolerance_ms, *_NAMES, fields, harmless, ends, out,
    )  # fmt: skip
    faults: list[bytes | None] = []
    at, written = 0, out[: ends.max(initial=0)].tobytes()
    for end in ends.tolist():
        faults.append(None if end == _NONE else written[at:end])
        at = max(at, end)
    return list(map(Triage, harmless.tolist(), faults))


@kernel
def _look(
    b, value_start, value_end, header_start, header_end, broker_ms, which, bank, tolerance_ms, names, names_size,
    fields, harmless, ends, out,
):  # fmt: skip
    at = 0
    for i in range(which.shape[0]):
        k = which[i]
        start, end = value_start[k], value_end[k]
        harmless[i] = _is_harmless(b, start, end, names, names_size)
        ends[i] = _NONE
        if end - start <= EVENT_BYTES_MAX and is_ours(b, header_start[k], header_end[k]):
            ends[i] = _write_fault(b, start, end, bank, broker_ms[k] + tolerance_ms, fields, out, at)
            at = max(at, ends[i])


@kernel
def _is_harmless(b, p, end, names, names_size):
    before, row = p, -1  # behind the last quote; the last name's place in the table
    while p < end:
        if p + 8 <= end:
            others = words.trailing_zeros(_marks(words.load_word(b, p))) // 8
            p += others
            if others == 8:
                continue
        byte = b[_U(p)]
        if byte == _BACKSLASH or (byte == DASH and p + 1 < end and b[_U(p + 1)] == DASH):
            return False
        p += 1
        if byte == QUOTE:
            if _is_name(b, p, end):
                row = find_near(b, before, p, names, names_size, row + 1)
                if row < 0:
                    return False
            before = p
    return True


@kernel(forceinline=True)
def _marks(word):
    """Return the high bit of the first byte of a word that is a quote, an escape or a dash."""
    return words.bytes_equal(word, QUOTE) | words.bytes_equal(word, _BACKSLASH) | words.bytes_equal(word, DASH)


@kernel(forceinline=True)
def _is_name(b, p, end):
    """Return whether the string that the quote before p ends may be a name.

    It is one where a colon comes next, after white space or bytes that may be some (all but printing ASCII).
    """
    while p < end and (b[_U(p)] <= BLANK or b[_U(p)] >= 0x7F):
        p += 1
    return p < end and b[_U(p)] == COLON


@kernel
def _write_fault(b, p, end, bank, time_ms_max, fields, out, at):
    """Write each name in b[p:end], and after a colon its value where that is not plain.

    Return the position, or _NONE.
    """
    room = at + FAULT_BYTES_MAX
    for i in range(fields.shape[1]):
        fields[0, i] = ABSENT
    row, mark = -1, OPEN
    p = skip(b, p, end)
    while p < end and b[_U(p)] == mark:
        name = skip(b, p + 1, end)
        if name >= end or b[_U(name)] != QUOTE:
            return _NONE
        stop = string_end(b, name + 1, end) + 1
        if stop == 0 or at + stop - name > room:
            return _NONE
        row = key_at(b, name + 1, end, row + 1)
        at = words.copy_bytes(b, name, stop, out, at)
        p = skip(b, stop, end)
        if p >= end or b[_U(p)] != COLON:
            return _NONE
        p = skip(b, p + 1, end)
        stop = value_end(b, p, end, row - 1, fields) if row > 0 else _NONE
        if stop < 0 or (stop < end and _BARE[_U(b[_U(stop)])]) or not is_right(b, row - 1, bank, time_ms_max, fields):
            stop = _scalar_end(b, p, end)
            if stop < 0 or at + 1 + stop - p > room or (row > 0 and _HANGS_ON_MORE[row - 1]):
                return _NONE
            if row == 0 and find(b, p, end, _OTHER_TYPES, _OTHER_TYPES_SIZE, 0) >= 0:
                return _NONE
            at = _write_value(b, p, stop, end, row - 1, out, at)
        p, mark = skip(b, stop, end), COMMA
    return at if p < end and b[_U(p)] == CLOSE and skip(b, p + 1, end) == end else _NONE


@kernel(forceinline=True)
def _scalar_end(b, p, end):
    """Return the position after a string without escapes, or a run of characters of numbers and words; else _NONE."""
    if p < end and b[_U(p)] == QUOTE:
        return string_end(b, p + 1, end) + 1 or _NONE
    start = p
    while p < end and _BARE[_U(b[_U(p)])]:
        p += 1
    return p if p > start else _NONE


@kernel(forceinline=True)
def _write_value(b, p, stop, end, field, out, at):
    """Write a colon, and the value b[p:stop] or the mark that stands for it; return the position after it."""
    mark = _mark(b, p, stop, end, field)
    out[_U(at)] = COLON
    if mark == _ITSELF:
        return words.copy_bytes(b, p, stop, out, at + 1)
    out[_U(at + 1)] = mark
    return at + 2


@kernel(forceinline=True)
def _mark(b, p, stop, end, field):
    """Return the mark for a field's value.

    A field below 0 is an unknown one, or the type, whose value the reason names.
    """
    if field == _TYPE:
        return _ITSELF
    kind = KIND_OF[field] if field >= 0 else NUMBER
    if b[_U(p)] == QUOTE and (kind == NUMBER or (kind == TEXT and field != ENTERPRISE_ID)):
        last, characters = text_end(b, p + 1, end)
        if last != stop - 1:
            return _ITSELF
        return _ANY_TEXT if kind == NUMBER else _BELOW if characters < LEAST[field] else _BEYOND
    if kind != NUMBER:
        return _ITSELF
    whole = number_end(b, p, end)
    if whole < 0 or stop - p > _DIGITS_MAX:
        return _ITSELF
    if whole == stop:
        if field < 0:
            return _ANY_INTEGER
        return _BELOW if integer(b, p, stop) < LEAST[field] else _BEYOND
    return _ANY_FRACTION if _is_fraction(b, whole, stop) else _ITSELF


@kernel(forceinline=True)
def _is_fraction(b, p, stop):
    """Return whether b[p:stop] is a point and digits."""
    for i in range(p + 1, stop):
        if not ZERO <= b[_U(i)] <= ZERO + 9:
            return False
    return b[_U(p)] == ord(".") and p + 1 < stop
