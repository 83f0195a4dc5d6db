"""A truth file that is wrong is named by file, line or row, and column, before anything is replayed."""

from datetime import date
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from domain.calendar import day_of_text
from replay.backtest.truth import check_ids, read_truth
from replay.sources import SourceError

HEAD = "enterprise_id,scenario,onset,overdue_30,default,recovery"
GOOD = "E1,slow_decay,2025-01-10,2025-06-01,2025-08-01,"


def csv_of(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "truth.csv"
    path.write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")
    return path


def test_a_truth_says_days_or_nothing(tmp_path: Path) -> None:
    found = read_truth(csv_of(tmp_path, GOOD, "E2,sound,,,,"))
    one, other = found.rows["E1"], found.rows["E2"]
    assert (one.scenario, one.onset, one.overdue_30) == (
        "slow_decay",
        day_of_text("2025-01-10"),
        day_of_text("2025-06-01"),
    )
    assert (one.default, one.recovery) == (day_of_text("2025-08-01"), None)
    assert (other.onset, other.overdue_30, other.default) == (None, None, None)
    assert found.known_until is None


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    table = arrow.table(
        {
            "enterprise_id": ["E1", "E2"],
            "scenario": ["slow_decay", "sound"],
            "onset": [date(2025, 1, 10), None],
            "overdue_30": [date(2025, 6, 1), None],
            "default": [date(2025, 8, 1), None],
            "recovery": arrow.array([None, None], arrow.date32()),
            "known_until": [date(2026, 1, 1)] * 2,
            "seed": [7, 7],
            "ignored": [1, 2],
        }
    )
    parquet.write_table(table, tmp_path / "truth.parquet")
    found = read_truth(tmp_path / "truth.parquet")
    same = read_truth(csv_of(tmp_path, GOOD, "E2,sound,,,,"))
    for name, row in found.rows.items():
        assert (row.onset, row.overdue_30, row.default, row.recovery) == (
            same.rows[name].onset, same.rows[name].overdue_30, same.rows[name].default, same.rows[name].recovery,
        )  # fmt: skip
    assert (found.known_until, found.seed) == (day_of_text("2026-01-01"), "7")
    assert found.rows["E2"].where == f"{tmp_path / 'truth.parquet'}, row 2"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD, "E1,sound,,,,"], "line 3: E1 has a row already ({path}, line 2)"),
        ([GOOD, ",sound,,,,"], "line 3, column enterprise_id: missing"),
        ([GOOD, "E2,sound,,,"], "line 3: the row has not 6 columns"),
        (["E1,x,2025-02-30,2025-06-01,,"], "line 2, column onset: '2025-02-30' is no date"),
        (["E1,x,,1.6.2025,,"], "line 2, column overdue_30: '1.6.2025' is no date"),
        (["E1,x,,2025-06-01,1066-10-14,"], "line 2, column default: 1066-10-14 is not between"),
        (["E1,x,2025-07-01,2025-06-01,,"], "line 2: onset 2025-07-01 lies after overdue_30 2025-06-01"),
        (["E1,x,,2025-09-01,2025-08-01,"], "line 2: overdue_30 2025-09-01 lies after default 2025-08-01"),
        (["E1,x,2025-01-01,2025-06-01,,2024-12-31"], "line 2: recovery 2024-12-31 lies before onset 2025-01-01"),
        (["E1,x,,,2025-08-01,"], "line 2, column overdue_30: missing, with a default on 2025-08-01"),
        (["E1,sound,,,,", "E2,sound,,,,"], "column overdue_30: no enterprise ever is, so there is nothing to warn of"),
        ([], "no enterprise is in it"),
    ],
)
def test_errors_of_a_truth_file_are_named(tmp_path: Path, rows: list[str], said: str) -> None:
    path = csv_of(tmp_path, *rows)
    with pytest.raises(SourceError) as refused:
        read_truth(path)
    assert said.format(path=path) in str(refused.value)
    assert str(path) in str(refused.value)


def test_shared_columns_have_one_value_in_all_rows(tmp_path: Path) -> None:
    head = f"{HEAD},known_until,seed"
    path = csv_of(tmp_path, f"{GOOD},2026-01-01,1", "E2,sound,,,,,2026-01-01,2", head=head)
    with pytest.raises(SourceError, match="line 3, column seed: 2, and 1 in the rows before"):
        read_truth(path)
    path = csv_of(tmp_path, f"{GOOD},2025-07-01,1", head=head)
    with pytest.raises(SourceError, match="line 2, column default: 2025-08-01 lies after known_until, 2025-07-01"):
        read_truth(path)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no column onset"):
        read_truth(csv_of(tmp_path, GOOD, head=HEAD.replace("onset", "begin")))
    for name, said in (("nowhere.csv", "No such file"), ("nowhere.parquet", "No such file")):
        with pytest.raises(SourceError, match=said):
            read_truth(tmp_path / name)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(SourceError, match="is not a Parquet file that can be read"):
        read_truth(tmp_path / "torn.parquet")
    (tmp_path / "torn.csv").write_bytes(HEAD.encode() + b"\n\xff\xfe\n")
    with pytest.raises(SourceError, match="is not a CSV file that can be read"):
        read_truth(tmp_path / "torn.csv")


def test_enterprises_that_the_log_does_not_have_are_named(tmp_path: Path) -> None:
    rows = read_truth(csv_of(tmp_path, GOOD, *(f"X{i},sound,,,," for i in range(7)))).rows
    check_ids(rows, [*rows, "more"])
    with pytest.raises(
        SourceError, match=r"has no enterprise X0 \(.*line 3\), X1 .* and 2 more: this truth is of another"
    ):
        check_ids(rows, ["E1"])
