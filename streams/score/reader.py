"""The compiled reader: transactions in ingest's canonical JSON, straight from the fetched bytes into RECORD rows.

It takes a record only where every byte is as `msgspec.json.encode(LogRecord)` writes it, and leaves all others (loans,
escapes in an id, anything unusual) to the reference in records.py. Both give the same row for whatever both take; a
test holds that.
"""

import numpy as np

from domain.events import SCHEMA, LogRecord, Txn
from features.state.balances import MISSING
from features.state.classes import CLASS_OF, CREDIT, DEBIT, KINDS, OVERLAYS_OF, PURPOSES
from features.state.dedup import NO_NUMBER
from features.state.hashing import siphash
from features.state.record_columns import BOOKED, NEITHER, PAYER_HASH, TXN
from features.state.seen import CODE_OF
from kernels import words
from kernels.decorators import kernel
from kernels.json_bytes import find, integer, is_at, quoted, string_end, table

_U = np.uint64  # of places: for a signed one, each byte would be asked whether it counts from the end
LEFT, TAKEN = 0, 1


_HEADERS, _HEADERS_SIZE = table(b"\x02\x0cschema" + bytes([2 * len(SCHEMA)]) + SCHEMA.encode())
_BEGIN, _BEGIN_SIZE = table(b'{"event":{"type":"txn",')
_KEYS = Txn.__struct_fields__
_STAMPS = tuple(name for name in LogRecord.__struct_fields__ if name not in ("event", "admitted"))  # so rare: LEFT
_KEY_TABLE, _KEY_SIZE = quoted(_KEYS + _STAMPS)
_PURPOSE_TABLE, _PURPOSE_SIZE = quoted(tuple(purpose or "" for purpose in PURPOSES))
_KIND_TABLE, _KIND_SIZE = quoted(tuple(kind or "" for kind in KINDS))
(
    _EVENT_ID, _BANK_ID, _ENTERPRISE_ID, _EVENT_TIME, _SEQ, _ACCOUNT, _DIRECTION, _CURRENCY, _BALANCE,
    _COUNTERPARTY_ID, _COUNTERPARTY_KIND, _PURPOSE, _STATUS, _REF_EVENT_TIME, _FINGERPRINT, _AMOUNT_CNY,
) = (
    (_KEYS + _STAMPS).index(name)
    for name in (
        "event_id", "bank_id", "enterprise_id", "event_time", "seq", "account", "direction", "currency",
        "balance_minor", "counterparty_id", "counterparty_kind", "purpose", "status", "ref_event_time", "fingerprint",
        "amount_cny_minor",
    )
)  # fmt: skip
_STATUS_TABLE, _STATUS_SIZE = quoted(("booked", "returned", "reversed"))  # in the order of their codes
_SEEN_BOOKED = CODE_OF["txn.booked"]  # and the codes of the others behind it
_CNY, _CNY_SIZE = quoted(("CNY",))
_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE, _LIST = (ord(c) for c in '":,{}[')
_ORIGIN_END = ord("]")


@kernel(nogil=True)
def read(b, value_start, value_end, header_start, header_end, records, taken):
    """Fill records[i] and set taken[i] to TAKEN for each value that is a canonical transaction, to LEFT for the others.

    b: uint8 (bytes), the chunk's buffer; the four bounds: int64 (n,), as in Chunk; records: RECORD (n,); taken: uint8
    (n,).
    """
    for i in range(value_start.shape[0]):
        taken[i] = LEFT
        has_headers = header_end[i] - header_start[i] == _HEADERS_SIZE[0] and is_at(
            b, header_start[i], header_end[i], _HEADERS, _HEADERS_SIZE, 0
        )
        if has_headers and value_start[i] >= 0:
            taken[i] = _read_txn(b, value_start[i], value_end[i], records[i])


@kernel
def _read_txn(b, p, end, r):
    """Read one value, key by key in the order of the struct's fields.

    Return LEFT as soon as something is not canonical.
    """
    if not is_at(b, p, end, _BEGIN, _BEGIN_SIZE, 0):
        return LEFT
    r.kind, r.event, r.fen, r.dpd, r.status = TXN, NEITHER, -1, -1, BOOKED
    r.balance, r.number = MISSING, NO_NUMBER
    p += _BEGIN_SIZE[0] - 1
    field, direction, purpose, kind = -1, -1, 0, 0
    event_id_start, event_id_end, in_cny = 0, 0, False
    inside = True  # the event's own object; then the stamps
    while True:
        if p + 1 < end and inside and b[p] == _CLOSE:
            inside = False
            p += 1
        if not inside and p == end - 1 and b[p] == _CLOSE:
            break
        if p + 4 >= end or b[p] != _COMMA or b[p + 1] != _QUOTE:
            return LEFT
        field = find(b, p + 2, end, _KEY_TABLE, _KEY_SIZE, field + 1)
        if field < 0 or (field < len(_KEYS)) != inside:
            return LEFT
        p += 2 + _KEY_SIZE[field]
        if p + 1 >= end or b[p] != _COLON:
            return LEFT
        p += 1
        start, is_text = p, b[p] == _QUOTE
        if is_text:
            start, p = p + 1, string_end(b, p + 1, end)
        else:
            p = _literal_end(b, p, end)
        if p < 0:
            return LEFT
        if field == _EVENT_ID:
            event_id_start, event_id_end = start, p
        elif field == _BANK_ID:
            r.bank = _bank(b, start, p)
        elif field == _ENTERPRISE_ID:
            if not is_text or not 0 < p - start <= 32:
                return LEFT
            _words(b, start, p, r.key)
        elif field == _EVENT_TIME:
            r.event_ms = integer(b, start, p)
        elif field == _SEQ:
            r.number = integer(b, start, p)
            if r.number < 0:
                return LEFT  # nineteen digits are
        elif field == _ACCOUNT:
            r.account = max(siphash(b, start, p, r.bank), np.uint64(1))  # the bank stands before it
        elif field == _CURRENCY:
            in_cny = is_at(b, start, end, _CNY, _CNY_SIZE, 0)
        elif field == _BALANCE:
            r.balance = integer(b, start, p)
        elif field == _DIRECTION:
            direction = CREDIT if b[start] == 67 else DEBIT if b[start] == 68 else -1
        elif field == _COUNTERPARTY_ID:
            if not is_text:
                return LEFT
            r.payer = max(siphash(b, start, p, PAYER_HASH), np.uint64(1))
        elif field == _COUNTERPARTY_KIND:
            kind = find(b, start, end, _KIND_TABLE, _KIND_SIZE, 1)
        elif field == _PURPOSE:
            purpose = find(b, start, end, _PURPOSE_TABLE, _PURPOSE_SIZE, 1)
        elif field == _STATUS:
            status = find(b, start, end, _STATUS_TABLE, _STATUS_SIZE, 0)
            if status < 0:
                return LEFT
            r.status = status
        elif field == _REF_EVENT_TIME:
            r.ref_ms = integer(b, start, p)
        elif field == _FINGERPRINT:
            if not _is_hex(b, start, p):
                return LEFT
            r.fingerprint = _hex(b, start)
        elif field == _AMOUNT_CNY:
            r.fen = integer(b, start, p)
        if is_text:
            p += 1
    if r.balance != MISSING and not in_cny:
        return LEFT  # to be converted by whole numbers larger than these
    if r.fen < 0:
        r.balance = MISSING
    if r.bank <= 0 or direction < 0 or purpose < 0 or kind < 0 or event_id_end == event_id_start:
        return LEFT
    r.id_hash = siphash(b, event_id_start, event_id_end, r.bank)
    r.category, r.overlays = CLASS_OF[direction, purpose, kind], OVERLAYS_OF[direction, purpose, kind]
    r.seen = _SEEN_BOOKED + r.status
    return TAKEN


@kernel
def _literal_end(b, p, end):
    """Return the end of a number, a literal or ingest's flat list; -1 for an object or a value without end."""
    if b[_U(p)] == _LIST:
        while p < end and b[_U(p)] != _ORIGIN_END:
            p += 1
        return p + 1 if p + 1 < end else -1
    if b[_U(p)] == _OPEN:
        return -1
    while p < end:
        if b[_U(p)] == _COMMA or b[_U(p)] == _CLOSE:
            return p
        p += 1
    return -1


@kernel
def _bank(b, start, end):
    """Return the bank code as a number (records.bank_number); -1 where it is none."""
    if end - start != 14 or not 65 <= b[_U(start)] <= 90:
        return np.int64(-1)
    number = np.int64(b[_U(start)] - 64)
    for i in range(start + 1, end):
        if not 48 <= b[_U(i)] <= 57:
            return np.int64(-1)
        number = number * 10 + (b[_U(i)] - 48)
    return number


@kernel
def _words(b, start, end, key):
    """Fill `key`, uint64 (4,), with the bytes of an id as little-endian words."""
    for k in range(key.shape[0]):
        key[k] = words.read_word(b, start + 8 * k, end - start - 8 * k)


@kernel
def _is_hex(b, start, end):
    for i in range(start, end):
        if not (48 <= b[_U(i)] <= 57 or 97 <= b[_U(i)] <= 102):
            return False
    return end - start == 16


@kernel
def _hex(b, start):
    value = _U(0)
    for i in range(start, start + 16):
        digit = b[_U(i)] - 48 if b[_U(i)] <= 57 else b[_U(i)] - 87
        value = (value << _U(4)) | _U(digit & 15)
    return value
