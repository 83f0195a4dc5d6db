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
from typing import Any, cast

from config.settings import Bank
from domain import topics
from domain.calendar import DAY_MS, date_of, day_of_date, day_start_ms
from domain.events import Direction, Purpose, Receipt, Txn
from domain.money import AMOUNT_MINOR_MAX
from replay.sources import Delivery, SourceError

BANK = Bank(bank_id="C2020000000001", name_zh="CUMCM 2020 C", name_en="CUMCM 2020 C")
COLUMNS = ("ent_id", "date", "counterparty", "total", "status")
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


class Invoices:
    """The `Source` of the invoices under `directory`."""

    name = "cumcm2020c"
    banks = (BANK,)

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._rows: Counter[str] = Counter()

    @property
    def identity(self) -> str:
        """The sizes of the files stand for what is in them. SourceError where there are none."""
        try:
            sizes = " ".join(f"{file.name}:{(self.directory / file.name).stat().st_size}" for file in FILES)
        except OSError as error:
            raise SourceError(f"{error.filename}: {error.strerror}; --data must name the data set's folder") from error
        return f"cumcm2020c 1 {sizes}"

    def deliveries(self) -> Iterator[Delivery]:
        """All invoices day by day, each day closed by its receipt. SourceError names file and column."""
        self._rows = Counter()
        topic = topics.bank_events(BANK.bank_id)
        # Both files are sorted before they are merged: within a day purchases come first, then row by row.
        rows = heapq.merge(*(sorted(self._transactions(file), key=_event_time) for file in FILES), key=_event_time)
        day: int | None = None
        totals = [0, 0, 0]
        for txn in rows:
            today = (txn.event_time - day_start_ms(0)) // DAY_MS
            while day is not None and day < today:
                yield self._receipt(topic, day, totals)
                totals, day = [0, 0, 0], day + 1
            day = today
            totals[0] += 1
            totals[1 if txn.direction == "D" else 2] += txn.amount_minor
            yield Delivery(txn.event_time, topic, txn)
        if day is not None:
            yield self._receipt(topic, day, totals)

    def rows(self) -> Mapping[str, int]:
        """`read`, `made` (receipts) and `dropped: void`, `dropped: zero`."""
        return {"read": 0, "made": 0, **self._rows}

    def _transactions(self, file: InvoiceFile) -> Iterator[Txn]:
        columns = _read(self.directory / file.name)
        rows = zip(*(columns[name] for name in COLUMNS), strict=True)
        for number, (enterprise_id, when, counterparty, total, status) in enumerate(rows):
            self._rows["read"] += 1
            if status not in (VALID, VOID):
                raise SourceError(f"{file.name}, column status, row {number}: {status!r} is neither {VALID} nor {VOID}")
            if not abs(total) <= AMOUNT_MINOR_MAX // 100:
                raise SourceError(f"{file.name}, column total, row {number}: {total} is no amount in yuan")
            amount_minor = round(total * 100)
            if amount_minor == 0 or status == VOID:
                self._rows["dropped: zero" if amount_minor == 0 else "dropped: void"] += 1
                continue
            yield _txn(file, number, enterprise_id, when, counterparty, amount_minor)

    def _receipt(self, topic: str, day: int, totals: list[int]) -> Delivery:
        self._rows["made"] += 1
        count, debit_minor, credit_minor = totals
        receipt = Receipt(
            bank_id=BANK.bank_id,
            day=date_of(day).isoformat(),
            count=count,
            debit_minor=debit_minor,
            credit_minor=credit_minor,
        )
        return Delivery(day_start_ms(day + 1), topic, receipt)


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


def _read(path: Path) -> dict[str, list[Any]]:
    """The columns of one file as Python values. SourceError says what the file lacks."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise SourceError("the data set is in Parquet: install the extra 'evaluate' (pyarrow)") from None
    try:
        table = parquet.read_table(path)
    except FileNotFoundError:
        names = " and ".join(file.name for file in FILES)
        raise SourceError(f"{path} does not exist: --data must name the folder that holds {names}") from None
    except (arrow.ArrowException, OSError) as error:
        raise SourceError(f"{path} is not a Parquet file that can be read: {error}") from error
    kinds = {"date": arrow.types.is_timestamp, "total": arrow.types.is_floating}
    for name in COLUMNS:
        if name not in table.column_names:
            raise SourceError(f"{path.name} has no column {name} (it has {', '.join(table.column_names)})")
        kind = table.schema.field(name).type
        if not kinds.get(name, _is_text)(kind):
            raise SourceError(f"{path.name}, column {name}: {kind} is not what the data set has there")
        if table[name].null_count:
            raise SourceError(f"{path.name}, column {name}: {table[name].null_count} values are missing")
    return cast(dict[str, list[Any]], table.select(list(COLUMNS)).to_pydict())


def _is_text(kind: Any) -> bool:
    import pyarrow as arrow

    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))
