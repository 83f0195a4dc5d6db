"""From the bytes of `events.v1` to the rows that the kernels read.

Transactions are read by compiled code (reader.py). Everything else, and what that leaves, is read by the reference:
msgspec decodes the record, Python fills the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, assert_never, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.case_life import ACTIONS, DISPOSITIONS
from domain.calendar import day_of, day_of_text
from domain.events import (
    SCHEMA,
    Authorization,
    CaseAction,
    Control,
    Derived,
    FiveClass,
    Gov,
    GuaranteeType,
    Loan,
    LogRecord,
    Outcome,
    Profile,
    Tick,
    Txn,
)
from domain.reject import Reason, Rejected, without_values
from features.layout import id_words
from features.state.balances import MISSING
from features.state.buckets import FEN_MAX
from features.state.classes import CLASS_OF, CREDIT, DEBIT, KIND_INDEX, OVERLAYS_OF, PURPOSE_INDEX
from features.state.dedup import NO_NUMBER
from features.state.hashing import siphash
from features.state.record_columns import (
    AUTHORIZATION,
    BOOKED,
    CASE_ACTION,
    FREEZE,
    GOV,
    LINE,
    LOAN,
    LOAN_CLOSED,
    LOAN_DUE,
    LOAN_FACT,
    LOAN_GRANTED,
    LOAN_LENT,
    LOAN_REPAID,
    NEITHER,
    OTHER,
    PAYER_HASH,
    PROFILE,
    RECORD,
    RELEASE,
    RETURNED,
    REVERSED,
    REVOKED,
    TXN,
)
from features.state.seen import CODE_OF
from streams.score import reader
from streams.transport import Chunk

Records = npt.NDArray[np.void]  # of RECORD
Lines = npt.NDArray[np.void]  # of LINE

_STATUS = {"booked": BOOKED, "returned": RETURNED, "reversed": REVERSED}
_FREEZE = {"judicial_freeze": FREEZE, "judicial_release": RELEASE}
_LOAN_EVENT = {
    "granted": LOAN_GRANTED, "drawn": LOAN_LENT, "renewed": LOAN_LENT, "instalment_due": LOAN_DUE,
    "repaid": LOAN_REPAID, "closed": LOAN_CLOSED,
}  # fmt: skip
# The codes of what a lender says of a loan; 0: it does not say.
FIVE_CLASSES: tuple[FiveClass | None, ...] = (None, *get_args(FiveClass))
GUARANTEES: tuple[GuaranteeType | None, ...] = (None, *get_args(GuaranteeType))
_MATURES = frozenset({"granted", "renewed", "extended", "restructured"})  # of others, due_on is the instalment's
_AT_ONCE = frozenset({"bullet", "interest_first"})
_DECODER = msgspec.json.Decoder(LogRecord)
_EnterpriseEvent = Txn | Loan | Gov | Profile | Authorization | CaseAction | Outcome | Derived
_DEFAULT = {"fen": -1, "dpd": -1, "event": NEITHER, "balance": MISSING, "number": NO_NUMBER, "seen": 0, "adverse": 0}


class Run(NamedTuple):
    """Records between two barriers, and the lines of the schedules that they name.

    Dtypes RECORD (n,) and LINE (lines,).
    """

    records: Records
    lines: Lines


@dataclass(frozen=True, slots=True)
class Barrier:
    """A tick or control record: everything before it in the log is applied first."""

    offset: int
    event: Tick | Control


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no event. It becomes a dead letter, at its place in the log."""

    row: int  # in the chunk
    why: Rejected


def bank_number(bank_id: str) -> int:
    """Return a bank code as an integer, its letter and then its 13 digits; never 0."""
    return (ord(bank_id[0]) - 64) * 10**13 + int(bank_id[1:])


def bank_text(number: int) -> str:
    """Return the bank code that `bank_number` made the integer of."""
    return chr(number // 10**13 + 64) + f"{number % 10**13:013d}"


def hash64(text: str, key: int | np.int64) -> int:
    """Return the SipHash of an id under a key, 64 bits, never 0, as the compiled reader computes it."""
    raw = np.frombuffer(text.encode(), np.uint8)
    return int(siphash(raw, 0, len(raw), np.uint64(key))) or 1


def decode(chunk: Chunk, *, compiled: bool = True) -> Iterator[Run | Barrier | Unreadable]:
    """Yield a chunk of `events.v1` as runs of records, barriers and unreadable records, in the order of the log.

    compiled: whether transactions may be read by compiled code; the result is the same.
    """
    records, taken = np.zeros(len(chunk), RECORD), np.zeros(len(chunk), np.uint8)
    records["offset"], records["row"] = chunk.offset, np.arange(len(chunk))
    if compiled:
        reader.read(
            chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end, records, taken
        )
    first, lines = 0, list[tuple[int, int]]()
    for row in np.flatnonzero(taken == reader.LEFT).tolist():
        step = _step(chunk, row, records[row], lines)
        if step is None:
            continue
        if first < row:
            yield Run(records[first:row], np.array(lines, LINE))
        yield step
        first, lines = row + 1, []
    if first < len(chunk):
        yield Run(records[first:], np.array(lines, LINE))


def sender_of(chunk: Chunk, row: int) -> tuple[str, str] | None:
    """Return (bank_id, event_id) of the event in a row, for evidence; None for one that no bank or gateway sent."""
    event = msgspec.json.decode(chunk.value(row) or b"", type=LogRecord).event
    return None if isinstance(event, Tick | Control | Derived) else (event.bank_id, event.event_id)


def action_of(chunk: Chunk, row: int) -> CaseAction:
    """Return the action on a case in a row."""
    event = msgspec.json.decode(chunk.value(row) or b"", type=LogRecord).event
    assert isinstance(event, CaseAction)
    return event


def _read(chunk: Chunk, row: int) -> LogRecord | Rejected:
    version = dict(chunk.headers(row)).get("schema")
    if version != SCHEMA.encode():
        return Rejected(reason=Reason.UNKNOWN_VERSION, field="schema", detail=f"no header, or another than {SCHEMA}")
    try:
        return _DECODER.decode(chunk.value(row) or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Rejected(reason=Reason.NOT_JSON, detail=without_values(str(error)))


def _step(chunk: Chunk, row: int, cells: np.void, lines: list[tuple[int, int]]) -> Barrier | Unreadable | None:
    """Read one row with the reference; return None where the row is filled.

    Lines of its schedule are appended to `lines`.
    """
    record = _read(chunk, row)
    if isinstance(record, Rejected):
        return Unreadable(row, record)
    event = record.event
    if isinstance(event, Tick | Control):
        return Barrier(int(chunk.offset[row]), event)
    try:
        filled, schedule = _columns(record, event), _schedule(event)
    except ValueError:
        return Unreadable(row, Rejected(reason=Reason.OUT_OF_RANGE, detail="no date, as YYYY-MM-DD"))
    filled |= {"line_first": len(lines), "line_count": len(schedule), "admitted": record.admitted}
    lines += schedule
    for name, cell in (_DEFAULT | filled).items():
        cells[name] = cell
    return None


def _schedule(event: _EnterpriseEvent) -> list[tuple[int, int]]:
    if not isinstance(event, Loan):
        return []
    return [(day_of_text(line.due_on), line.due_minor) for line in event.schedule]


def _columns(record: LogRecord, event: _EnterpriseEvent) -> dict[str, Any]:
    cells: dict[str, Any] = {"key": id_words(event.enterprise_id), "event_ms": event.event_time, "kind": OTHER}
    cells["fingerprint"] = int(record.fingerprint, 16) if record.fingerprint else 0
    cells["id_hash"] = hash64(event.event_id, 0 if isinstance(event, Derived) else bank_number(event.bank_id))
    match event:
        case Txn():
            direction = CREDIT if event.direction == "C" else DEBIT
            cell = direction, PURPOSE_INDEX[event.purpose], KIND_INDEX[event.counterparty_kind]
            cells |= {
                "kind": TXN,
                "seen": CODE_OF[f"txn.{event.status}"],
                "bank": bank_number(event.bank_id),
                "category": CLASS_OF[cell],
                "overlays": OVERLAYS_OF[cell],
                "status": _STATUS[event.status],
                "fen": -1 if record.amount_cny_minor is None else record.amount_cny_minor,
                "ref_ms": event.ref_event_time or 0,
                "payer": hash64(event.counterparty_id, PAYER_HASH) if event.counterparty_id else 0,
                "account": hash64(event.account, bank_number(event.bank_id)),
                "number": NO_NUMBER if event.seq is None else event.seq,
                "balance": _balance(event, record.amount_cny_minor),
            }
        case Loan():
            cells |= _loan_columns(event)
        case Authorization():
            cells |= {
                "kind": AUTHORIZATION if event.purpose == "贷后管理" else OTHER,
                "event": REVOKED if event.revoked else NEITHER,
                "bank": bank_number(event.to_bank_id),
                "valid_from": event.valid_from,
                "valid_to": event.valid_to,
            }
        case Gov():
            cells |= {
                "kind": GOV,
                "event": _FREEZE.get(event.event, NEITHER),
                "seen": CODE_OF[f"gov.{event.event}"],
                "adverse": event.adverse is True,
            }
        case Profile():
            sales = event.declared_annual_sales_minor
            cells |= {"kind": PROFILE, "fen": -1 if sales is None else sales}
        case CaseAction():
            cells |= {
                "kind": CASE_ACTION,
                "event": ACTIONS.index(event.action),
                "bank": bank_number(event.bank_id),
                "case": int(event.case_id, 16),
                "actor": hash64(event.actor, bank_number(event.bank_id)),
                "disposition": 0 if event.disposition is None else 1 + DISPOSITIONS.index(event.disposition),
                "due_day": 0 if event.until is None else day_of_text(event.until),
            }
        case Outcome() | Derived():
            pass  # in the enterprise's order, but nothing in its state rests on them yet
        case _:
            assert_never(event)
    return cells


def _loan_columns(loan: Loan) -> dict[str, Any]:
    due_minor = loan.due_minor or 0  # what is due without an amount says nothing of it
    says_nothing = loan.event == "instalment_due" and not due_minor
    return {
        "kind": LOAN,
        "event": LOAN_FACT if says_nothing else _LOAN_EVENT.get(loan.event, LOAN_FACT),
        "seen": CODE_OF[f"loan.{loan.event}"],
        "bank": bank_number(loan.bank_id),
        "loan": id_words(loan.loan_id),
        "outstanding": loan.outstanding_minor,
        "limit": loan.limit_minor or 0,
        "revolving": loan.revolving,
        "at_once": loan.repayment_method in _AT_ONCE,
        "dpd": loan.dpd if loan.dpd is not None else 0 if loan.event == "granted" else -1,
        "due_day": day_of(loan.event_time) if loan.due_on is None else day_of_text(loan.due_on),
        "due_fen": due_minor,
        "matures_day": day_of_text(loan.due_on) if loan.due_on is not None and loan.event in _MATURES else 0,
        "five_class": FIVE_CLASSES.index(loan.five_class),
        "guarantee": GUARANTEES.index(loan.guarantee_type),
    }


def _balance(txn: Txn, amount_cny_minor: int | None) -> int:
    """Return the balance in fen, at the rate of the amount; MISSING where there is none."""
    if txn.balance_minor is None or amount_cny_minor is None:
        return MISSING
    if txn.currency == "CNY":
        return txn.balance_minor
    fen = round(Fraction(txn.balance_minor * amount_cny_minor, txn.amount_minor))
    return min(max(fen, -FEN_MAX), FEN_MAX)  # as the buckets are bounded: a rate may be off by orders of magnitude
