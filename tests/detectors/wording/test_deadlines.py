"""Deadlines as dates: business days of China's calendar, from the day of an alert."""

from datetime import date

import pytest

from config.case_table import packaged_case_table
from config.catalogue import workdays_decided_until
from detectors.wording.case import DESK, desk_of
from detectors.wording.deadlines import DEADLINES, business_day_after, day_ahead, due_text
from domain.calendar import DAY_MS, date_of, day_of_date, day_start_ms


@pytest.mark.parametrize(
    ("day", "count", "wanted"),
    [
        (date(2025, 4, 22), 1, date(2025, 4, 23)),
        (date(2025, 4, 22), 5, date(2025, 4, 28)),  # the Sunday before is worked
        (date(2025, 9, 30), 1, date(2025, 10, 9)),
        (date(2025, 10, 10), 1, date(2025, 10, 11)),  # a Saturday that is worked
        (date(2025, 4, 26), 1, date(2025, 4, 27)),
        (date(2025, 4, 22), 0, date(2025, 4, 22)),
    ],
)
def test_deadlines_count_business_days(day: date, count: int, wanted: date) -> None:
    assert date_of(business_day_after(day_of_date(day), count)) == wanted


def test_a_date_without_published_holidays_says_so() -> None:
    last = workdays_decided_until()
    assert "暂定" not in due_text(last, last, "zh")
    assert due_text(last + 5, last, "zh").endswith("（节假日暂定）")
    assert "not published" in due_text(last + 5, last, "en")


def test_rules_without_a_case_table_have_the_deadlines_of_before() -> None:
    assert desk_of(None) is DESK
    assert desk_of(packaged_case_table().table).deadlines == DEADLINES


def test_a_time_ahead_is_on_its_day_although_days_are_rounded() -> None:
    due, as_of = day_start_ms(20_200), day_start_ms(20_199) + 61_234_567
    for days in ((due - as_of) / DAY_MS - 4e-7, (due - as_of) / DAY_MS + 4e-7):
        assert day_ahead(as_of, round(days, 6)) == 20_200
