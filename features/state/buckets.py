"""Calendar buckets: exact sums per class over 35 days, 27 ISO weeks and 14 months.

Three rings stand side by side in one axis of 76 positions; unit u of a ring of n stands at u mod n, and `unit` says
which one it is. A position that holds an older unit reads as zero, so a silent enterprise needs no rolling. The law:
in any order within the rings' reach the buckets equal the sums of a naive fold.

Arrays of one enterprise: unit int32 (76), amount int64 fen (76, 13), count int32 (76, 13). A sum stops at 2^57 fen (ten
times the yearly product of the country), so that no window of sums leaves int64.
"""

from numba import njit

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from features.state.classes import CLASSES

DAYS, WEEKS, MONTHS = 35, 27, 14
WEEK_BASE, MONTH_BASE = DAYS, DAYS + WEEKS
BUCKETS = DAYS + WEEKS + MONTHS
CLASS_COUNT = len(CLASSES)
NO_UNIT = -(2**31)
FEN_MAX = 2**57


@njit(cache=True)
def day_of(time_ms):
    """Business day number of a time (domain.calendar)."""
    return (time_ms + ZONE_OFFSET_MS) // DAY_MS


@njit(cache=True)
def week_of(day):
    """ISO week number of a day number (domain.calendar)."""
    return (day + 3) // 7


@njit(cache=True)
def month_of(day):
    """Month number of a day number, by the civil calendar (days of era, March-based years)."""
    z = day + 719_468
    era = z // 146_097
    doe = z - era * 146_097
    yoe = (doe - doe // 1_460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return (year - 1970) * 12 + month - 1


@njit(cache=True)
def _add_one(unit, amount, count, position, this, kind, fen, n):
    if unit[position] != this:
        if unit[position] > this:
            return  # older than the ring reaches: its sums are gone, nothing reads it
        unit[position] = this
        amount[position, :] = 0
        count[position, :] = 0
    amount[position, kind] = min(max(amount[position, kind] + fen, -FEN_MAX), FEN_MAX)
    count[position, kind] += n


@njit(cache=True)
def add(unit, amount, count, day, kind, fen, n):
    """Add `fen` and `n` transactions of class `kind` to the day, week and month of `day`; n = -1 takes one out."""
    week, month = week_of(day), month_of(day)
    _add_one(unit, amount, count, day % DAYS, day, kind, fen, n)
    _add_one(unit, amount, count, WEEK_BASE + week % WEEKS, week, kind, fen, n)
    _add_one(unit, amount, count, MONTH_BASE + month % MONTHS, month, kind, fen, n)


@njit(cache=True)
def day_sum(unit, values, first, last, kind):
    """Sum of `values` (amount or count) of one class over the days first..last, both included."""
    total = 0
    for day in range(first, last + 1):
        if unit[day % DAYS] == day:
            total += values[day % DAYS, kind]
    return total


@njit(cache=True)
def week_sum(unit, values, first_week, last_day, kind):
    """Sum of one class from the Monday of `first_week` to `last_day`, both included: weeks less the days past it."""
    last_week = week_of(last_day)
    total = 0
    for week in range(first_week, last_week + 1):
        position = WEEK_BASE + week % WEEKS
        if unit[position] == week:
            total += values[position, kind]
    return total - day_sum(unit, values, last_day + 1, last_week * 7 + 3, kind)
