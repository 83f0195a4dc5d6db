"""Business days, ISO weeks and months as integers, in Asia/Shanghai.

A day number counts days since 1970-01-01 in the business zone, a week number counts ISO weeks (Monday 00:00) and a
month number counts months since 1970-01. China has kept UTC+8 without summer time since 1991-09-15. The summers of 1990
and 1991 (the earliest accepted event time is 1990-01-01) were an hour ahead; since a booking day is what a bank prints
on it, the fixed offset is used for all years.
"""

from datetime import date, timedelta

DAY_MS = 86_400_000
ZONE_OFFSET_MS = 8 * 3_600_000
EVENT_TIME_MS_MIN = 631_123_200_000  # 1990-01-01 00:00 Asia/Shanghai
_EPOCH = date(1970, 1, 1)


def day_of(time_ms: int) -> int:
    """Return the business day number of `time_ms`, milliseconds of the epoch."""
    return (time_ms + ZONE_OFFSET_MS) // DAY_MS


def day_start_ms(day: int) -> int:
    """Return 00:00 of business day `day` in milliseconds of the epoch."""
    return day * DAY_MS - ZONE_OFFSET_MS


def week_of_day(day: int) -> int:
    """Return the ISO week number of `day`; 1970-01-01 was a Thursday."""
    return (day + 3) // 7


def week_start_day(week: int) -> int:
    """Return the Monday of `week`."""
    return week * 7 - 3


def date_of(day: int) -> date:
    """Return the calendar date of a day number."""
    return _EPOCH + timedelta(days=day)


def day_of_date(when: date) -> int:
    """Return the day number of a calendar date."""
    return (when - _EPOCH).days


def day_of_text(text: str) -> int:
    """Return the day number of `YYYY-MM-DD`. Raise ValueError where it is no date."""
    return day_of_date(date.fromisoformat(text))


def month_of_day(day: int) -> int:
    """Return the month number of `day`."""
    when = date_of(day)
    return (when.year - 1970) * 12 + when.month - 1
