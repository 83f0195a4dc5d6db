"""Invoice flows of 123 real enterprises (CUMCM 2020, problem C) as bank transactions of one bank.

A sales invoice is a credit, a purchase invoice a debit; a negative total is a red-letter invoice, so the opposite
direction with purpose refund. A void invoice was never booked and a total of zero moves nothing: both are dropped and
counted, zero first where an invoice is both. The event id is file and row number (invoice numbers repeat).
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.settings import Bank
from domain import topics
from domain.calendar import day_of_date, day_start_ms
from domain.events import Direction, Purpose, Receipt, Txn
from replay.judging import Label
from replay.recorded import ColumnKind, closed_by_receipts, identity_of, minor_units, read_columns, read_lines
from replay.sources import Delivery, SourceError

BANK = Bank(bank_id="C2020000000001", name_zh="CUMCM 2020 C", name_en="CUMCM 2020 C")
COLUMNS: Mapping[str, ColumnKind] = {
    "ent_id": "text", "date": "date", "counterparty": "text", "total": "decimal", "status": "text",
}  # fmt: skip
VALID, VOID = "有效发票", "作废发票"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFile:
    """One file of the data set, and what its invoices become."""

    name: str
    letter: str  # begins the event ids
    direction: Direction
    purpose: Purpose


FILES = (
    InvoiceFile(name="a1_in_invoice.parquet", letter="in", direction="D", purpose="purchase"),
    InvoiceFile(name="a1_out_invoice.parquet", letter="out", direction="C", purpose="sales"),
)
NAMES = tuple(file.name for file in FILES)
LABELS = "a1_labels.csv"


class Invoices:
    """The `Source` of the invoices under `directory`."""

    name = "cumcm2020c"
    banks = (BANK,)
    is_history = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._rows: Counter[str] = Counter()

    @property
    def identity(self) -> str:
        """Return the identity, made of the sizes of the files. Raise SourceError where there are none."""
        return identity_of(self.name, 1, self.directory, NAMES)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield all invoices day by day, each day closed by its receipt.

        Raise SourceError, with file and column, where wrong.
        """
        self._rows = Counter()
        topic = topics.bank_events(BANK.bank_id)
        # Both files are sorted before they are merged: within a day purchases come first, then row by row.
        rows = heapq.merge(*(sorted(self._transactions(file), key=_event_time) for file in FILES), key=_event_time)
        for delivery in closed_by_receipts([BANK], (Delivery(txn.event_time, topic, txn) for txn in rows)):
            self._rows["made"] += isinstance(delivery.event, Receipt)
            yield delivery

    def rows(self) -> Mapping[str, int]:
        """`read`, `made` (receipts) and `dropped: void`, `dropped: zero`."""
        return {"read": 0, "made": 0, **self._rows}

    def outcomes(self) -> Mapping[str, Label]:
        """None: there are no loans, and the labels of the enterprises carry no date."""
        return {}

    def _transactions(self, file: InvoiceFile) -> Iterator[Txn]:
        columns = read_columns(self.directory / file.name, COLUMNS, NAMES)
        rows = zip(*(columns[name] for name in COLUMNS), strict=True)
        for number, (enterprise_id, when, counterparty, total, status) in enumerate(rows):
            self._rows["read"] += 1
            if status not in (VALID, VOID):
                raise SourceError(f"{file.name}, column status, row {number}: {status!r} is neither {VALID} nor {VOID}")
            amount_minor = minor_units(total, f"{file.name}, column total, row {number}")
            if amount_minor == 0 or status == VOID:
                self._rows["dropped: zero" if amount_minor == 0 else "dropped: void"] += 1
                continue
            yield _txn(file, number, enterprise_id, when, counterparty, amount_minor)


def _txn(
    file: InvoiceFile, number: int, enterprise_id: str, when: datetime, counterparty: str, amount_minor: int
) -> Txn:
    opposite: Direction = "C" if file.direction == "D" else "D"
    return Txn(
        event_id=f"{file.letter}-{number}",
        bank_id=BANK.bank_id,
        enterprise_id=enterprise_id,
        event_time=day_start_ms(day_of_date(when.date())),
        date_only=True,
        account=f"invoices-{enterprise_id}",
        direction=file.direction if amount_minor > 0 else opposite,
        amount_minor=abs(amount_minor),
        currency="CNY",
        counterparty_id=counterparty,
        counterparty_kind="corporate",
        purpose=file.purpose if amount_minor > 0 else "refund",
    )


def _event_time(txn: Txn) -> int:
    return txn.event_time


def defaults(directory: Path) -> dict[str, bool]:
    """Return by enterprise whether it defaulted; nothing says when. Raise SourceError by line and column."""
    found: dict[str, bool] = {}
    for line, row in read_lines(directory / LABELS, ("ent_id", "default"), (*NAMES, LABELS)):
        where = f"{LABELS}, line {line}, column"
        if row["default"] not in ("0", "1"):
            raise SourceError(f"{where} default: {row['default']!r} is neither 0 nor 1")
        if row["ent_id"] in found:
            raise SourceError(f"{where} ent_id: {row['ent_id']} has a row already")
        found[row["ent_id"]] = row["default"] == "1"
    return found
