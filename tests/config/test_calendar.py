"""Tables of dates: the years that are published, and provisional ones by the law alone."""

from datetime import date, timedelta

import pytest

from config import catalogue
from docs.generate import calendar
from docs.generate.lunar import first_of_month, qingming
from domain.calendar import date_of, day_of_date, day_of_text

SOLSTICE_AT_MIDNIGHT = 2021  # 2021-12-21 23:59 at UTC+8: by these formulas its day cannot be told


def is_off(day: date) -> bool:
    return not catalogue.workdays().get(day_of_date(day), day.weekday() < 5)


@pytest.mark.parametrize("row", calendar.published_rows("spring_festival.csv"), ids=lambda row: row[0])
def test_a_lunar_year_begins_on_the_published_day(row: tuple[str, str]) -> None:
    year, published = int(row[0]), date.fromisoformat(row[1])
    if year in (SOLSTICE_AT_MIDNIGHT, SOLSTICE_AT_MIDNIGHT + 1):
        with pytest.raises(ValueError, match="2021-12-22"):
            first_of_month(year, 1)
    else:
        assert first_of_month(year, 1) == published


@pytest.mark.parametrize("year", [year for year in range(2008, 2027) if year not in (2021, 2022)])
def test_a_computed_holiday_was_off_in_every_published_year(year: int) -> None:
    """Since 2008 all of these are holidays; the eve of the lunar year and May 2 are so since 2025 alone."""
    added = {first_of_month(year, 1) - timedelta(days=1), date(year, 5, 2)} if year < 2025 else set()
    holidays = calendar.statutory_holidays(year) - added
    assert [day for day in sorted(holidays) if not is_off(day)] == []


@pytest.mark.parametrize(
    ("year", "month", "first"),
    [
        (2020, 5, date(2020, 6, 21)),  # after the leap fourth month
        (2023, 8, date(2023, 9, 15)),  # after the leap second month
        (2033, 12, date(2034, 1, 20)),  # after the leap eleventh month, the famous one
        (2034, 1, date(2034, 2, 19)),
    ],
)
def test_leap_months_are_recognised(year: int, month: int, first: date) -> None:
    assert first_of_month(year, month) == first


def test_an_instant_at_midnight_is_refused_and_not_guessed() -> None:
    with pytest.raises(ValueError, match="midnight of 2071-04-05"):
        qingming(2071)


def test_2027_is_off_on_the_days_of_the_law_alone() -> None:
    days = [day for day in sorted(calendar.statutory_holidays(2027)) if day.weekday() < 5]
    assert [f"{day:%m-%d}" for day in days] == ["01-01", "02-05", "02-08", "04-05", "06-09", "09-15", "10-01"]
    assert [day for day in days if not is_off(day)] == []
    worked = [date(2027, 1, 1) + timedelta(days=i) for i in range(365)]
    assert [day for day in worked if day.weekday() >= 5 and not is_off(day)] == [], "no weekend is worked"


def test_the_tables_reach_to_2050_and_are_decided_until_the_last_published_year() -> None:
    assert date_of(catalogue.workdays_decided_until()) == date(2026, 12, 31)
    assert date_of(max(catalogue.workdays())).year == calendar.LAST_YEAR == 2050
    assert catalogue.calendar_ends() == {
        "workdays": day_of_text("2026-12-31"),
        "spring_festival": day_of_text("2050-12-31"),
    }


def test_a_year_that_is_published_takes_the_place_of_its_provisional_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = calendar.published_rows("workdays.csv")
    monkeypatch.setattr(calendar, "published_rows", lambda _: [*rows, ("2027-02-20", "worked"), ("2027-01-01", "off")])
    kinds = dict(line.split(",") for line in calendar.workdays().splitlines())
    assert {day: kind for day, kind in kinds.items() if day.startswith("2027")} == {
        "2027-01-01": "off",
        "2027-02-20": "worked",
    }
    assert kinds["2028-01-25"] == "provisional"
    assert list(kinds)[1:] == sorted(list(kinds)[1:])


def test_a_kind_that_nobody_knows_is_named_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_text", lambda _: "day,kind\n2026-01-01,off\n2026-01-02,holiday\n")
    with pytest.raises(ValueError, match=r"workdays\.csv line 3: kind 'holiday'"):
        catalogue._workday_rows.__wrapped__()
