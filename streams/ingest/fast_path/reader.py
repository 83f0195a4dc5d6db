"""The fast path: transactions whose bytes cannot be wrong become records of the log, but for tokens.

A record takes the fast path where each value is plain (fields.py), each field is there once, the bank is the topic's
own, and the time is within its bounds. Order, white space, nulls and explicit defaults make no difference. All others
take the slow path, `domain.validate`, which is the reference: a test holds that both give the same bytes.
"""

import numpy as np

from domain.events import EVENT_BYTES_MAX, Txn
from domain.ids import TOKEN_BYTES
from kernels import words
from kernels.decorators import kernel
from kernels.json_bytes import integer, is_at, quoted
from streams.ingest.fast_path.fields import (
    ACCOUNT,
    AMOUNT,
    BLANK,
    CLOSE,
    CURRENCY,
    ENTERPRISE_ID,
    EVENT_TIME,
    KIND_OF,
    NUMBER,
    OTHER_ACCOUNT,
    OTHER_ID,
    OTHER_NAME,
    QUOTE,
    RULES,
    ZERO,
    is_ours,
    is_plain,
    other_party,
)
from streams.ingest.fast_path.personal_scan import REPLACED, UNSURE
from streams.ingest.fingerprint import put_fingerprint

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end

# Columns of records: the event time of each; of those on the fast path, in their order, the sizes of key and value.
# Columns of token slots follow.
EVENT_MS, KEY_SIZE, VALUE_SIZE = range(3)
RECORD_COLUMNS, OF_SIZES = 3, slice(KEY_SIZE, VALUE_SIZE + 1)
KIND, TEXT_START, TEXT_END, TOKEN_AT = range(4)
TOKEN_SLOTS, OF_TOKENS = 4, slice(KIND, TEXT_END + 1)
TOKEN_SLOTS_EACH_MAX = 3
AN_ACCOUNT, A_PERSON, A_NAME = range(3)  # kinds of tokens
SLOW_PATH = 2**63 - 1  # in EVENT_MS
ROOM = 288  # what key and value in the log may be longer than the message, its origin aside

_CNY, _CNY_SIZE = quoted(("CNY",))
# What is written: before each field of a message, and around it.
_FRONTS = [
    f',"{name}":{"" if rule.kind == NUMBER else chr(34)}'
    for name, rule in zip(Txn.__struct_fields__, RULES, strict=True)
]
_FRONT_END = np.cumsum([len(front) for front in _FRONTS])
_FRONT_START = np.concatenate([[0], _FRONT_END[:-1]])
_FRONT, _BEGIN, _OPENING, _FINGERPRINT, _CNY_KEY = (
    np.frombuffer(text.encode(), np.uint8)
    for text in (
        "".join(_FRONTS), '{"type":"txn"', '{"event":', ',"fingerprint":"',
        ',"amount_cny_minor":',
    )
)  # fmt: skip


@kernel(nogil=True)
def read(
    b, value_start, value_end, header_start, header_end, broker_ms, offset, first, until, tolerance_ms, bank, origin,
    fingerprint_key, text, out, columns, token_slots, fields,
):  # fmt: skip
    """Write records of the log for the transactions in [first, until) that take the fast path.

    bank: bytes of the topic's bank id. origin: the bytes between fingerprint and offset in a record of the log.
    fingerprint_key: uint64 (2,).
    text: receives the messages as msgspec writes them; out: keys and values, both uint8. A record without room in them
    takes the slow path: text needs the size of each value, out that, the origin's, and ROOM. columns: int64
    (RECORD_COLUMNS, records); token_slots: int64 (TOKEN_SLOTS, slots); fields: int64 (2, fields), scratch.

    Return the number of records on the fast path, of their token slots, and of bytes in text and in out.
    """
    end_of_text, at, hole, plain = 0, 0, 0, 0
    for i in range(until - first):
        k = first + i
        start, end = value_start[k], value_end[k]
        columns[EVENT_MS, i] = SLOW_PATH
        if not (
            0 <= end - start <= EVENT_BYTES_MAX
            and end_of_text + end - start <= text.shape[0]
            and at + end - start + ROOM + origin.shape[0] <= out.shape[0]
            and is_ours(b, header_start[k], header_end[k])
            and is_plain(b, start, end, bank, broker_ms[k] + tolerance_ms, fields)
        ):
            continue
        other = other_party(b, end, fields)
        if other == UNSURE:
            continue
        columns[EVENT_MS, i] = integer(b, fields[0, EVENT_TIME], fields[1, EVENT_TIME])
        start, end = end_of_text, _write_message(b, start, end, fields, text, end_of_text)
        id_start, id_end = fields[0, ENTERPRISE_ID], fields[1, ENTERPRISE_ID]
        value_at = words.copy_bytes(text, id_start, id_end, out, at)
        at, hole = _write_event(text, start, end, fields, other == REPLACED, out, value_at, token_slots, hole)
        at = words.copy_bytes(_FINGERPRINT, 0, _FINGERPRINT.shape[0], out, at)
        at = put_fingerprint(text, start, end, fingerprint_key, out, at)
        at = _write_stamps(text, fields, offset[k], origin, out, at)
        columns[KEY_SIZE, plain], columns[VALUE_SIZE, plain] = id_end - id_start, at - value_at
        end_of_text = end
        plain += 1
    return plain, hole, end_of_text, at


@kernel(nogil=True)
def fill(out, token_slots, tokens):
    """Write tokens, concatenated uint8, into the places that `read` has left for them."""
    for i in range(tokens.shape[0] // TOKEN_BYTES):
        words.copy_bytes(tokens, i * TOKEN_BYTES, (i + 1) * TOKEN_BYTES, out, token_slots[TOKEN_AT, i])


@kernel(forceinline=True)
def _write_message(b, p, end, fields, text, at):
    """Write the transaction b[p:end] as msgspec would; `fields` then points into `text`.

    Return the position after it.
    """
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
            if KIND_OF[field] != NUMBER:
                text[_U(at)] = QUOTE
                at += 1
    text[_U(at)] = CLOSE
    return at + 1


@kernel(forceinline=True)
def _is_as_written(p, end, fields):
    """Return whether the gaps between the fields' values are exactly those that msgspec writes."""
    p += _BEGIN.shape[0]
    for field in range(fields.shape[1]):
        if fields[0, field] >= 0:
            if fields[0, field] != p + _FRONT_END[field] - _FRONT_START[field]:
                return False
            p = fields[1, field] + (KIND_OF[field] != NUMBER)
    return p + 1 == end


@kernel(forceinline=True)
def _write_event(b, p, end, fields, is_hidden, out, at, token_slots, hole):
    """Write the event of a record, with slots for tokens, without a counterparty's name; return (at, next slot).

    is_hidden: a token stands for the counterparty's id.
    """
    at = words.copy_bytes(_OPENING, 0, _OPENING.shape[0], out, at)
    p, at, hole = _write_token(b, p, fields, ACCOUNT, AN_ACCOUNT, out, at, token_slots, hole)
    if is_hidden:
        p, at, hole = _write_token(b, p, fields, OTHER_ID, A_PERSON, out, at, token_slots, hole)
    start, stop = fields[0, OTHER_NAME], fields[1, OTHER_NAME]
    if start >= 0:
        at = words.copy_bytes(b, p, start - _FRONT_END[OTHER_NAME] + _FRONT_START[OTHER_NAME], out, at)
        if fields[0, OTHER_ID] < 0 and fields[0, OTHER_ACCOUNT] < 0 and not _is_blank(b, start, stop):
            at = words.copy_bytes(_FRONT, _FRONT_START[OTHER_ID], _FRONT_END[OTHER_ID], out, at)
            p, at, hole = _write_token(b, start, fields, OTHER_NAME, A_NAME, out, at, token_slots, hole)
        else:
            p = stop + 1  # and the quote
    if fields[0, OTHER_ACCOUNT] >= 0:
        p, at, hole = _write_token(b, p, fields, OTHER_ACCOUNT, AN_ACCOUNT, out, at, token_slots, hole)
    return words.copy_bytes(b, p, end, out, at), hole


@kernel(forceinline=True)
def _write_token(b, p, fields, field, kind, out, at, token_slots, hole):
    """Write the bytes before a field's text and a slot for its token; return (at, next slot)."""
    start, stop = fields[0, field], fields[1, field]
    at = words.copy_bytes(b, p, start, out, at)
    token_slots[KIND, hole], token_slots[TOKEN_AT, hole] = kind, at
    token_slots[TEXT_START, hole], token_slots[TEXT_END, hole] = start, stop
    return stop, at + TOKEN_BYTES, hole + 1


@kernel(forceinline=True)
def _write_stamps(b, fields, offset, origin, out, at):
    """Write the rest of the log's record, from the origin on: that and the amount in CNY; return the end."""
    at = words.copy_bytes(origin, 0, origin.shape[0], out, at)
    at = _write_digits(offset, out, at)
    out[_U(at)] = ord("]")
    at += 1
    if is_at(b, fields[0, CURRENCY], b.shape[0], _CNY, _CNY_SIZE, 0):
        at = words.copy_bytes(_CNY_KEY, 0, _CNY_KEY.shape[0], out, at)
        at = words.copy_bytes(b, fields[0, AMOUNT], fields[1, AMOUNT], out, at)
    out[_U(at)] = CLOSE
    return at + 1


@kernel(forceinline=True)
def _write_digits(number, out, at):
    """Write a number that is not negative; return the position after it."""
    digits, rest = 1, number // 10
    while rest:
        digits, rest = digits + 1, rest // 10
    for i in range(digits - 1, -1, -1):
        out[_U(at + i)] = ZERO + number % 10
        number //= 10
    return at + digits


@kernel(forceinline=True)
def _is_blank(b, start, end):
    for i in range(start, end):
        if b[_U(i)] != BLANK:
            return False
    return True
