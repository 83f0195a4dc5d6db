"""Transactions as the bytes of records: as a bank sends them, and as ingest appends them to the log.

The bytes are those of `msgspec.json.encode`, field by field, and of streams.ingest.forwarding; tests compare them.
Banks send different fields: every second one numbers the postings of an account, every third gives codes, one in twelve
gives no balance.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain import topics
from kernels.decorators import kernel
from kernels.words import copy_bytes
from replay.province import parties
from replay.province.delivery import FOREIGN, NOT_OTHER, Rows
from replay.province.layout import BOOKED, KINDS, NOBODY, RETURNED
from replay.province.population import Population
from replay.province.simulation import Simulation
from sinks.batch import Records
from streams.ingest.fingerprint import put_fingerprint
from streams.ingest.tokens import Tokens
from streams.score.json_text import Phrases, phrases, put_integer, text

BYTES_MAX = 900  # of a record with its key; the longest parts have a fixed size
RETURN_REASON = "账号户名不符"
# Banks by number, as (modulus, remainder): those that number postings, give codes, give no balance.
SEQ_FROM, CODES_FROM, BALANCE_FROM = (2, 0), (3, 1), (12, 11)
PARTY_BANK_CODE = "102611099996"


class Names(NamedTuple):
    """Texts of records: parties and accounts as banks send them and as they are in the log, and banks."""

    parties: Phrases
    party_tokens: Phrases
    accounts: Phrases
    account_tokens: Phrases
    banks: Phrases


class Written(NamedTuple):
    """Bytes of records, one after the other; sizes, int64 (n, 2), of keys and values."""

    buffer: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]


def platform_key(population: Population) -> bytes:
    """Return the token key of a simulated log; it protects nothing, since no data is real."""
    return hashlib.sha256(f"simulated platform {population.seed}".encode()).digest()


def summary_code(kind: int) -> str:
    """Return a bank's code of a kind of posting."""
    return f"{100 + kind:04d}"


def account_text(bank_id: str, number: int, slot: int) -> str:
    """Return the number of an account at its bank."""
    return f"{bank_id[-4:]}-{number:07d}-{slot:02d}"


def names_of(simulation: Simulation, tokens: Tokens) -> Names:
    """Return all texts of a simulation."""
    population, state = simulation.population, simulation.state
    raw = parties.names(population, state.firms, simulation.parties)
    hidden = [tokens.party(name) for name in raw]  # no person has a credit code
    banks = [population.bank(number).bank_id for number in range(population.banks)]
    accounts = [
        account_text(banks[bank], number, slot)
        for bank, number, slot in zip(
            *(state.accounts[name].tolist() for name in ("bank", "firm", "slot")), strict=True
        )
    ]
    return Names(
        phrases(tuple(raw)),
        phrases(tuple(hidden)),
        phrases(tuple(accounts)),
        phrases(tuple(tokens.token("account", account) for account in accounts)),
        phrases(tuple(banks)),
    )


class Writer:
    """Writes the rows of a simulation as records."""

    def __init__(self, simulation: Simulation, tokens: Tokens) -> None:
        self.names = names_of(simulation, tokens)
        self._accounts = simulation.state.accounts
        self._fingerprint_key = tokens.fingerprint_key
        self._others = Written(np.zeros(0, np.uint8), np.zeros((0, 2), np.int64))

    def as_sent(self, rows: Rows) -> list[bytes]:
        """Return transactions as the JSON values that their banks send."""
        return list(_values(self._written(rows, False, self._others)))

    def as_logged(self, rows: Rows, others: Records) -> Records:
        """Return transactions with the records of `others` between them, as in the log, without unknown currencies."""
        rows = rows[rows["flaw"] != FOREIGN]
        given = Written(np.frombuffer(others.blob, np.uint8), others.sizes)
        logged = self._written(rows, True, given)
        return Records(logged.buffer.tobytes(), logged.sizes)

    def _written(self, rows: Rows, stamped: bool, others: Written) -> Written:
        n = len(rows)
        out = np.empty(n * BYTES_MAX + len(others.buffer), np.uint8)
        sizes = np.empty((n, 2), np.int64)
        ends = np.cumsum(others.sizes.sum(axis=1))
        used = _write(
            rows,
            self._accounts,
            self.names,
            _PARTS,
            _KINDS,
            stamped,
            self._fingerprint_key,
            np.empty(BYTES_MAX, np.uint8),
            others.buffer,
            others.sizes,
            ends,
            out,
            sizes,
        )
        return Written(out[:used], sizes)


def _values(written: Written) -> Iterator[bytes]:
    """Yield the values of records without keys."""
    whole, end = written.buffer.tobytes(), 0
    for size in written.sizes[:, 1].tolist():
        yield whole[end : (end := end + size)]


_TOPIC_HEAD, _TOPIC_TAIL = topics.bank_events("|").split("|")
(
    _OPEN, _BEGIN, _BANK, _ENTERPRISE, _TIME, _SEQ, _ACCOUNT, _CNY, _USD, _FOREIGN, _BALANCE, _PARTY, _CODE, _RETURNED,
    _REVERSED, _REF_TIME, _REASON, _CLOSE, _FINGERPRINT, _ORIGIN, _ORIGIN_OFFSET, _ORIGIN_END, _AMOUNT_CNY, _DASH,
) = range(24)  # fmt: skip
_PARTS = phrases(
    (
        '{"event":', '{"type":"txn","event_id":"', '","bank_id":"', '","enterprise_id":"', '","event_time":', ',"seq":',
        ',"account":"', ',"currency":"CNY"', ',"currency":"USD"', ',"currency":"XXX"', ',"balance_minor":',
        ',"counterparty_id":"', f',"counterparty_bank_code":"{PARTY_BANK_CODE}"',
        ',"status":"returned","ref_event_id":"',
        ',"status":"reversed","ref_event_id":"', '","ref_event_time":', f',"return_reason":"{RETURN_REASON}"', "}",
        ',"fingerprint":"', f'","origin":["{_TOPIC_HEAD}', f'{_TOPIC_TAIL}",0,', "]", ',"amount_cny_minor":', "-",
    )
)  # fmt: skip


class _Kinds(NamedTuple):
    """By kind of posting: direction with the amount's key; counterparty kind with purpose; a code; the channel."""

    direction: Phrases
    purpose: Phrases
    code: Phrases
    channel: Phrases


_KINDS = _Kinds(
    phrases(tuple(f'","direction":"{direction}","amount_minor":' for direction, *_ in KINDS)),
    phrases(
        tuple(
            (f',"counterparty_kind":"{kind}"' if kind else "") + f',"purpose":"{purpose}"'
            for _, purpose, kind, _ in KINDS
        )
    ),
    phrases(tuple(f',"summary_code":"{summary_code(i)}"' for i in range(len(KINDS)))),
    phrases(tuple(f',"channel":"{channel}"' for *_, channel in KINDS)),
)


@kernel
def _event_id(out: Any, p: Any, parts: Any, accounts: Any, account: Any, seq: Any) -> Any:
    p = text(out, text(out, p, accounts, account), parts, _DASH)
    return put_integer(out, p, seq)


@kernel
def _put_event(out: Any, p: Any, r: Any, a: Any, parts: Any, names: Any, kinds: Any, stamped: Any) -> Any:
    """Write the event as JSON, with tokens where it is stamped; return the next position."""
    bank = np.int64(a.bank)
    p = _event_id(out, text(out, p, parts, _BEGIN), parts, names.accounts, r.account, r.seq)
    p = text(out, text(out, p, parts, _BANK), names.banks, bank)
    p = text(out, text(out, p, parts, _ENTERPRISE), names.parties, a.firm)
    p = put_integer(out, text(out, p, parts, _TIME), r.time_ms)
    if bank % SEQ_FROM[0] == SEQ_FROM[1]:
        p = put_integer(out, text(out, p, parts, _SEQ), r.seq)
    p = text(out, p, parts, _ACCOUNT)
    p = text(out, p, names.account_tokens if stamped else names.accounts, r.account)
    p = put_integer(out, text(out, p, kinds.direction, r.kind), r.amount)
    p = text(out, p, parts, _FOREIGN if r.flaw == FOREIGN else _USD if a.dollars else _CNY)
    if bank % BALANCE_FROM[0] != BALANCE_FROM[1]:
        p = put_integer(out, text(out, p, parts, _BALANCE), r.balance)
    if r.party != NOBODY:
        p = text(out, p, parts, _PARTY)
        p = text(out, p, names.party_tokens if stamped else names.parties, r.party)
        out[p] = 34
        p += 1
        if bank % CODES_FROM[0] == CODES_FROM[1]:
            p = text(out, p, parts, _CODE)
    p = text(out, p, kinds.purpose, r.kind)
    if bank % CODES_FROM[0] == CODES_FROM[1]:
        p = text(out, p, kinds.code, r.kind)
    p = text(out, p, kinds.channel, r.kind)
    if r.status != BOOKED:
        p = text(out, p, parts, _RETURNED if r.status == RETURNED else _REVERSED)
        p = _event_id(out, p, parts, names.accounts, r.account, r.ref_seq)
        p = put_integer(out, text(out, p, parts, _REF_TIME), r.ref_ms)
        if r.status == RETURNED:
            p = text(out, p, parts, _REASON)
    return text(out, p, parts, _CLOSE)


@kernel(nogil=True)
def _write(
    rows: Any, accounts: Any, names: Any, parts: Any, kinds: Any, stamped: Any, fingerprint_key: Any, sent: Any,
    others: Any, other_sizes: Any, other_ends: Any, out: Any, sizes: Any,
) -> Any:  # fmt: skip
    """Write rows as records. sent: room for an event as its bank sends it, of which the fingerprint is made."""
    p = np.int64(0)
    for i in range(rows.shape[0]):
        r = rows[i]
        if r.other != NOT_OTHER:
            sizes[i, 0] = sizes[i, 1] = 0
            if stamped:
                end = other_ends[r.other]
                sizes[i, 0], sizes[i, 1] = other_sizes[r.other, 0], other_sizes[r.other, 1]
                p = copy_bytes(others, end - sizes[i, 0] - sizes[i, 1], end, out, p)
            continue
        a = accounts[r.account]
        start = p
        if stamped:
            p = text(out, p, names.parties, a.firm)
        sizes[i, 0] = p - start
        start = p
        if stamped:
            p = text(out, p, parts, _OPEN)
        p = _put_event(out, p, r, a, parts, names, kinds, stamped)
        if stamped:
            end = _put_event(sent, np.int64(0), r, a, parts, names, kinds, False)
            p = put_fingerprint(sent, np.int64(0), end, fingerprint_key, out, text(out, p, parts, _FINGERPRINT))
            p = text(out, text(out, p, parts, _ORIGIN), names.banks, np.int64(a.bank))
            p = put_integer(out, text(out, p, parts, _ORIGIN_OFFSET), r.origin)
            p = text(out, p, parts, _ORIGIN_END)
            if not a.dollars:
                p = put_integer(out, text(out, p, parts, _AMOUNT_CNY), r.amount)
            p = text(out, p, parts, _CLOSE)
        sizes[i, 1] = p - start
    return p
