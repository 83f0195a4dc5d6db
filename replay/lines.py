"""Outputs as lines of JSON, in an order that does not hang on how a log was replayed.

A partition after the other; in it by topic, then by the offset of the record of the log that an output follows from,
by key, and what one record brought an enterprise as it came. After these, by key and as they came, the notices to
banks that another bank has something: they have no offset.
"""

import re
from typing import Any

import msgspec
import numpy as np

from domain import topics
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from kernels.decorators import kernel
from kernels.json_bytes import integer, is_at, table
from kernels.words import copy_bytes
from sinks.batch import KeyAndValue, Records

_LETTERS = frozenset({topics.LATE, topics.DEAD_LETTERS})
_WORDS, _SIZES = table(b',"offset":', b',"seq":')  # what stands before the numbers that an output ends with
_OFFSET, _SEQ = 0, 1
_TAIL = re.compile(rb',"offset":(\d+),"seq":\d+\}\Z')
_WITHOUT_OFFSET = b',"offset":-1,"seq":0}'  # at the end of a notice (streams/score/alerts.py)
AFTER_ALL = 2**63 - 1  # in place of the offset that a notice has not
_KEY = b'","value":'
_END = b"}\n"
_encode = msgspec.json.Encoder().encode


class Letter(msgspec.Struct):
    """The place of a record that was late or could not be applied."""

    topic: str
    partition: int
    offset: int


letter = msgspec.json.Decoder(Letter).decode


class _OutputLine(msgspec.Struct, frozen=True):
    topic: str
    key: str | None
    value: msgspec.Raw


def line(topic: str, key: bytes | None, value: bytes) -> bytes:
    """Return one output as a line."""
    return (
        _encode(_OutputLine(topic, key.decode(errors="backslashreplace") if key else None, msgspec.Raw(value))) + b"\n"
    )


def offset_of(topic: str, value: bytes) -> int:
    """Return the offset of the record of the log that an output follows from; AFTER_ALL for a notice.

    Raise ValueError for other outputs without one.
    """
    if topic in _LETTERS:
        return letter(value).offset
    if _is_notice(topic, value):
        return AFTER_ALL
    found = _TAIL.search(value)
    if found is None:
        raise ValueError(f"{topic}: an output without the offset that it follows from: {value[-80:]!r}")
    return int(found[1])


def without_notices(topic: str, records: Records) -> tuple[Records, list[KeyAndValue]]:
    """Return the records of a topic that have an offset, and the notices among them."""
    if not topics.is_alert(topic) or _WITHOUT_OFFSET not in records.blob:
        return records, []
    others, notices = list[KeyAndValue](), list[KeyAndValue]()
    for key, value in records:
        (notices if _is_notice(topic, value or b"") else others).append((key, value))
    return Records.of(others), notices


def _is_notice(topic: str, value: bytes) -> bool:
    return topics.is_alert(topic) and value.endswith(_WITHOUT_OFFSET)


def lines_of(topic: str, records: Records) -> bytes:
    """Return the lines of outputs of one topic and partition, in order.

    The outputs follow from consecutive records of the log.
    """
    if topic in _LETTERS:
        return _lines_of_letters(topic, records)
    blob, n = np.frombuffer(records.blob, np.uint8), len(records)
    ends = np.cumsum(np.maximum(records.sizes, 0).ravel()).reshape(-1, 2)
    offsets, keys = np.empty(n, np.int64), np.zeros((n, ENTERPRISE_ID_BYTES_MAX), np.uint8)
    strange = _read(blob, records.sizes, ends, offsets, keys)
    if strange < n:
        raise ValueError(f"{topic}: an output without an enterprise, or the offset that it follows from")
    order = np.arange(n)
    if not (np.diff(offsets) > 0).all():
        order = np.lexsort((keys.view(f"S{ENTERPRISE_ID_BYTES_MAX}").ravel(), offsets))
    head = np.frombuffer(f'{{"topic":"{topic}","key":"'.encode(), np.uint8)
    key, end = np.frombuffer(_KEY, np.uint8), np.frombuffer(_END, np.uint8)
    out = np.empty(len(blob) + n * (len(head) + len(key) + len(end)), np.uint8)
    _write(blob, records.sizes, ends, order, head, key, end, out)
    return out.tobytes()


def _lines_of_letters(topic: str, records: Records) -> bytes:
    rows = [(letter(value or b"").offset, key or b"", value or b"") for key, value in records]
    rows.sort(key=lambda row: row[:2])
    return b"".join(line(topic, key, value) for _, key, value in rows)


@kernel(nogil=True)
def _read(blob: Any, sizes: Any, ends: Any, offsets: Any, keys: Any) -> Any:
    """Fill the offsets that outputs follow from, and their keys (n, 32).

    Return where it stopped, n unless one has none.
    """
    for i in range(sizes.shape[0]):
        begin, end = ends[i, 0], ends[i, 1] - 1
        if not 0 < sizes[i, 0] <= ENTERPRISE_ID_BYTES_MAX or sizes[i, 1] < 1:
            return i
        copy_bytes(blob, begin - sizes[i, 0], begin, keys[i], 0)
        seq = _number_before(blob, begin, end, _SEQ)
        offset_end = seq - _SIZES[_SEQ]
        offset = _number_before(blob, begin, offset_end, _OFFSET)
        if seq < 0 or offset < 0:
            return i
        offsets[i] = integer(blob, offset, offset_end)
    return sizes.shape[0]


@kernel
def _number_before(blob: Any, begin: Any, end: Any, name: Any) -> Any:
    """Return the place of the number that ends at `end`; -1 where there is none, or under another name."""
    p = np.int64(end)
    while p > begin and 48 <= blob[p - 1] <= 57:
        p -= 1
    named = p - _SIZES[name]
    return p if begin <= named and p < end and is_at(blob, named, end, _WORDS, _SIZES, name) else np.int64(-1)


@kernel(nogil=True)
def _write(blob: Any, sizes: Any, ends: Any, order: Any, head: Any, key: Any, end: Any, out: Any) -> Any:
    at = 0
    for i in order:
        at = copy_bytes(head, 0, head.shape[0], out, at)
        at = copy_bytes(blob, ends[i, 0] - sizes[i, 0], ends[i, 0], out, at)
        at = copy_bytes(key, 0, key.shape[0], out, at)
        at = copy_bytes(blob, ends[i, 0], ends[i, 1], out, at)
        at = copy_bytes(end, 0, end.shape[0], out, at)
    return at
