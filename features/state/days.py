"""Day, week and month numbers in kernels: the arithmetic of domain.calendar, for int64 ms and day numbers."""

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from kernels.decorators import kernel


@kernel
def day_of(time_ms):
    """Return the business day number of a time in ms (domain.calendar)."""
    return (time_ms + ZONE_OFFSET_MS) // DAY_MS


@kernel
def start_ms(day):
    """Return 00:00 of a business day in ms, the first time for which `day_of` returns it."""
    return day * DAY_MS - ZONE_OFFSET_MS


@kernel
def week_of(day):
    """Return the ISO week number of a day number (domain.calendar)."""
    return (day + 3) // 7


@kernel
def monday_of(week):
    """Return the first day of a week."""
    return week * 7 - 3


@kernel
def month_of(day):
    """Return the month number of a day number, by the civil calendar.

    Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: eras of 400 years that begin in
    March.
    """
    z = day + 719_468
    era = z // 146_097
    doe = z - era * 146_097
    yoe = (doe - doe // 1_460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return (year - 1970) * 12 + month - 1


@kernel
def first_day_of(month):
    """Return the first day of a month number: the inverse of `month_of`."""
    year, mp = 1970 + month // 12, (month % 12 + 10) % 12
    year -= 1 if mp >= 10 else 0
    era = year // 400
    yoe = year - era * 400
    return era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + (153 * mp + 2) // 5 - 719_468
