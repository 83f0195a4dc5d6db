"""A list of outcomes: each line that cannot be judged is named with its reason, and all lines are accounted for."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from domain.calendar import day_of_text
from replay.evaluation.outcomes import Outcomes, read_outcomes
from replay.sources import SourceError

TODAY = date(2026, 6, 1)


def read(tmp_path: Path, *lines: str, head: str = "id,label,date") -> Outcomes:
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return read_outcomes(path, TODAY)


def test_a_list_without_fault_is_taken_whole(tmp_path: Path) -> None:
    found = read(tmp_path, "E1,bad,2025-03-01", "", "E2,0,2025-04-02", "loan-7,1,2026-06-01")
    assert not found.problems
    assert [(one.id, one.bad, one.day, one.line) for one in found.found.values()] == [
        ("E1", True, day_of_text("2025-03-01"), 2),
        ("E2", False, day_of_text("2025-04-02"), 4),
        ("loan-7", True, day_of_text("2026-06-01"), 5),
    ]


def test_columns_may_come_in_any_order_beside_others(tmp_path: Path) -> None:
    found = read(tmp_path, "branch 3,2025-03-01, E1 ,bad", head="\ufeffbranch,date, id,label")
    assert [(one.id, one.bad) for one in found.found.values()] == [("E1", True)]


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("E1,bad", "malformed", "2 cells"),
        ("E1,bad,2025-03-01,x", "malformed", "4 cells"),
        (",bad,2025-03-01", "missing", "id is empty"),
        ("E1,,", "missing", "label and date is empty"),
        ("E1,worse,2025-03-01", "label", "'worse'"),
        ("E1,bad,2025-02-30", "date", "'2025-02-30'"),
        ("E1,bad,3/1/2025", "date", "'3/1/2025'"),
        ("E1,bad,2026-06-02", "future", "today is 2026-06-01"),
    ],
)
def test_a_line_that_cannot_be_judged_is_named_with_its_reason(tmp_path: Path, line: str, kind: str, said: str) -> None:
    found = read(tmp_path, line, "E2,good,2025-04-02")
    assert [(one.line, one.kind) for one in found.problems] == [(2, kind)]
    assert said in found.problems[0].detail
    assert list(found.found) == ["E2"]


def test_a_doubled_id_counts_once_and_one_that_contradicts_itself_not_at_all(tmp_path: Path) -> None:
    found = read(
        tmp_path, "E1,bad,2025-03-01", "E2,good,2025-03-01", "E1,bad,2025-05-01", "E2,bad,2025-05-01", "E3,0,2025-01-01"
    )
    assert list(found.found) == ["E1", "E3"]
    assert found.found["E1"].day == day_of_text("2025-03-01"), "the first line holds"
    assert [(one.line, one.id, one.kind) for one in found.problems] == [
        (3, "E2", "contradiction"),
        (4, "E1", "doubled"),
        (5, "E2", "contradiction"),
    ]
    assert "line 2 already" in found.problems[1].detail


def test_every_line_is_judged_or_a_problem(tmp_path: Path) -> None:
    lines = ["E1,bad,2025-03-01", "E1,bad,2025-03-01", "E2,no,2025-03-01", "E3,good,x", "E4,good,2025-01-01", "E5"]
    found = read(tmp_path, *lines)
    assert found.lines == len(lines) == len(found.found) + len(found.problems)
    assert Counter(one.kind for one in found.problems) == {"doubled": 1, "label": 1, "date": 1, "malformed": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no column id, label, date"),
        (b"id,label\nE1,bad\n", "line 1: no column date"),
        (b"\xff\xfe\x00", "no CSV file|is not a CSV file"),
    ],
)
def test_a_file_that_is_no_list_is_refused_by_name(tmp_path: Path, body: bytes, said: str) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_bytes(body)
    with pytest.raises(SourceError, match=said):
        read_outcomes(path, TODAY)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.csv is not a CSV file that can be read"):
        read_outcomes(tmp_path / "nowhere.csv", TODAY)
