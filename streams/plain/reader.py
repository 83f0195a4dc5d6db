"""The compiled reader: plain transactions as a bank sends them → their records of the log, but for tokens and hashes.

A transaction is plain where nothing of it can be wrong: each field once, within the bounds of its type (the tables
below are made of the types), the topic's own bank, a known currency, a time within its bounds, booked; and its text is
printing ASCII and Chinese words, which are in NFC and hold nothing unseen. Order, white space, nulls and defaults that
are said make no difference. All others are left to `domain.validate`, which is the reference: a test holds that both
give the same bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from config import words
from config.json_bytes import find, integer, is_at, quoted, table
from config.kernel import kernel
from domain.calendar import EVENT_TIME_MS_MIN
from domain.events import EVENT_BYTES_MAX, FINGERPRINT_DIGITS, SCHEMA, Txn
from domain.ids import ENTERPRISE_ID_BYTES_MAX, TOKEN_BYTES
from domain.money import CURRENCIES
from sinks.batch import encode_headers

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end

# What is told: of each record its time; of each plain one, one behind the other, the sizes of key and value, where its
# message is (as msgspec writes it), and where its fingerprint goes. And of each place of a token.
EVENT_MS, KEY_SIZE, VALUE_SIZE, MESSAGE_START, MESSAGE_END, FINGERPRINT_AT = range(6)
TOLD, OF_SIZES, OF_MESSAGES = 6, slice(KEY_SIZE, VALUE_SIZE + 1), slice(MESSAGE_START, MESSAGE_END + 1)
KIND, TEXT_START, TEXT_END, TOKEN_AT = range(4)
HOLES, OF_TOKENS = 4, slice(KIND, TEXT_END + 1)
HOLES_EACH_MAX = 3
ACCOUNT, PERSON, NAME = range(3)  # kinds of tokens
NOT_PLAIN = 2**63 - 1  # in EVENT_MS
ROOM = 288  # what key and value in the log may be longer than the message, its origin aside
HEADERS = encode_headers([("schema", SCHEMA.encode())])

_ABSENT, _UNSAID = -1, -2  # where a field would be: it has none, or one that is not written
_NEVER, _TEXT, _NUMBER, _CHOICE, _FALSE = range(5)


class _Rule(NamedTuple):
    """What the value of a field is: a number from least to most, a text of so many characters, a choice, or false."""

    kind: int
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()


_OWN_RULES = {
    # The reference tells what goes with them.
    **dict.fromkeys(("ref_event_id", "ref_event_time", "return_reason"), _Rule(_NEVER)),
    "date_only": _Rule(_FALSE),
    "status": _Rule(_CHOICE, choices=("booked",)),
    "bank_id": _Rule(_TEXT, 14, 14),  # and it is the topic's
    "enterprise_id": _Rule(_TEXT, 1, ENTERPRISE_ID_BYTES_MAX),  # and of `_ID` only
    "currency": _Rule(_CHOICE, choices=("CNY", *sorted(CURRENCIES - {"CNY"}))),
}


def _rules() -> Iterator[_Rule]:
    """Of each field of a transaction, in their order. TypeError for a type that is not known here."""
    info = msgspec.inspect.type_info(Txn)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        yield _OWN_RULES[field.name] if field.name in _OWN_RULES else _rule(field.type)


def _rule(kind: msgspec.inspect.Type) -> _Rule:
    match kind:
        case msgspec.inspect.UnionType(types=(one, msgspec.inspect.NoneType())):
            return _rule(one)
        case msgspec.inspect.IntType(gt=None, ge=int(least), lt=None, le=int(most), multiple_of=None):
            return _Rule(_NUMBER, least, most)
        case msgspec.inspect.IntType(gt=int(below), ge=None, lt=None, le=int(most), multiple_of=None):
            return _Rule(_NUMBER, below + 1, most)
        case msgspec.inspect.StrType(min_length=least, max_length=int(most), pattern=None):
            return _Rule(_TEXT, least or 0, most)
        case msgspec.inspect.LiteralType(values=values):
            return _Rule(_CHOICE, choices=tuple(map(str, values)))
    raise TypeError(f"no rule for {kind}")


_FIELDS = Txn.__struct_fields__
_RULES = tuple(_rules())
_KIND_OF, _LEAST, _MOST = (np.array(column, np.int64) for column in list(zip(*_RULES, strict=True))[:3])
_CHOICES, _CHOICES_SIZE = quoted(choice for rule in _RULES for choice in rule.choices)
_CHOICES_END = np.cumsum([len(rule.choices) for rule in _RULES])
(
    _BANK_ID, _ENTERPRISE_ID, _EVENT_TIME, _ACCOUNT, _AMOUNT, _CURRENCY,
    _OTHER_ID, _OTHER_NAME, _OTHER_ACCOUNT, _OTHER_KIND, _STATUS,
) = (
    _FIELDS.index(name)
    for name in (
        "bank_id", "enterprise_id", "event_time", "account", "amount_minor", "currency", "counterparty_id",
        "counterparty_name", "counterparty_account", "counterparty_kind", "status",
    )
)  # fmt: skip
_REQUIRED = np.array([field.required for field in msgspec.structs.fields(Txn)])
_NULLABLE = np.array([field.default is None for field in msgspec.structs.fields(Txn)])
_KEYS, _KEYS_SIZE = quoted(("type", *_FIELDS))  # field f in row f + 1
_HEADERS, _HEADERS_SIZE = table(HEADERS)
_WORDS, _WORDS_SIZE = table(b'"txn"', b"null", b"false")
_IS_TXN, _IS_NULL, _IS_FALSE = range(3)
_CNY, _CNY_SIZE = quoted(("CNY",))
_PERSONAL, _PERSONAL_SIZE = quoted(("personal",))
_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE, _BLANK, _DASH, _ZERO = (ord(c) for c in '":,{} -0')

# What is written: before each field of a message, and around it.
_FRONTS = [f',"{name}":{"" if rule.kind == _NUMBER else chr(34)}' for name, rule in zip(_FIELDS, _RULES, strict=True)]
_FRONT_END = np.cumsum([len(front) for front in _FRONTS])
_FRONT_START = np.concatenate([[0], _FRONT_END[:-1]])
_FRONT, _BEGIN, _OPENING, _FINGERPRINT_KEY, _CNY_KEY = (
    np.frombuffer(text.encode(), np.uint8)
    for text in (
        "".join(_FRONTS), '{"type":"txn"', '{"event":', ',"fingerprint":"',
        ',"amount_cny_minor":',
    )
)  # fmt: skip

_ASCII = np.array([0x20 <= byte < 0x7F and byte not in b'"\\{' for byte in range(256)])
_ID = np.array([chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-") for byte in range(256)])


@kernel(nogil=True)
def read(
    b, value_start, value_end, header_start, header_end, broker_ms, offset, first, until, tolerance_ms, bank, origin,
    text, out, told, holes, fields,
):  # fmt: skip
    """Write the log's records of plain transactions among the records from `first` on before `until`.

    bank: the topic's bank id. origin: what stands before the offset in the log's record, from behind the fingerprint
    on. text: the plain messages, as msgspec writes them; out: keys and values. What goes beyond their room is not
    plain: text needs that of each value, out that, the origin's, and ROOM. told, holes: see above. fields: (2, fields)
    of a transaction, to work in.

    Returns how many are plain, how many holes they have, and how much is written to text and to out.
    """
    end_of_text, at, hole, plain = 0, 0, 0, 0
    for i in range(until - first):
        k = first + i
        start, end = value_start[k], value_end[k]
        told[EVENT_MS, i] = NOT_PLAIN
        if (
            0 <= end - start <= EVENT_BYTES_MAX
            and end_of_text + end - start <= text.shape[0]
            and at + end - start + ROOM + origin.shape[0] <= out.shape[0]
            and header_end[k] - header_start[k] == _HEADERS_SIZE[0]
            and is_at(b, header_start[k], header_end[k], _HEADERS, _HEADERS_SIZE, 0)
            and _is_plain(b, start, end, bank, broker_ms[k] + tolerance_ms, fields)
        ):
            told[EVENT_MS, i] = integer(b, fields[0, _EVENT_TIME], fields[1, _EVENT_TIME])
            start, end = end_of_text, _write_message(b, start, end, fields, text, end_of_text)
            id_start, id_end = fields[0, _ENTERPRISE_ID], fields[1, _ENTERPRISE_ID]
            value_at = words.copy_bytes(text, id_start, id_end, out, at)
            at, hole = _write_event(text, start, end, fields, out, value_at, holes, hole)
            told[FINGERPRINT_AT, plain] = at + _FINGERPRINT_KEY.shape[0]
            at = _write_stamps(text, fields, offset[k], origin, out, at)
            told[KEY_SIZE, plain], told[VALUE_SIZE, plain] = id_end - id_start, at - value_at
            told[MESSAGE_START, plain], told[MESSAGE_END, plain] = start, end
            end_of_text = end
            plain += 1
    return plain, hole, end_of_text, at


@kernel(nogil=True)
def fill(out, told, fingerprints, holes, tokens):
    """Write fingerprints and tokens, which stand one behind the other, where `read` has left room for them."""
    for i in range(fingerprints.shape[0] // FINGERPRINT_DIGITS):
        first = i * FINGERPRINT_DIGITS
        words.copy_bytes(fingerprints, first, first + FINGERPRINT_DIGITS, out, told[FINGERPRINT_AT, i])
    for i in range(tokens.shape[0] // TOKEN_BYTES):
        words.copy_bytes(tokens, i * TOKEN_BYTES, (i + 1) * TOKEN_BYTES, out, holes[TOKEN_AT, i])


@kernel(forceinline=True)
def _is_plain(b, p, end, bank, time_ms_max, fields):
    """Whether b[p:end] is a plain transaction, and where the values of its fields are (_ABSENT, _UNSAID)."""
    for i in range(fields.shape[1]):
        fields[0, i] = _ABSENT
    is_txn, row, mark = False, -1, _OPEN
    p = _skip(b, p, end)
    while p < end and b[_U(p)] == mark:
        p = _skip(b, p + 1, end)
        if p >= end or b[_U(p)] != _QUOTE:
            return False
        row = _key(b, p + 1, end, row + 1)
        if row < 0:
            return False
        p = _skip(b, p + 1 + _KEYS_SIZE[row], end)
        if p >= end or b[_U(p)] != _COLON:
            return False
        p = _skip(b, p + 1, end)
        if row > 0:
            p = _value(b, p, end, row - 1, fields)
            if p < 0:
                return False
        elif not is_txn and is_at(b, p, end, _WORDS, _WORDS_SIZE, _IS_TXN):
            is_txn, p = True, p + _WORDS_SIZE[_IS_TXN]
        else:
            return False
        p, mark = _skip(b, p, end), _COMMA
    if not is_txn or p >= end or b[_U(p)] != _CLOSE or _skip(b, p + 1, end) != end:
        return False
    for i in range(fields.shape[1]):
        if _REQUIRED[i] and fields[0, i] < 0:
            return False
    event_ms = integer(b, fields[0, _EVENT_TIME], fields[1, _EVENT_TIME])
    return (
        EVENT_TIME_MS_MIN <= event_ms <= time_ms_max
        and _is_same(b, fields[0, _BANK_ID], bank)
        and _is_id(b, fields[0, _ENTERPRISE_ID], fields[1, _ENTERPRISE_ID])
        and (
            fields[0, _OTHER_ID] < 0
            or _is_personal(b, end, fields)
            or not _may_be_resident(b, fields[0, _OTHER_ID], fields[1, _OTHER_ID])
        )
    )


@kernel(forceinline=True)
def _skip(b, p, end):
    """The first place from p on without white space."""
    while p < end and b[_U(p)] <= _BLANK and (b[_U(p)] == _BLANK or 9 <= b[_U(p)] <= 10 or b[_U(p)] == 13):
        p += 1
    return p


@kernel(forceinline=True)
def _key(b, p, end, next_row):
    """The row of the key at b[p:], which most often is `next_row` or one behind it."""
    row = find(b, p, end, _KEYS, _KEYS_SIZE, next_row)
    return row if row >= 0 else find(b, p, end, _KEYS, _KEYS_SIZE, 0)


@kernel(forceinline=True)
def _value(b, p, end, field, fields):
    """Note where a field's value is, without quotes; the place behind it, -1 where it is not plain or stands twice."""
    kind = _KIND_OF[field]
    if fields[0, field] != _ABSENT or p >= end:
        return -1
    if _NULLABLE[field] and is_at(b, p, end, _WORDS, _WORDS_SIZE, _IS_NULL):
        fields[0, field] = _UNSAID
        return p + _WORDS_SIZE[_IS_NULL]
    if kind == _FALSE and is_at(b, p, end, _WORDS, _WORDS_SIZE, _IS_FALSE):
        fields[0, field] = _UNSAID
        return p + _WORDS_SIZE[_IS_FALSE]
    if kind == _NUMBER:
        stop = _number_end(b, p, end)
        if stop < 0 or not _LEAST[field] <= integer(b, p, stop) <= _MOST[field]:
            return -1
        fields[0, field], fields[1, field] = p, stop
        return stop
    if b[_U(p)] != _QUOTE:
        return -1
    p += 1
    if kind == _CHOICE:
        first = _CHOICES_END[field - 1] if field else 0
        row = find(b, p, end, _CHOICES, _CHOICES_SIZE, first)
        if not 0 <= row < _CHOICES_END[field]:
            return -1
        stop = p + _CHOICES_SIZE[row] - 1
    elif kind == _TEXT:
        stop, characters = _text_end(b, p, end)
        if stop < 0 or not _LEAST[field] <= characters <= _MOST[field]:
            return -1
    else:
        return -1
    fields[0, field], fields[1, field] = (_UNSAID if field == _STATUS else p), stop
    return stop + 1


@kernel(forceinline=True)
def _number_end(b, p, end):
    """The end of a whole number that is written as it should be; -1 where it is not."""
    negative = b[_U(p)] == _DASH
    first = p + 1 if negative else p
    p = first
    while p < end and _ZERO <= b[_U(p)] <= _ZERO + 9:
        p += 1
    if p == first or p >= end or (b[_U(first)] == _ZERO and (negative or p > first + 1)):
        return -1
    return p


@kernel(forceinline=True)
def _text_end(b, p, end):
    """Where the quote stands that ends a text, and its characters; -1 where not all are plain.

    Two dashes are not: somewhere among the five that begin a PEM block, two are found, in a word or one by one.
    """
    characters = 0
    while p < end:
        if p + 8 <= end:
            plain = words.trailing_zeros(_not_plain(words.load_word(b, p))) // 8
            p, characters = p + plain, characters + plain
            if plain == 8:
                continue
        byte = b[_U(p)]
        if byte == _QUOTE:
            return p, characters
        if byte < 0x80:
            if not _ASCII[_U(byte)] or (byte == _DASH and p + 1 < end and b[_U(p + 1)] == _DASH):
                return -1, 0
            p, characters = p + 1, characters + 1
        while p < end and b[_U(p)] >= 0x80:
            if p + 3 > end or not _is_word(np.int64(b[_U(p)]), np.int64(b[_U(p + 1)]), np.int64(b[_U(p + 2)])):
                return -1, 0
            p, characters = p + 3, characters + 1
    return -1, 0


@kernel(forceinline=True)
def _not_plain(word):
    """The high bit of the first byte of a word that is not plain ASCII, a quote, or a dash that needs a closer look."""
    dashes = words.bytes_equal(word, _DASH)
    return (
        words.bytes_high(word)
        | words.bytes_below(word, 0x20)
        | words.bytes_equal(word, _QUOTE)
        | words.bytes_equal(word, 0x5C)
        | words.bytes_equal(word, 0x7B)
        | words.bytes_equal(word, 0x7F)
        | (dashes & (dashes >> _U(8)))
    )


@kernel(forceinline=True)
def _is_word(first, second, third):
    """Whether three bytes are a Chinese character or punctuation mark, or full-width ASCII: what domain.validate names.

    U+3001, U+3002, U+4E00 to U+9FFF, U+FF01 to U+FF5E.
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
def _is_personal(b, end, fields):
    start = fields[0, _OTHER_KIND]
    return start >= 0 and is_at(b, start, end, _PERSONAL, _PERSONAL_SIZE, 0)


@kernel(forceinline=True)
def _may_be_resident(b, start, end):
    """Whether an id could be a resident's: 18 characters, all but the last digits, of this century or the last.

    What is one, `streams.tokens` says; this may only say yes too often.
    """
    if end - start != 18:
        return False
    for i in range(start, end - 1):
        if not _ZERO <= b[_U(i)] <= _ZERO + 9:
            return False
    century = (np.int64(b[_U(start + 6)]) - _ZERO) * 10 + (np.int64(b[_U(start + 7)]) - _ZERO)
    return century == 19 or century == 20


@kernel(forceinline=True)
def _write_message(b, p, end, fields, text, at):
    """The transaction b[p:end] as msgspec writes it; `fields` are then there. Returns the place behind it."""
    if _is_as_written(p, end, fields):
        for field in range(fields.shape[1]):
            if fields[0, field] >= 0:
                fields[0, field] += at - p
                fields[1, field] += at - p
        return words.copy_bytes(b, p, end, text, at)
    at = words.copy_bytes(_BEGIN, 0, _BEGIN.shape[0], text, at)
    for field in range(fields.shape[1]):
        start, stop = fields[0, field], fields[1, field]
        if start >= 0:
            at = words.copy_bytes(_FRONT, _FRONT_START[field], _FRONT_END[field], text, at)
            fields[0, field] = at
            fields[1, field] = at = words.copy_bytes(b, start, stop, text, at)
            if _KIND_OF[field] != _NUMBER:
                text[_U(at)] = _QUOTE
                at += 1
    text[_U(at)] = _CLOSE
    return at + 1


@kernel(forceinline=True)
def _is_as_written(p, end, fields):
    """Whether between the fields' values, in their order, there is room for what msgspec writes there and no more."""
    p += _BEGIN.shape[0]
    for field in range(fields.shape[1]):
        if fields[0, field] >= 0:
            if fields[0, field] != p + _FRONT_END[field] - _FRONT_START[field]:
                return False
            p = fields[1, field] + (_KIND_OF[field] != _NUMBER)
    return p + 1 == end


@kernel(forceinline=True)
def _write_event(b, p, end, fields, out, at, holes, hole):
    """The event of the log's record, with holes for tokens and without a counterparty's name. Returns (at, hole)."""
    at = words.copy_bytes(_OPENING, 0, _OPENING.shape[0], out, at)
    p, at, hole = _write_token(b, p, fields, _ACCOUNT, ACCOUNT, out, at, holes, hole)
    if fields[0, _OTHER_ID] >= 0 and _is_personal(b, end, fields):
        p, at, hole = _write_token(b, p, fields, _OTHER_ID, PERSON, out, at, holes, hole)
    start, stop = fields[0, _OTHER_NAME], fields[1, _OTHER_NAME]
    if start >= 0:
        at = words.copy_bytes(b, p, start - _FRONT_END[_OTHER_NAME] + _FRONT_START[_OTHER_NAME], out, at)
        if fields[0, _OTHER_ID] < 0 and fields[0, _OTHER_ACCOUNT] < 0 and not _is_blank(b, start, stop):
            at = words.copy_bytes(_FRONT, _FRONT_START[_OTHER_ID], _FRONT_END[_OTHER_ID], out, at)
            p, at, hole = _write_token(b, start, fields, _OTHER_NAME, NAME, out, at, holes, hole)
        else:
            p = stop + 1  # and the quote
    if fields[0, _OTHER_ACCOUNT] >= 0:
        p, at, hole = _write_token(b, p, fields, _OTHER_ACCOUNT, ACCOUNT, out, at, holes, hole)
    return words.copy_bytes(b, p, end, out, at), hole


@kernel(forceinline=True)
def _write_token(b, p, fields, field, kind, out, at, holes, hole):
    """What stands before a field's text, and a hole for its token; the places behind them, and the next hole."""
    start, stop = fields[0, field], fields[1, field]
    at = words.copy_bytes(b, p, start, out, at)
    holes[KIND, hole], holes[TOKEN_AT, hole] = kind, at
    holes[TEXT_START, hole], holes[TEXT_END, hole] = start, stop
    return stop, at + TOKEN_BYTES, hole + 1


@kernel(forceinline=True)
def _write_stamps(b, fields, offset, origin, out, at):
    """The rest of the log's record: a hole for the fingerprint, the origin, and what it is in CNY."""
    at = words.copy_bytes(_FINGERPRINT_KEY, 0, _FINGERPRINT_KEY.shape[0], out, at) + FINGERPRINT_DIGITS
    at = words.copy_bytes(origin, 0, origin.shape[0], out, at)
    at = _write_digits(offset, out, at)
    out[_U(at)] = ord("]")
    at += 1
    if is_at(b, fields[0, _CURRENCY], b.shape[0], _CNY, _CNY_SIZE, 0):
        at = words.copy_bytes(_CNY_KEY, 0, _CNY_KEY.shape[0], out, at)
        at = words.copy_bytes(b, fields[0, _AMOUNT], fields[1, _AMOUNT], out, at)
    out[_U(at)] = _CLOSE
    return at + 1


@kernel(forceinline=True)
def _write_digits(number, out, at):
    """A number that is not negative."""
    digits, rest = 1, number // 10
    while rest:
        digits, rest = digits + 1, rest // 10
    for i in range(digits - 1, -1, -1):
        out[_U(at + i)] = _ZERO + number % 10
        number //= 10
    return at + digits


@kernel(forceinline=True)
def _is_blank(b, start, end):
    for i in range(start, end):
        if b[_U(i)] != _BLANK:
            return False
    return True
