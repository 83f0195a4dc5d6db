"""From the bytes of `events.v1` to the columns that the kernel reads.

The reference way: msgspec decodes each record, Python fills the columns. A compiled reader of ingest's canonical JSON
may stand beside it, behind the same table.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec
import numpy as np

from domain.events import (
    SCHEMA,
    Authorization,
    Control,
    Derived,
    Gov,
    Loan,
    LogRecord,
    Outcome,
    Profile,
    Tick,
    Txn,
)
from domain.reject import Reason, Rejected
from features.layout import id_words
from features.state.classes import CLASS_OF, CREDIT, DEBIT, KIND_INDEX, PURPOSE_INDEX
from streams.transport import Chunk

TXN, LOAN, AUTHORIZATION, GOV, OTHER = range(5)
BOOKED, RETURNED, REVERSED = range(3)
LOAN_OPENS, LOAN_CLOSES, LOAN_CONTINUES = range(3)
FREEZE, RELEASE, NEITHER = range(3)

_STATUS = {"booked": BOOKED, "returned": RETURNED, "reversed": REVERSED}
_FREEZE = {"judicial_freeze": FREEZE, "judicial_release": RELEASE}
RECORD = np.dtype(
    [
        ("offset", "<i8"),
        ("row", "<i4"),  # in the chunk
        ("key", "<u8", (4,)),
        ("kind", "|u1"),
        ("event", "|u1"),  # LOAN_*, FREEZE …, by kind
        ("event_ms", "<i8"),
        ("id_hash", "<u8"),
        ("fingerprint", "<u8"),
        ("bank", "<i8"),  # whom the event concerns: the bank that sent it, the lender, the authorized bank
        ("category", "|i1"),  # class of a transaction
        ("status", "|u1"),
        ("fen", "<i8"),  # -1: not computable
        ("ref_ms", "<i8"),
        ("payer", "<u8"),  # 0: not named
        ("loan", "<u8", (4,)),
        ("granted", "|u1"),
        ("outstanding", "<i8"),
        ("dpd", "<i4"),  # -1: not reported
        ("valid_from", "<i8"),
        ("valid_to", "<i8"),
    ]
)
_DEFAULT = {"fen": -1, "dpd": -1, "event": NEITHER}

Senders = dict[int, tuple[str, str]]  # offset -> (bank_id, event_id)


@dataclass(frozen=True, slots=True)
class Barrier:
    """A tick or control record: what comes before it in the log is applied first."""

    offset: int
    event: Tick | Control


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no event: it goes to the dead letters at its place in the log."""

    row: int  # in the chunk
    why: Rejected


@dataclass(slots=True)
class Decoded:
    """One chunk in the order of the log: runs of enterprise records with barriers and dead letters between."""

    steps: list[Any] = field(default_factory=list)  # NDArray of RECORD | Barrier | Unreadable
    senders: Senders = field(default_factory=dict)  # for evidence


def bank_number(bank_id: str) -> int:
    """A bank code as an integer: its letter, then its 13 digits. Not 0."""
    return (ord(bank_id[0]) - 64) * 10**13 + int(bank_id[1:])


def bank_text(number: int) -> str:
    """The inverse of `bank_number`."""
    return chr(number // 10**13 + 64) + f"{number % 10**13:013d}"


def hash64(*parts: str) -> int:
    """A 64-bit content hash, never 0, equal in every process."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def decode(chunk: Chunk) -> Decoded:
    """Read a chunk of `events.v1`. What cannot be read is told, with its row, never skipped."""
    decoded = Decoded()
    run: list[dict[str, Any]] = []
    decoder = msgspec.json.Decoder(LogRecord)
    for row in range(len(chunk)):
        offset = int(chunk.offset[row])
        record = _read(decoder, chunk, row)
        if isinstance(record, Rejected):
            _end_run(decoded, run)
            decoded.steps.append(Unreadable(row, record))
        elif isinstance(record.event, Tick | Control):
            _end_run(decoded, run)
            decoded.steps.append(Barrier(offset, record.event))
        else:
            run.append({"offset": offset, "row": row, **_columns(record)})
            if not isinstance(record.event, Derived):
                decoded.senders[offset] = (record.event.bank_id, record.event.event_id)
    _end_run(decoded, run)
    return decoded


def _read(decoder: msgspec.json.Decoder[LogRecord], chunk: Chunk, row: int) -> LogRecord | Rejected:
    version = dict(chunk.headers(row)).get("schema")
    if version != SCHEMA.encode():
        return Rejected(reason=Reason.UNKNOWN_VERSION, field="header schema", detail=repr(version))
    try:
        return decoder.decode(chunk.value(row) or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Rejected(reason=Reason.NOT_JSON, detail=str(error))


def _end_run(decoded: Decoded, run: list[dict[str, Any]]) -> None:
    if not run:
        return
    records = np.zeros(len(run), RECORD)
    for record, cells in zip(records, run, strict=True):
        for name, cell in (_DEFAULT | cells).items():
            record[name] = cell
    decoded.steps.append(records)
    run.clear()


def _columns(record: LogRecord) -> dict[str, Any]:
    event = record.event
    assert not isinstance(event, Tick | Control)
    cells: dict[str, Any] = {"key": id_words(event.enterprise_id), "event_ms": event.event_time, "kind": OTHER}
    cells["fingerprint"] = int(record.fingerprint, 16) if record.fingerprint else 0
    sender = "" if isinstance(event, Derived) else event.bank_id
    cells["id_hash"] = hash64(sender, event.event_id)
    match event:
        case Txn():
            direction = CREDIT if event.direction == "C" else DEBIT
            cells |= {
                "kind": TXN,
                "bank": bank_number(event.bank_id),
                "category": CLASS_OF[direction, PURPOSE_INDEX[event.purpose], KIND_INDEX[event.counterparty_kind]],
                "status": _STATUS[event.status],
                "fen": -1 if record.amount_cny_minor is None else record.amount_cny_minor,
                "ref_ms": event.ref_event_time or 0,
                "payer": hash64(event.counterparty_id) if event.counterparty_id else 0,
            }
        case Loan():
            closes = event.event == "closed" or (event.event == "repaid" and event.outstanding_minor == 0)
            cells |= {
                "kind": LOAN,
                "event": LOAN_CLOSES if closes else LOAN_OPENS,
                "bank": bank_number(event.bank_id),
                "loan": id_words(event.loan_id),
                "granted": event.event == "granted",
                "outstanding": event.outstanding_minor,
                "dpd": event.dpd if event.dpd is not None else 0 if event.event == "granted" else -1,
            }
        case Authorization():
            revoked_at = event.event_time if event.revoked else event.valid_to
            cells |= {
                "kind": AUTHORIZATION if event.purpose == "贷后管理" else OTHER,
                "bank": bank_number(event.to_bank_id),
                "valid_from": event.valid_from,
                "valid_to": min(event.valid_to, revoked_at),
            }
        case Gov():
            cells |= {"kind": GOV, "event": _FREEZE.get(event.event, NEITHER)}
        case Profile() | Outcome() | Derived():
            pass  # in the enterprise's order, but nothing in its state rests on them yet
        case _:
            assert_never(event)
    return cells
