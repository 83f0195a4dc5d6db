"""Events as the bytes of records: as a bank sends them, and as ingest appends them to the log.

The bytes of a log record are those of `msgspec.json.encode(LogRecord(...))`, field by field; a test compares them.
Banks send different fields: every second one numbers the transactions of an account (`seq`), every third gives the
counterparty's account and bank, summary code, channel and memo.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.world.history import CREDIT_KINDS, DEBIT_KINDS, Events
from benchmarks.world.population import BANKS, Profiles, bank_id, enterprise_id
from domain import topics
from domain.personal import CREDIT_ALPHABET, CREDIT_WEIGHTS
from kernels.decorators import allocating_kernel
from streams.score.json_text import put_integer

# (direction, purpose, counterparty kind, summary code, channel, memo)
KINDS = (
    ("C", "sales", "corporate", "0101", "ebank", "货款"),
    ("C", "other", "corporate", "0199", "counter", "往来款"),
    ("C", "own_transfer", "internal", "0301", "ebank", "内部转账"),
    ("C", "cash", "personal", "0401", "counter", "现金存入"),
    ("C", "refund", "corporate", "0108", "ebank", "退款"),
    ("D", "purchase", "corporate", "0102", "ebank", "采购款"),
    ("D", "payroll", "personal", "0201", "batch", "代发工资"),
    ("D", "tax", "government", "0202", "batch", "税款"),
    ("D", "utility", "corporate", "0203", "batch", "电费"),
    ("D", "rent", "corporate", "0204", "ebank", "房租"),
    ("D", "fee", "financial", "0501", "batch", "手续费"),
    ("D", "cash", "personal", "0402", "counter", "提现备用金"),
    ("D", "own_transfer", "internal", "0302", "ebank", "内部转账"),
    ("D", "loan_repayment", "financial", "0601", "batch", "归还贷款本息"),
    ("D", "social_security", "government", "0205", "batch", "社保费"),
)
assert len(KINDS) == CREDIT_KINDS + DEBIT_KINDS
_CREDIT_WEIGHTS = np.array(CREDIT_WEIGHTS, np.int64)
_CREDIT_ALPHABET = np.frombuffer(CREDIT_ALPHABET.encode(), np.uint8)
BYTES_MAX = 900  # of a record; the longest parts are of fixed size
_KEY_ID = b"5f0c93ab"  # of the platform key that the tokens stand under


class Written(NamedTuple):
    """The bytes of n records, one after the other. Shapes: buffer (bytes,), start and end (n,)."""

    buffer: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def value(self, i: int) -> bytes:
        """Return record i."""
        return self.buffer[self.start[i] : self.end[i]].tobytes()


def log_records(events: Events, profiles: Profiles, first_origin: int = 0) -> Written:
    """Return the records as ingest appends them to `events.v1`; first_origin: the first one's offset at its bank."""
    return _written(events, profiles, first_origin, True)


def bank_records(events: Events, profiles: Profiles) -> Written:
    """Return the records as banks send them."""
    return _written(events, profiles, 0, False)


def _written(events: Events, profiles: Profiles, first_origin: int, stamped: bool) -> Written:
    n = len(events)
    buffer = np.empty(n * BYTES_MAX, np.uint8)
    start, end = np.empty(n, np.int64), np.empty(n, np.int64)
    used = _write(
        events, profiles, _ids(profiles), _PARTS, _BANKS, _KIND_PARTS, first_origin, stamped, buffer, start, end
    )
    return Written(buffer[:used].copy(), start, end)


def _ids(profiles: Profiles) -> npt.NDArray[np.uint8]:
    text = "".join(enterprise_id(int(number)) for number in profiles["number"]).encode()
    return np.frombuffer(text, np.uint8).reshape(len(profiles), -1)


def _table(texts: list[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    rows = np.zeros((len(texts), max(map(len, texts))), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows, np.array([len(text) for text in texts], np.int64)


_BANKS = _table([bank_id(bank).encode() for bank in range(BANKS)])
_KIND_PARTS = tuple(
    _table(part)
    for part in (
        [f'","direction":"{d}","amount_minor":'.encode() for d, *_ in KINDS],
        [
            f'","counterparty_bank_code":"102100099996","counterparty_kind":"{kind}","purpose":"{purpose}",'
            f'"summary_code":"{code}","channel":"{channel}","memo":"{memo}"}}'.encode()
            for _, purpose, kind, code, channel, memo in KINDS
        ],
        [f'","counterparty_kind":"{kind}","purpose":"{purpose}"}}'.encode() for _, purpose, kind, *_ in KINDS],
    )
)
(
    _OPEN, _BEGIN, _BANK, _ENTERPRISE, _TIME, _SEQ, _ACCOUNT, _CURRENCY, _PARTY, _PARTY_NAME, _PARTY_ACCOUNT,
    _FINGERPRINT, _ORIGIN, _ORIGIN_OFFSET, _AMOUNT_CNY, _TOKEN, _CARD,
) = range(17)  # fmt: skip
_TOPIC_HEAD, _TOPIC_TAIL = topics.bank_events("|").split("|")
_PARTS = _table(
    [
        b'{"event":', b'{"type":"txn","event_id":"T', b'","bank_id":"', b'","enterprise_id":"', b'","event_time":',
        b',"seq":', b',"account":"', b',"currency":"CNY","balance_minor":', b',"counterparty_id":"9144030',
        '","counterparty_name":"广西壮美贸易有限公司'.encode(), b'","counterparty_account":"', b',"fingerprint":"',
        f'","origin":["{_TOPIC_HEAD}'.encode(), f'{_TOPIC_TAIL}",0,'.encode(), b'],"amount_cny_minor":',
        _KEY_ID + b".", b"622202",
    ]
)  # fmt: skip


@allocating_kernel
def _put(b, p, table, row):
    text, size = table
    n = size[row]
    for i in range(n):
        b[p + i] = text[row, i]
    return p + n


@allocating_kernel
def _put_padded(b, p, x, digits):
    for i in range(digits - 1, -1, -1):
        b[p + i] = 48 + x % 10
        x //= 10
    return p + digits


@allocating_kernel
def _put_check(b, p):
    """Write the check character of a credit code of 17 digits, which end at p."""
    total = np.int64(0)
    for i in range(17):
        total += (np.int64(b[p - 17 + i]) - 48) * _CREDIT_WEIGHTS[i]
    b[p] = _CREDIT_ALPHABET[(31 - total % 31) % 31]
    return p + 1


@allocating_kernel
def _mixed(x, salt):
    x = (np.uint64(x) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@allocating_kernel
def _put_hex(b, p, x):
    for i in range(15, -1, -1):
        digit = np.uint8(x & np.uint64(15))
        b[p + i] = digit + (48 if digit < 10 else 87)
        x >>= np.uint64(4)
    return p + 16


@allocating_kernel
def _put_account(b, p, parts, account, stamped):
    """Return a token as ingest makes it, or the account number as the bank sends it."""
    if not stamped:
        return _put_padded(b, _put(b, p, parts, _CARD), account % 10**13, 13)
    p = _put_hex(b, _put(b, p, parts, _TOKEN), _mixed(account, 1))
    return _put_hex(b, p, _mixed(account, 2))


@allocating_kernel
def _write(events, profiles, ids, parts, banks, kinds, first_origin, stamped, b, start, end):
    p = 0
    for i in range(events.shape[0]):
        e = events[i]
        profile = profiles[e.enterprise]
        owner, bank = np.int64(profile.number), profile.bank[e.slot]
        party = _mixed(owner * 97 + e.party, 3)
        start[i] = p
        if stamped:
            p = _put(b, p, parts, _OPEN)
        p = _put_padded(b, _put(b, p, parts, _BEGIN), owner, 9)
        p = _put_padded(b, p, e.number, 8)
        p = _put(b, _put(b, p, parts, _BANK), banks, bank)
        p = _put(b, p, parts, _ENTERPRISE)
        for k in range(ids.shape[1]):
            b[p + k] = ids[e.enterprise, k]
        p = put_integer(b, _put(b, p + ids.shape[1], parts, _TIME), e.event_ms)
        if bank % 2 == 1:
            p = put_integer(b, _put(b, p, parts, _SEQ), e.seq)
        p = _put_account(b, _put(b, p, parts, _ACCOUNT), parts, owner * 3 + e.slot, stamped)
        p = put_integer(b, _put(b, p, kinds[0], e.kind), e.amount)
        p = put_integer(b, _put(b, p, parts, _CURRENCY), e.balance)
        p = _put_check(b, _put_padded(b, _put(b, p, parts, _PARTY), party % np.uint64(10**10), 10))
        if not stamped:
            p = _put(b, p, parts, _PARTY_NAME)
        if bank % 3 == 0:
            p = _put_account(b, _put(b, p, parts, _PARTY_ACCOUNT), parts, np.int64(party % np.uint64(10**13)), stamped)
        p = _put(b, p, kinds[1 if bank % 3 == 0 else 2], e.kind)
        if stamped:
            p = _put_hex(b, _put(b, p, parts, _FINGERPRINT), _mixed(owner * 1_000_003 + e.number, 4))
            p = _put(b, _put(b, p, parts, _ORIGIN), banks, bank)
            p = put_integer(b, _put(b, p, parts, _ORIGIN_OFFSET), first_origin + i)
            p = put_integer(b, _put(b, p, parts, _AMOUNT_CNY), e.amount)
            b[p] = 125
            p += 1
        end[i] = p
    return p
