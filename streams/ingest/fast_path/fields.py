"""The fields of a transaction in the bytes of a record: where they are, and whether their values are plain.

A value is plain where nothing can be wrong with it: it is within the bounds of its type (the tables below are made from
the types), and its text is printing ASCII and Chinese characters, which are in NFC and hide nothing.

In all kernels `b` is uint8 (bytes) and positions are indexes into it; `fields` is int64 (2, fields of Txn), begin and
end of each value, or ABSENT or UNWRITTEN as its begin.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from domain.calendar import EVENT_TIME_MS_MIN
from domain.events import SCHEMA, Txn
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from domain.money import CURRENCIES
from kernels import words
from kernels.decorators import kernel
from kernels.json_bytes import find, find_near, integer, is_at, quoted, table
from sinks.batch import encode_headers
from streams.ingest.fast_path.personal_scan import KEPT, REPLACED, may_be_personal, may_hold_number, party

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end

ABSENT, UNWRITTEN = -1, -2  # where a field would be: it has none, or one that is not written
_NEVER, TEXT, NUMBER, _CHOICE, _FALSE = range(5)


class _Rule(NamedTuple):
    """The values that a field may have: a number from least to most, a text of some characters, a choice, or false."""

    kind: int
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()


_OWN_RULES = {
    # The reference tells what goes with them.
    **dict.fromkeys(("ref_event_id", "ref_event_time", "return_reason"), _Rule(_NEVER)),
    "date_only": _Rule(_FALSE),
    "status": _Rule(_CHOICE, choices=("booked",)),
    "bank_id": _Rule(TEXT, 14, 14),  # and it is the topic's
    "enterprise_id": _Rule(TEXT, 1, ENTERPRISE_ID_BYTES_MAX),  # and of `_ID` only
    "currency": _Rule(_CHOICE, choices=("CNY", *sorted(CURRENCIES - {"CNY"}))),
}


def _rules() -> Iterator[_Rule]:
    """Yield the rule of each field of a transaction, in their order.

    Raise TypeError where a field has an unknown type.
    """
    info = msgspec.inspect.type_info(Txn)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        yield _OWN_RULES[field.name] if field.name in _OWN_RULES else _rule(field.type)


def _rule(kind: msgspec.inspect.Type) -> _Rule:
    match kind:
        case msgspec.inspect.UnionType(types=(one, msgspec.inspect.NoneType())):
            return _rule(one)
        case msgspec.inspect.IntType(gt=None, ge=int(least), lt=None, le=int(most), multiple_of=None):
            return _Rule(NUMBER, least, most)
        case msgspec.inspect.IntType(gt=int(below), ge=None, lt=None, le=int(most), multiple_of=None):
            return _Rule(NUMBER, below + 1, most)
        case msgspec.inspect.StrType(min_length=least, max_length=int(most), pattern=None):
            return _Rule(TEXT, least or 0, most)
        case msgspec.inspect.LiteralType(values=values):
            return _Rule(_CHOICE, choices=tuple(map(str, values)))
    raise TypeError(f"no rule for {kind}")


_FIELDS = Txn.__struct_fields__
RULES = tuple(_rules())
KIND_OF, LEAST, _MOST = (np.array(column, np.int64) for column in list(zip(*RULES, strict=True))[:3])
_CHOICES, _CHOICES_SIZE = quoted(choice for rule in RULES for choice in rule.choices)
_CHOICES_END = np.cumsum([len(rule.choices) for rule in RULES])
(
    BANK_ID, ENTERPRISE_ID, EVENT_TIME, ACCOUNT, AMOUNT, CURRENCY,
    OTHER_ID, OTHER_NAME, OTHER_ACCOUNT, OTHER_KIND, _STATUS, MEMO,
) = (
    _FIELDS.index(name)
    for name in (
        "bank_id", "enterprise_id", "event_time", "account", "amount_minor", "currency", "counterparty_id",
        "counterparty_name", "counterparty_account", "counterparty_kind", "status", "memo",
    )
)  # fmt: skip
_REQUIRED = np.array([field.required for field in msgspec.structs.fields(Txn)])
_NULLABLE = np.array([field.default is None for field in msgspec.structs.fields(Txn)])
_KEYS, _KEYS_SIZE = quoted(("type", *_FIELDS))  # field f in row f + 1
_WORDS, _WORDS_SIZE = table(b'"txn"', b"null", b"false")
_IS_TXN, _IS_NULL, _IS_FALSE = range(3)
_PERSONAL, _PERSONAL_SIZE = quoted(("personal",))
QUOTE, COLON, COMMA, OPEN, CLOSE, BLANK, DASH, ZERO = (ord(c) for c in '":,{} -0')
_HEADERS, _HEADERS_SIZE = table(encode_headers([("schema", SCHEMA.encode())]))
_ASCII = np.array([0x20 <= byte < 0x7F and byte not in b'"\\{' for byte in range(256)])
_ID = np.array([chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-") for byte in range(256)])


@kernel(forceinline=True)
def is_ours(b, header_start, header_end):
    """Return whether a record's headers are our schema header and nothing else."""
    return header_end - header_start == _HEADERS_SIZE[0] and is_at(
        b, header_start, header_end, _HEADERS, _HEADERS_SIZE, 0
    )


@kernel(forceinline=True)
def is_plain(b, p, end, bank, time_ms_max, fields):
    """Return whether b[p:end] is a plain transaction, but for its counterparty's id; fill `fields` with the places."""
    for i in range(fields.shape[1]):
        fields[0, i] = ABSENT
    is_txn, row, mark = False, -1, OPEN
    p = skip(b, p, end)
    while p < end and b[_U(p)] == mark:
        p = skip(b, p + 1, end)
        if p >= end or b[_U(p)] != QUOTE:
            return False
        row = key_at(b, p + 1, end, row + 1)
        if row < 0:
            return False
        p = skip(b, p + 1 + _KEYS_SIZE[row], end)
        if p >= end or b[_U(p)] != COLON:
            return False
        p = skip(b, p + 1, end)
        if row > 0:
            p = value_end(b, p, end, row - 1, fields)
            if p < 0:
                return False
        elif not is_txn and is_at(b, p, end, _WORDS, _WORDS_SIZE, _IS_TXN):
            is_txn, p = True, p + _WORDS_SIZE[_IS_TXN]
        else:
            return False
        p, mark = skip(b, p, end), COMMA
    if not is_txn or p >= end or b[_U(p)] != CLOSE or skip(b, p + 1, end) != end:
        return False
    for i in range(fields.shape[1]):
        if _REQUIRED[i] and fields[0, i] < 0:
            return False
    return (
        is_right(b, EVENT_TIME, bank, time_ms_max, fields)
        and is_right(b, BANK_ID, bank, time_ms_max, fields)
        and is_right(b, ENTERPRISE_ID, bank, time_ms_max, fields)
        and not may_hold_number(
            b,
            fields[0, MEMO],
            fields[1, MEMO],
            fields[0, ACCOUNT],
            fields[1, ACCOUNT],
            fields[0, OTHER_ACCOUNT],
            fields[1, OTHER_ACCOUNT],
        )
    )


@kernel(forceinline=True)
def is_right(b, field, bank, time_ms_max, fields):
    """Return whether a field's plain value is valid for this record: its bank, its time, its enterprise."""
    start, stop = fields[0, field], fields[1, field]
    if field == BANK_ID:
        return _is_same(b, start, bank)
    if field == ENTERPRISE_ID:
        return _is_id(b, start, stop) and not may_be_personal(b, start, stop)
    return field != EVENT_TIME or EVENT_TIME_MS_MIN <= integer(b, start, stop) <= time_ms_max


@kernel(forceinline=True)
def skip(b, p, end):
    """Return the first position from p on that is not white space."""
    while p < end and b[_U(p)] <= BLANK and (b[_U(p)] == BLANK or 9 <= b[_U(p)] <= 10 or b[_U(p)] == 13):
        p += 1
    return p


@kernel(forceinline=True)
def key_at(b, p, end, next_row):
    """Return the row of the key at b[p:], which most often is `next_row` or one behind it."""
    return find_near(b, p, end, _KEYS, _KEYS_SIZE, next_row)


@kernel(forceinline=True)
def value_end(b, p, end, field, fields):
    """Note where a field's value is, without quotes.

    Return the position after it; -1 where it is not plain or comes twice.
    """
    kind = KIND_OF[field]
    if fields[0, field] != ABSENT or p >= end:
        return -1
    if _NULLABLE[field] and is_at(b, p, end, _WORDS, _WORDS_SIZE, _IS_NULL):
        fields[0, field] = UNWRITTEN
        return p + _WORDS_SIZE[_IS_NULL]
    if kind == _FALSE and is_at(b, p, end, _WORDS, _WORDS_SIZE, _IS_FALSE):
        fields[0, field] = UNWRITTEN
        return p + _WORDS_SIZE[_IS_FALSE]
    if kind == NUMBER:
        stop = number_end(b, p, end)
        if stop < 0 or not LEAST[field] <= integer(b, p, stop) <= _MOST[field]:
            return -1
        fields[0, field], fields[1, field] = p, stop
        return stop
    if b[_U(p)] != QUOTE:
        return -1
    p += 1
    if kind == _CHOICE:
        first = _CHOICES_END[field - 1] if field else 0
        row = find(b, p, end, _CHOICES, _CHOICES_SIZE, first)
        if not 0 <= row < _CHOICES_END[field]:
            return -1
        stop = p + _CHOICES_SIZE[row] - 1
    elif kind == TEXT:
        stop, characters = text_end(b, p, end)
        if stop < 0 or not LEAST[field] <= characters <= _MOST[field]:
            return -1
    else:
        return -1
    fields[0, field], fields[1, field] = (UNWRITTEN if field == _STATUS else p), stop
    return stop + 1


@kernel(forceinline=True)
def number_end(b, p, end):
    """Return the end of an integer in JSON's notation at p; -1 where it is not one."""
    negative = b[_U(p)] == DASH
    first = p + 1 if negative else p
    p = first
    while p < end and ZERO <= b[_U(p)] <= ZERO + 9:
        p += 1
    if p == first or p >= end or (b[_U(first)] == ZERO and (negative or p > first + 1)):
        return -1
    return p


@kernel(forceinline=True)
def text_end(b, p, end):
    """Return the position of the quote that ends a text, and the number of characters; -1 where not all are plain.

    Two dashes in a row are not: a PEM block begins with five, of which two are found whether read by word or by byte.
    """
    characters = 0
    while p < end:
        if p + 8 <= end:
            plain = words.trailing_zeros(_not_plain(words.load_word(b, p))) // 8
            p, characters = p + plain, characters + plain
            if plain == 8:
                continue
        byte = b[_U(p)]
        if byte == QUOTE:
            return p, characters
        if byte < 0x80:
            if not _ASCII[_U(byte)] or (byte == DASH and p + 1 < end and b[_U(p + 1)] == DASH):
                return -1, 0
            p, characters = p + 1, characters + 1
        while p < end and b[_U(p)] >= 0x80:
            if p + 3 > end or not _is_word(np.int64(b[_U(p)]), np.int64(b[_U(p + 1)]), np.int64(b[_U(p + 2)])):
                return -1, 0
            p, characters = p + 3, characters + 1
    return -1, 0


@kernel(forceinline=True)
def _not_plain(word):
    """Return the high bit of the first byte of a word that is not plain ASCII, a quote, or a dash to look at closer."""
    dashes = words.bytes_equal(word, DASH)
    return (
        words.bytes_high(word)
        | words.bytes_below(word, 0x20)
        | words.bytes_equal(word, QUOTE)
        | words.bytes_equal(word, 0x5C)
        | words.bytes_equal(word, 0x7B)
        | words.bytes_equal(word, 0x7F)
        | (dashes & (dashes >> _U(8)))
    )


@kernel(forceinline=True)
def _is_word(first, second, third):
    """Return whether three bytes are a Chinese character or punctuation mark, or full-width ASCII.

    domain.validate has the same: U+3001, U+3002, U+4E00 to U+9FFF, U+FF01 to U+FF5E.
    """
    if not (0x80 <= second <= 0xBF and 0x80 <= third <= 0xBF):
        return False
    code = ((first & 0x0F) << 12) | ((second & 0x3F) << 6) | (third & 0x3F)
    return first >> 4 == 0xE and (
        0x4E00 <= code <= 0x9FFF or 0xFF01 <= code <= 0xFF5E or code == 0x3001 or code == 0x3002
    )


@kernel(forceinline=True)
def _is_same(b, p, text):
    for i in range(text.shape[0]):
        if b[_U(p + i)] != text[_U(i)]:
            return False
    return True


@kernel(forceinline=True)
def _is_id(b, start, end):
    for i in range(start, end):
        if not _ID[_U(b[_U(i)])]:
            return False
    return True


@kernel(forceinline=True)
def other_party(b, end, fields):
    """Return whether the counterparty's id is KEPT, REPLACED by a token, or UNSURE; KEPT where there is none."""
    if fields[0, OTHER_ID] < 0:
        return KEPT
    kind = fields[0, OTHER_KIND]
    if kind >= 0 and is_at(b, kind, end, _PERSONAL, _PERSONAL_SIZE, 0):
        return REPLACED
    return party(b, fields[0, OTHER_ID], fields[1, OTHER_ID])
