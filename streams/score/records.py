"""From the bytes of `events.v1` to the rows that the kernel reads.

Transactions are read by compiled code (reader.py); everything else, and whatever that leaves, the reference way:
msgspec decodes the record, Python fills the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_never

import msgspec
import numpy as np
import numpy.typing as npt

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
from features.state.classes import CLASS_OF, CREDIT, DEBIT, KIND_INDEX, OVERLAYS_OF, PURPOSE_INDEX
from features.state.hashing import siphash
from features.state.seen import CODE_OF
from streams.score import reader
from streams.score.columns import (
    AUTHORIZATION,
    BOOKED,
    FREEZE,
    GOV,
    LOAN,
    LOAN_CLOSES,
    LOAN_OPENS,
    NEITHER,
    OTHER,
    PAYER_HASH,
    RECORD,
    RELEASE,
    RETURNED,
    REVERSED,
    REVOKED,
    TXN,
)
from streams.transport import Chunk

Records = npt.NDArray[np.void]  # of RECORD

_STATUS = {"booked": BOOKED, "returned": RETURNED, "reversed": REVERSED}
_FREEZE = {"judicial_freeze": FREEZE, "judicial_release": RELEASE}
_DEFAULT = {"fen": -1, "dpd": -1, "event": NEITHER, "seen": 0, "adverse": 0}


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


def bank_number(bank_id: str) -> int:
    """A bank code as an integer: its letter, then its 13 digits. Not 0."""
    return (ord(bank_id[0]) - 64) * 10**13 + int(bank_id[1:])


def bank_text(number: int) -> str:
    """The inverse of `bank_number`."""
    return chr(number // 10**13 + 64) + f"{number % 10**13:013d}"


def hash64(text: str, key: int) -> int:
    """The 64-bit hash of an id under a key, never 0, as the compiled reader computes it."""
    raw = np.frombuffer(text.encode(), np.uint8)
    return int(siphash(raw, 0, len(raw), np.uint64(key))) or 1


def decode(chunk: Chunk, *, compiled: bool = True) -> Iterator[Records | Barrier | Unreadable]:
    """Read a chunk of `events.v1`: runs of records, barriers and unreadable records, in the order of the log."""
    records, taken = np.zeros(len(chunk), RECORD), np.zeros(len(chunk), np.uint8)
    records["offset"], records["row"] = chunk.offset, np.arange(len(chunk))
    if compiled:
        reader.read(
            chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end, records, taken
        )
    first = 0
    decoder = msgspec.json.Decoder(LogRecord)
    for row in np.flatnonzero(taken == reader.LEFT).tolist():
        record = _read(decoder, chunk, row)
        step: Barrier | Unreadable
        if isinstance(record, Rejected):
            step = Unreadable(row, record)
        elif isinstance(record.event, Tick | Control):
            step = Barrier(int(chunk.offset[row]), record.event)
        else:
            _fill(records[row], record)
            continue
        if first < row:
            yield records[first:row]
        yield step
        first = row + 1
    if first < len(chunk):
        yield records[first:]


def sender_of(chunk: Chunk, row: int) -> tuple[str, str] | None:
    """(bank_id, event_id) of the event in a row, for evidence; None for one that no bank or gateway sent."""
    event = msgspec.json.decode(chunk.value(row) or b"", type=LogRecord).event
    return None if isinstance(event, Tick | Control | Derived) else (event.bank_id, event.event_id)


def _read(decoder: msgspec.json.Decoder[LogRecord], chunk: Chunk, row: int) -> LogRecord | Rejected:
    version = dict(chunk.headers(row)).get("schema")
    if version != SCHEMA.encode():
        return Rejected(reason=Reason.UNKNOWN_VERSION, field="header schema", detail=repr(version))
    try:
        return decoder.decode(chunk.value(row) or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Rejected(reason=Reason.NOT_JSON, detail=str(error))


def _fill(row: np.void, record: LogRecord) -> None:
    for name, cell in (_DEFAULT | _columns(record)).items():
        row[name] = cell


def _columns(record: LogRecord) -> dict[str, Any]:
    event = record.event
    assert not isinstance(event, Tick | Control)
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
            }
        case Loan():
            closes = event.event == "closed" or (event.event == "repaid" and event.outstanding_minor == 0)
            cells |= {
                "kind": LOAN,
                "event": LOAN_CLOSES if closes else LOAN_OPENS,
                "seen": CODE_OF[f"loan.{event.event}"],
                "bank": bank_number(event.bank_id),
                "loan": id_words(event.loan_id),
                "granted": event.event == "granted",
                "outstanding": event.outstanding_minor,
                "dpd": event.dpd if event.dpd is not None else 0 if event.event == "granted" else -1,
            }
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
        case Profile() | Outcome() | Derived():
            pass  # in the enterprise's order, but nothing in its state rests on them yet
        case _:
            assert_never(event)
    return cells
