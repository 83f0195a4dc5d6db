"""The common ground of the adapters of recorded data sets: reading files with errors by file, row and column, and the
receipts with which their banks close each day.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from config.settings import Bank
from domain import topics
from domain.calendar import date_of, day_of, day_start_ms
from domain.events import Receipt, Txn
from domain.money import AMOUNT_MINOR_MAX
from replay.sources import Delivery, SourceError

ColumnKind = Literal["text", "date", "decimal", "integer"]


def identity_of(name: str, version: int, directory: Path, files: Sequence[str]) -> str:
    """Return the identity of a data set, made of the sizes of its files. Raise SourceError where one is missing.

    `version` counts the changes of what the adapter makes of the same files.
    """
    try:
        sizes = " ".join(f"{file}:{(directory / file).stat().st_size}" for file in files)
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}; --data must name the data set's folder") from error
    return f"{name} {version} {sizes}"


def read_columns(path: Path, kinds: Mapping[str, ColumnKind], files: Sequence[str]) -> dict[str, list[Any]]:
    """Return the columns `kinds` of a Parquet file as Python values, none of them missing.

    SourceError says what the file lacks; `files` are all that belong in its folder.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise SourceError("the data set is in Parquet: install the extra 'evaluate' (pyarrow)") from None
    try:
        table = parquet.read_table(path)
    except FileNotFoundError:
        raise _absent(path, files) from None
    except (arrow.ArrowException, OSError) as error:
        raise SourceError(f"{path} is not a Parquet file that can be read: {error}") from error
    types = arrow.types
    tests: dict[ColumnKind, Callable[[Any], bool]] = {
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        "date": types.is_timestamp,
        "decimal": types.is_floating,
        "integer": types.is_integer,
    }
    for name, wanted in kinds.items():
        if name not in table.column_names:
            raise SourceError(f"{path.name} has no column {name} (it has {', '.join(table.column_names)})")
        kind = table.schema.field(name).type
        if not tests[wanted](kind):
            raise SourceError(f"{path.name}, column {name}: {kind} is not what the data set has there")
        if table[name].null_count:
            raise SourceError(f"{path.name}, column {name}: {table[name].null_count} values are missing")
    return cast(dict[str, list[Any]], table.select(list(kinds)).to_pydict())


def read_lines(path: Path, columns: Sequence[str], files: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file with their line numbers, as text. SourceError by line where a row is not whole."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            found = reader.fieldnames or ()
            for name in columns:
                if name not in found:
                    raise SourceError(f"{path.name} has no column {name} (it has {', '.join(found)})")
            for row in reader:
                if None in row or None in row.values():
                    raise SourceError(f"{path.name}, line {reader.line_num}: the row has not {len(found)} columns")
                yield reader.line_num, row
    except FileNotFoundError:
        raise _absent(path, files) from None
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV file that can be read: {error}") from error


def minor_units(amount: float, where: str) -> int:
    """Return an amount in minor units; SourceError with `where` where it is none that a bank could book."""
    if not abs(amount) <= AMOUNT_MINOR_MAX // 100:  # NaN too
        raise SourceError(f"{where}: {amount} is no amount")
    return round(amount * 100)


def closed_by_receipts(banks: Sequence[Bank], deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
    """Yield banks' deliveries in order of time, each day, also one with nothing, closed by a receipt of each."""
    day: int | None = None
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # by bank: transactions, debits, credits
    for delivery in deliveries:
        today = day_of(delivery.at_ms)
        while day is not None and day < today:
            yield from (_receipt(bank, day, totals[bank.bank_id]) for bank in banks)
            day = day + 1
            totals.clear()
        day = today
        event = delivery.event
        if isinstance(event, Txn):
            of_bank = totals[event.bank_id]
            of_bank[0] += 1
            of_bank[1 if event.direction == "D" else 2] += event.amount_minor
        yield delivery
    if day is not None:
        yield from (_receipt(bank, day, totals[bank.bank_id]) for bank in banks)


def _receipt(bank: Bank, day: int, totals: Sequence[int]) -> Delivery:
    count, debit_minor, credit_minor = totals
    receipt = Receipt(
        bank_id=bank.bank_id,
        day=date_of(day).isoformat(),
        count=count,
        debit_minor=debit_minor,
        credit_minor=credit_minor,
    )
    return Delivery(day_start_ms(day + 1), topics.bank_events(bank.bank_id), receipt)


def _absent(path: Path, files: Sequence[str]) -> SourceError:
    return SourceError(f"{path} does not exist: --data must name the folder that holds {' and '.join(files)}")
