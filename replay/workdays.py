"""The simulator's working calendar: which days banks book on, and which days' payments fall on each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from config.catalogue import spring_festivals
from domain.calendar import date_of, day_of_date

_FIXED_HOLIDAYS = frozenset({(1, 1), *((5, day) for day in range(1, 4)), *((10, day) for day in range(1, 8))})
_FESTIVAL = frozenset(first + offset for first in spring_festivals() for offset in range(-1, 7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workday:
    """One day: `due_weekdays` (0 = Monday) and `due_month_days` of all days whose payments are booked on it.

    What falls on a weekend or holiday is booked on the next business day; both are empty where this is none.
    """

    day: int
    when: date
    business: bool
    due_weekdays: tuple[int, ...]
    due_month_days: tuple[int, ...]


def is_business_day(day: int) -> bool:
    """Return whether banks book payments between enterprises on `day`; make-up working days are left out."""
    when = date_of(day)
    return when.weekday() < 5 and (when.month, when.day) not in _FIXED_HOLIDAYS and day not in _FESTIVAL


def months_later(day: int, months: int) -> int:
    """Return the same day of the month so many months on; the 28th stands for those after it."""
    start = date_of(day)
    month = start.year * 12 + start.month - 1 + months
    return day_of_date(date(month // 12, month % 12 + 1, min(start.day, 28)))


def workdays(start_day: int, end_day: int) -> Iterator[Workday]:
    """Yield the days of [start_day, end_day)."""
    carried: list[date] = []
    for day in range(start_day, end_day):
        when = date_of(day)
        carried.append(when)
        business = is_business_day(day)
        due, carried = (carried, []) if business else ([], carried)
        yield Workday(
            day=day,
            when=when,
            business=business,
            # A payer of every Friday pays once after a long holiday for all the Fridays in it.
            due_weekdays=tuple(sorted({each.weekday() for each in due if each.weekday() < 5})),
            due_month_days=tuple(each.day for each in due),
        )
