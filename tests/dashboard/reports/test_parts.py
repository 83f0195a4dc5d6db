"""The parts of reports that need no archive: deadlines, first warnings, cells, periods."""

import re
from importlib.resources import files
from typing import Any, get_args

import pytest

from dashboard.reports.basis import Basis, month_of, week_of
from dashboard.reports.book import Book, Cell, Column, Table, quoted
from dashboard.reports.classes import at_least, too_good
from dashboard.reports.deadlines import deadlines
from dashboard.reports.defaults import Default, first_warning, new_defaults
from dashboard.reports.month_found import share
from dashboard.reports.reading import LoanReport, Move, Overdue
from dashboard.reports.workbook import workbook
from detectors.wording.transactions import PARTIES, PURPOSES, STATUSES
from domain.calendar import date_of, day_start_ms
from domain.events import CounterpartyKind, Purpose
from domain.outputs import SEVERITIES
from tests.dashboard.reports import opened

DAY = 20_000


def move(day: int, change: str, state: str, severity: Any = "red", **fields: Any) -> Move:
    """Return a record, so many days after DAY; contact is due on day 1, the visit on day 3; `waits`: not for now."""
    waits = fields.pop("waits", False)
    given = {
        "bank_id": "B", "case_id": "c", "enterprise_id": "E", "day": DAY + day, "change": change, "state": state,
        "severity": severity, "opened_ms": 0, "contact_due": DAY + 1, "visit_due": DAY + 3, "due": None,
        "escalation": "desk", "exposure_minor": 1, "maker": None, "checker": None, "disposition": None, "until": None,
        "measure": None, "remark": None, "acted_ms": None, "offset": day,
    }  # fmt: skip
    of = given | fields
    return Move(**of | {"due": None if waits else of["visit_due"] or of["contact_due"]})


def owed(*life: Move) -> list[tuple[str, int, int | None, bool]]:
    """Return (step, due day, day done, whether escalated), days after DAY."""
    return [
        (one.step, one.due - DAY, None if one.done is None else one.done - DAY, one.escalated)
        for one in deadlines(life)
    ]


def test_a_step_counts_on_its_day_and_once() -> None:
    opening, begun = move(0, "opened", "awaiting"), move(1, "begun", "checking")
    submitted = move(4, "submitted", "in_review")
    assert owed(opening) == [("contact", 1, None, False), ("visit", 3, None, False)]
    assert owed(opening, begun, submitted) == [("contact", 1, 1, False), ("visit", 3, 4, False)]
    assert [one.kept for one in deadlines([opening, begun, submitted])] == [True, False]
    back = (move(5, "returned", "checking"), move(6, "submitted", "in_review"))
    assert owed(opening, begun, submitted, *back)[2:] == [], "the same deadline is no other"
    late = move(3, "overdue", "awaiting", escalation="head_office")
    assert owed(opening, late) == [("contact", 1, None, True), ("visit", 3, None, True)]


def test_a_graver_case_has_new_deadlines_and_what_was_past_by_then_was_missed() -> None:
    opening = move(0, "opened", "awaiting", "orange", contact_due=DAY + 5, visit_due=None)
    in_time = move(5, "graver", "awaiting", contact_due=DAY + 6, visit_due=DAY + 8)
    assert owed(opening, in_time) == [("contact", 6, None, False), ("visit", 8, None, False)]
    past = move(6, "graver", "awaiting", contact_due=DAY + 7, visit_due=DAY + 9)
    assert owed(opening, past) == [
        ("contact", 5, None, False), ("visit", 5, None, False), ("contact", 7, None, False), ("visit", 9, None, False),
    ]  # fmt: skip


@pytest.mark.parametrize("change", ["paused", "watched", "eased"])
def test_deadlines_wait_while_a_case_is_paused_or_watched(change: str) -> None:
    opening, paused = move(0, "opened", "awaiting"), move(1, change, "awaiting", waits=True)
    goes_on = move(6, "continued", "awaiting", contact_due=DAY + 7, visit_due=DAY + 9)
    assert owed(opening, paused) == []
    assert owed(opening, paused, goes_on) == [("contact", 7, None, False), ("visit", 9, None, False)]
    begun = move(4, "begun", "checking", contact_due=DAY + 5, visit_due=DAY + 7, waits=True)
    assert owed(opening, paused, begun) == [("contact", 5, 4, False)]
    past = move(2, change, "awaiting", waits=True)
    late = move(6, "continued", "awaiting", contact_due=DAY + 2, visit_due=DAY + 8)
    assert owed(opening, past, late) == [
        ("contact", 1, None, False), ("visit", 8, None, False),
    ]  # fmt: skip


def test_a_case_that_closes_by_itself_owes_only_what_was_past() -> None:
    opening = move(0, "opened", "awaiting")
    assert owed(opening, move(1, "resolved", "resolved")) == []
    assert owed(opening, move(2, "resolved", "resolved")) == [("contact", 1, None, False)]
    yellow = move(0, "opened", "awaiting", "yellow", contact_due=None, visit_due=None)
    assert owed(yellow, move(9, "signed", "signed", "yellow", contact_due=None, visit_due=None)) == []


def default(since: int = 500) -> Default:
    return Default("B", "E", "L", DAY + since, 31, 0, 1)


def warned(*moves: Move, severities: Any = SEVERITIES) -> int | None:
    """Return how many days before the default its bank had a case."""
    found = first_warning(default(), {("B", "E"): [moves]}, severities)
    return None if found is None else default().since - found.day


def test_a_warning_is_an_open_case_within_a_year_before() -> None:
    assert warned(move(440, "opened", "awaiting", "yellow")) == 60
    assert warned(move(500, "opened", "awaiting")) is None, "on the day itself nothing is left to warn of"
    assert warned(move(0, "opened", "awaiting")) == 365, "open as the year begins"
    assert warned(move(0, "opened", "awaiting"), move(100, "approved", "disposed")) is None
    assert warned(move(0, "opened", "awaiting"), move(200, "approved", "disposed")) == 365
    graver = (move(400, "opened", "awaiting", "yellow"), move(450, "graver", "awaiting", "orange"))
    assert (warned(*graver), warned(*graver, severities=("orange", "red"))) == (100, 50)
    assert warned(move(400, "signed", "signed", None)) is None, "all its signals have cleared"
    assert first_warning(default(), {("X", "E"): [[move(1, "opened", "awaiting", bank_id="X")]]}, SEVERITIES) is None


def reported(day: int, dpd: int | None, event: Any = "overdue", loan: str = "L", offset: int = 0) -> LoanReport:
    day_ms = day_start_ms(month_of(2024, 3).first + day)
    return LoanReport("B", "E", loan, day_ms, event, dpd, False, False, 0, offset or day + 100)


def test_a_default_counts_once_in_the_month_in_which_its_lender_said_so() -> None:
    march, april = month_of(2024, 3), month_of(2024, 4)
    told = [reported(2, 40)]  # so that it was 31 on 23 February
    (found,) = new_defaults(told, march)
    assert (date_of(found.since).isoformat(), found.dpd, found.offset) == ("2024-02-23", 40, 102)
    assert list(new_defaults([], march)) == []
    assert list(new_defaults([*told, reported(40, 78)], april)) == [], "it was bad before"
    cured = [*told, reported(20, 0, "repaid"), reported(41, 35)]
    assert [date_of(one.since).isoformat() for one in new_defaults(cured, april)] == ["2024-04-07"]
    second = [*told, reported(45, 31, loan="M")]
    assert list(new_defaults(second, april)) == [], "a borrower who is bad already"
    assert [one.loan_id for one in new_defaults([reported(9, 31), reported(8, 33, loan="M")], march)] == ["M"]
    assert [one.since - march.first for one in new_defaults([reported(5, None, "default")], march)] == [5]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "　@x", "＝1", "＋1", "－1", "＠x"]
)
def test_text_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert quoted(text) == f"'{text}"
    book = Book(
        lang="zh", title="甲", whose=text, period="", data_date="", rests_on="", made_on=DAY,
        tables=[Table(title="乙", columns=[Column("丙", "text", 9), Column("丁", "id", 9)], rows=[[text, text]])],
    )  # fmt: skip
    (row,) = opened.table(workbook(book), "乙")
    for cell in row.values():
        assert cell[0] in "'\\"
        assert cell.endswith(text.strip())


@pytest.mark.parametrize("text", ["", "逾期", "1=1", "a@b", "E-1"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert quoted(text) == text


def test_cells_have_the_type_of_their_column() -> None:
    row: list[Cell] = ["007", 123, DAY, 123_456, 250_000, 1.5, "red", None]
    kinds: list[Any] = ["id", "count", "day", "money", "share", "number", "level", "text"]
    columns = [Column(f"h{at}", kind, 9) for at, kind in enumerate(kinds)]
    book = Book(
        lang="en", title="t", whose="w", period="p", data_date="d", rests_on="r", made_on=DAY,
        tables=[Table(title="s", columns=columns, rows=[row])],
    )  # fmt: skip
    (read,) = opened.table(workbook(book), "s")
    assert list(read.values()) == ["007", 123, 45_569, 1_234.56, 0.25, 1.5, "red", None]  # 20000 + 25569


def test_periods_and_shares() -> None:
    week = week_of(20_090)  # Thursday, 2 January 2025
    assert (date_of(week.first).isoformat(), date_of(week.last).isoformat(), week.name) == (
        "2024-12-30", "2025-01-05", "2025-W01",
    )  # fmt: skip
    months = month_of(2024, 2), month_of(2024, 12)
    assert [(date_of(one.first).day, date_of(one.last).isoformat()) for one in months] == [
        (1, "2024-02-29"), (1, "2024-12-31"),
    ]  # fmt: skip
    assert (share(1, 3), share(2, 3), share(0, 5), share(0, 0)) == (333_333, 666_667, 0, None)


def test_many_partitions_are_named_in_the_basis_alone() -> None:
    basis = Basis(bank=None, lang="zh", data_day=DAY)
    assert [basis.at(partition, 7) for partition in range(5)][4] == "4:7"
    assert basis.at(4, 6) == "4:6"
    assert basis.rests_on == "events.v1 位点：5 个分区，见“依据”"
    assert list(basis.table().rows)[4] == (4, 7)
    assert Basis(bank=None, lang="en", data_day=DAY, offsets={1: 5}).rests_on == "events.v1 offsets: 1:5"


@pytest.mark.parametrize(
    ("dpd", "now", "least", "proposed"),
    [
        (1, "正常", "关注", True), (90, "关注", "关注", False), (91, "关注", "次级", True), (91, "可疑", "次级", False),
        (5, None, "关注", True),
    ],
)  # fmt: skip
def test_a_class_is_proposed_where_arrears_allow_no_better(
    dpd: int, now: str | None, least: str, proposed: bool
) -> None:
    assert at_least(dpd) == least
    assert too_good(Overdue("B", "E", "L", 1, dpd, now, 0, 0)) == proposed


def test_transactions_have_the_words_of_the_pages() -> None:
    texts = files("dashboard").joinpath("static/texts.js").read_text(encoding="utf-8")
    for block, at in zip(texts.split("\n  en: {"), (0, 1), strict=True):
        known = dict(re.findall(r'[ {](\w+): "([^"]*)"', block))
        for words in (PURPOSES, {code: word for code, word in STATUSES.items() if code != "booked"}):
            assert {code: word[at] for code, word in words.items()} == {code: known[code] for code in words}
    assert (set(PURPOSES), set(PARTIES)) == (set(get_args(Purpose)), set(get_args(CounterpartyKind)))
