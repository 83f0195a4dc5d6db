"""A case that comes back keeps its id: each verdict counts for the signals of its own life, in views and reports."""

from collections.abc import Iterator
from datetime import date

import pytest

from dashboard.reports import reading
from dashboard.reports.basis import month_of, week_of
from dashboard.reports.ledger import ledger
from dashboard.reports.month import month
from dashboard.reports.workbook import workbook
from domain.calendar import day_of_date
from sinks.clickhouse import Connection, migrate
from tests.dashboard.reports import opened
from tests.dashboard.reports.scenario import MINE, archived, comeback

ARREARS, PENALTY = "EWS35_arrears", "EWS48_adverse_gov_event"


@pytest.fixture(scope="module")
def stored(clickhouse: Connection) -> Iterator[Connection]:
    """The archive of the comeback."""
    clickhouse.execute("DROP DATABASE IF EXISTS xinliu")
    migrate(clickhouse)
    archived(clickhouse, told=comeback())
    return clickhouse


def test_the_story_is_of_two_lives_of_one_case_on_one_day(stored: Connection) -> None:
    first, second = reading.lives(stored, MINE.bank_id, 2**31 - 1)
    assert first.case_id == second.case_id
    assert (first.disposition, second.disposition) == ("false_alarm", "confirmed")
    assert first.closed == second.opened == day_of_date(date(2024, 1, 11))
    query = """SELECT signal, state FROM xinliu.alert_told FINAL
        WHERE toUnixTimestamp64Milli(as_of) > {at:Int64} ORDER BY signal, log_offset"""
    after = stored.rows(query, {"at": second.opened_ms})
    assert {signal for signal, state in after if state == "cleared"} >= {ARREARS}, "told after the case was closed"


def test_the_view_counts_each_verdict_for_the_signals_of_its_life(stored: Connection) -> None:
    query = "SELECT signal, disposed, confirmed, false_alarms, others FROM xinliu.signal_disposition ORDER BY signal"
    assert stored.rows(query) == [(ARREARS, 1, 0, 1, 0), (PENALTY, 1, 1, 0, 0)]


def test_so_do_the_month_and_the_ledger(stored: Connection) -> None:
    body = workbook(month(stored, (MINE,), MINE, month_of(2024, 1), "zh"))
    found = {row["信号编号"]: (row["属实"], row["误报"]) for row in opened.table(body, "误报按信号")}
    assert found == {ARREARS: (0, 1), PENALTY: (1, 0)}
    body = workbook(ledger(stored, (MINE,), MINE, week_of(day_of_date(date(2024, 1, 12))), "en"))
    rows = opened.table(body, "Ledger")
    assert sorted((row["conclusion"], row["signals"]) for row in rows) == [
        ("confirmed", "Enforcement, penalty or licence event"), ("false alarm", "Arrears"),
    ]  # fmt: skip
