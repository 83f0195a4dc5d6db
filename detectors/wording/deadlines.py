"""Deadlines as dates: business days from the day of an alert, by the level of its case.

How many days a level has is the rules' to say (`case.deadlines`); what a business day is, `config/workdays.csv`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from config.catalogue import workdays, workdays_decided_until
from domain.calendar import DAY_MS, date_of, day_of
from domain.language import Lang, Words
from domain.outputs import Severity

_PROVISIONAL = Words("（节假日暂定）", " (holidays not published yet)")


class Deadline(NamedTuple):
    """Business days in which to contact an enterprise, and to visit it; None: at the next routine check."""

    contact_days: int | None = None
    visit_days: int | None = None


# Of rules that name none (xinliu.rules/1), and of rules that are not at hand.
DEADLINES: Mapping[Severity, Deadline] = {"yellow": Deadline(), "orange": Deadline(5), "red": Deadline(1, 3)}


def business_day_after(day: int, count: int) -> int:
    """Return the day number of the `count`-th business day after `day`."""
    while count > 0:
        day += 1
        count -= workdays().get(day, (day + 3) % 7 < 5)
    return day


def due_text(day: int, today: int, lang: Lang) -> str:
    """Return the day number of a deadline as a date; it says so where the holidays of its year are not published."""
    return day_text(day, today, lang) + (_PROVISIONAL.to(lang) if day > workdays_decided_until() else "")


def day_ahead(as_of_ms: int, days: float) -> int:
    """Return the day number of a time `days` after an evaluation as of `as_of_ms`; days are rounded to millionths."""
    return day_of(round(as_of_ms + days * DAY_MS) + 1_000)


def day_text(day: int, today: int, lang: Lang) -> str:
    """Return a day number as a date; in Chinese without the year where that is today's."""
    on = date_of(day)
    if lang == "en":
        return on.isoformat()
    said = f"{on.month}月{on.day}日"
    return said if on.year == date_of(today).year else f"{on.year}年{said}"
