"""Dates in `config/` past the published ones: the lunar new year, and provisional rows of `workdays.csv`.

The State Council decides each autumn which days of the next year are off and which weekends are worked. For the years
after, only the law is known (全国年节及纪念日放假办法, as in force since 2025-01-01): thirteen days, each on its date.
Days off in their place when they fall on a weekend, and working weekends, are left out: nobody knows their dates.
"""

import csv
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from docs.generate.lunar import first_of_month, qingming

LAST_YEAR = 2050
_CONFIG = Path(__file__).resolve().parents[2] / "config"
_FIXED = ((1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3))
_SATURDAY = 5


def statutory_holidays(year: int) -> set[date]:
    """Return the days off of a year by the law alone. Raise ValueError where the lunar calendar cannot be computed."""
    spring, dragon_boat, mid_autumn = (first_of_month(year, month) for month in (1, 5, 8))
    return {
        *(date(year, month, day) for month, day in _FIXED),
        *(spring + timedelta(days=offset) for offset in range(-1, 3)),
        qingming(year),
        dragon_boat + timedelta(days=4),
        mid_autumn + timedelta(days=14),
    }


def workdays() -> str:
    """Return `workdays.csv`: its published rows, and provisional ones of the years after them up to LAST_YEAR."""
    published = sorted(row for row in published_rows("workdays.csv") if row[1] != "provisional")
    last = date.fromisoformat(published[-1][0]).year
    provisional = (
        (day.isoformat(), "provisional")
        for year in range(last + 1, LAST_YEAR + 1)
        for day in sorted(statutory_holidays(year))
        if day.weekday() < _SATURDAY
    )
    return _csv(("day", "kind"), [*published, *provisional])


def spring_festival() -> str:
    """Return `spring_festival.csv`: its rows, and those of the years after them up to LAST_YEAR."""
    known = published_rows("spring_festival.csv")
    years = range(int(known[-1][0]) + 1, LAST_YEAR + 1)
    return _csv(("year", "first_day"), [*known, *((str(year), first_of_month(year, 1).isoformat()) for year in years)])


def published_rows(name: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader((_CONFIG / name).read_text(encoding="utf-8").splitlines()[1:])]


def _csv(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in (head, *rows))
