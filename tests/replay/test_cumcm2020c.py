"""The CUMCM adapter: the mapping on a made-up folder, and the counts of the real one where it is at hand."""

import itertools
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from domain.calendar import date_of, day_of
from domain.events import Receipt, Txn
from replay.cumcm2020c import VALID, VOID, Invoices
from replay.sources import SourceError

pa = pytest.importorskip("pyarrow", reason="the extra 'evaluate' (pyarrow) is not installed")
pq = pytest.importorskip("pyarrow.parquet")

BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "data"
REAL = Path(os.environ.get("XINLIU_DATA") or BESIDE_THE_REPOSITORY) / "cumcm2020c"

Row = tuple[str, str, str, float, str]


def write(path: Path, rows: list[Row], **changed: Any) -> None:
    columns: dict[str, Any] = {
        "ent_id": [row[0] for row in rows],
        "invoice_no": ["1"] * len(rows),
        "date": pa.array([datetime.fromisoformat(row[1]) for row in rows], pa.timestamp("us")),
        "counterparty": [row[2] for row in rows],
        "total": [row[3] for row in rows],
        "status": [row[4] for row in rows],
    }
    columns.update(changed)
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    purchases = [
        ("E1", "2019-03-04", "A1", 0.29, VALID),
        ("E1", "2019-03-01", "A2", -15.5, VALID),
        ("E2", "2019-03-01", "A1", 9.0, VOID),
    ]
    sales = [
        ("E1", "2019-03-01", "B1", 100.0, VALID),
        ("E2", "2019-03-04", "B1", -0.57, VALID),
        ("E2", "2019-03-02", "B1", 0.0, VOID),
    ]
    write(tmp_path / "a1_in_invoice.parquet", purchases)
    write(tmp_path / "a1_out_invoice.parquet", sales)
    return tmp_path


def test_invoices_become_transactions_in_order_and_every_day_has_its_receipt(folder: Path) -> None:
    source = Invoices(folder)
    deliveries = list(source.deliveries())
    assert [each.at_ms for each in deliveries] == sorted(each.at_ms for each in deliveries)
    txns = [each.event for each in deliveries if isinstance(each.event, Txn)]
    assert [
        (txn.event_id, txn.enterprise_id, date_of(day_of(txn.event_time)).isoformat(), txn.direction, txn.amount_minor)
        for txn in txns
    ] == [
        ("in-1", "E1", "2019-03-01", "C", 1550),
        ("out-0", "E1", "2019-03-01", "C", 10000),
        ("in-0", "E1", "2019-03-04", "D", 29),
        ("out-1", "E2", "2019-03-04", "D", 57),
    ]
    assert [txn.purpose for txn in txns] == ["refund", "sales", "purchase", "refund"]
    assert all(txn.date_only and txn.counterparty_kind == "corporate" and txn.currency == "CNY" for txn in txns)
    receipts = [each.event for each in deliveries if isinstance(each.event, Receipt)]
    assert [(each.day, each.count, each.debit_minor, each.credit_minor) for each in receipts] == [
        ("2019-03-01", 2, 0, 11550), ("2019-03-02", 0, 0, 0), ("2019-03-03", 0, 0, 0), ("2019-03-04", 2, 86, 0),
    ]  # fmt: skip
    assert dict(source.rows()) == {"read": 6, "made": 4, "dropped: void": 1, "dropped: zero": 1}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: (folder / "a1_out_invoice.parquet").unlink(), "a1_out_invoice.parquet does not exist"),
        (lambda folder: (folder / "a1_in_invoice.parquet").write_bytes(b"no"), "a1_in_invoice.parquet is not a Parq"),
        (
            lambda folder: write(
                folder / "a1_in_invoice.parquet", [("E1", "2019-03-01", "A", 1.0, VALID)], status=None
            ),
            "has no column status",
        ),
        (
            lambda folder: write(folder / "a1_in_invoice.parquet", [("E1", "2019-03-01", "A", 1.0, "?")]),
            "a1_in_invoice.parquet, column status, row 0: '\\?'",
        ),
        (
            lambda folder: write(
                folder / "a1_out_invoice.parquet", [("E1", "2019-03-01", "A", 1.0, VALID)], total=["1"]
            ),
            "a1_out_invoice.parquet, column total: string",
        ),
        (
            lambda folder: write(folder / "a1_out_invoice.parquet", [("E1", "2019-03-01", None, 1.0, VALID)]),  # type: ignore[list-item]
            "column counterparty",
        ),
        (
            lambda folder: write(folder / "a1_in_invoice.parquet", [("E1", "2019-03-01", "A", float("nan"), VALID)]),
            "a1_in_invoice.parquet, column total, row 0: nan",
        ),
    ],
)
def test_a_folder_that_is_not_the_data_set_is_refused_by_file_and_column(
    folder: Path, spoil: Callable[[Path], object], named: str
) -> None:
    spoil(folder)
    with pytest.raises(SourceError, match=named):
        list(Invoices(folder).deliveries())


@pytest.mark.skipif(not REAL.exists(), reason=f"the data set is not at {REAL} (set XINLIU_DATA)")
def test_the_real_invoices_add_up() -> None:
    source = Invoices(REAL)
    kinds: Counter[str] = Counter()
    ids = set()
    for delivery in source.deliveries():
        kinds[type(delivery.event).__name__] += 1
        if isinstance(delivery.event, Txn):
            kinds[f"{delivery.event.direction} {delivery.event.purpose}"] += 1
            ids.add((delivery.event.enterprise_id, delivery.event.event_id))
    rows = source.rows()
    assert rows["read"] == 210_947 + 162_484 == 373_431
    # 18,814 are void; the 1,679 of a total of zero are void too, and counted as zero.
    assert (rows["dropped: void"], rows["dropped: zero"]) == (18_814 - 1_679, 1_679)
    assert kinds["Txn"] == len(ids) == rows["read"] - 18_814
    assert kinds["C refund"] == 1_860
    assert kinds["D refund"] == 8_424
    assert kinds["Receipt"] == rows["made"] == 1_236  # every day from 2016-10-04 to 2020-02-21


def test_both_files_are_read_each_time_anew(folder: Path) -> None:
    source = Invoices(folder)
    first, second = list(source.deliveries()), list(source.deliveries())
    assert first == second
    assert all(a.at_ms <= b.at_ms for a, b in itertools.pairwise(first))
    assert source.rows()["read"] == 6
