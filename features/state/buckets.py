"""Calendar buckets: exact sums over 35 days, 27 ISO weeks and 14 months.

Each is a ring: unit u of a ring of n is at u mod n, and the ring holds the n units up to the newest that it took, the
newest included. Older units are gone, and newer ones read as zero, so that silence needs no rolling.

An event of an open day enters the day ring alone. The close of a day folds it into its week and month; an event that
comes after the close enters all three at once. A day that leaves the ring before it is closed is folded then. So weeks
and months hold the *closed part*, days up to `closed_part(e)`, and a sum over them adds the open days from the day
ring.

The law: whatever order events come in and whatever closes lie between, a sum over units that its rings hold equals that
of a naive fold over the raw events. Columns are those of classes.py; positions run along the last axis, so that a
window of one column is read from adjacent memory.

Fields of one enterprise: day_newest, week_newest, month_newest int32; day_amount int64 fen (19, 35), day_count int32
(7, 35), and so for week (27) and month (14). A bucket saturates at 2^54 fen (more than the yearly product of the
country), so that no window over seven columns overflows int64.
"""

import numpy as np

from features.state.classes import COUNT_OF, OVERLAY_BASE, OVERLAY_COUNT, UNRATED
from features.state.days import day_of, first_day_of, monday_of, month_of, week_of
from features.state.parts import touch_cold
from kernels.decorators import kernel

DAYS, WEEKS, MONTHS = 35, 27, 14
NO_UNIT = -(2**31)
NO_PAST = -1  # no sums are kept
FEN_MAX = 2**54
PLUS, MINUS = np.int64(1), np.int64(-1)


@kernel
def closed_part(e):
    """Return the last day that weeks and months hold: closed, or gone from the day ring."""
    return max(e.closed_day, e.day_newest - DAYS)


@kernel
def add(e, day, category, overlays, fen, n):
    """Add n transactions of a class, `fen` in total, to `day`; both negative to take one out.

    `overlays` is the mask of OVERLAYS_OF. Days out of a ring's reach change nothing in it.
    """
    _changes(e, day)
    _reach(e, day)
    if day > e.day_newest - DAYS:
        _put(e.day_amount, e.day_count, day % DAYS, category, overlays, fen, n)
    if day > closed_part(e):
        return
    week, month = _reach_closed(e, day)
    if week > e.week_newest - WEEKS:
        _put(e.week_amount, e.week_count, week % WEEKS, category, overlays, fen, n)
    if month > e.month_newest - MONTHS:
        _put(e.month_amount, e.month_count, month % MONTHS, category, overlays, fen, n)


@kernel
def add_amount(e, day, column, fen):
    """Add `fen` to one amount column of `day`, and no transaction."""
    _changes(e, day)
    _reach(e, day)
    if day > e.day_newest - DAYS:
        _add_fen(e.day_amount, column, day % DAYS, fen)
    if day > closed_part(e):
        return
    week, month = _reach_closed(e, day)
    if week > e.week_newest - WEEKS:
        _add_fen(e.week_amount, column, week % WEEKS, fen)
    if month > e.month_newest - MONTHS:
        _add_fen(e.month_amount, column, month % MONTHS, fen)


@kernel
def close_next_day(e):
    """Close the day after `closed_day`, and fold it."""
    day = e.closed_day + 1
    if closed_part(e) < day <= e.day_newest:
        _fold(e, day)
    close_days_to(e, day)


@kernel
def close_days_to(e, day):
    """Set `closed_day` to `day`, where there is no bucket to fold; ids of open days may become ids of closed ones."""
    held = day_of(e.newest_ms) > e.closed_day
    e.closed_day = day
    if held:
        touch_cold(e)


@kernel
def holds_days_from(e, first):
    """Return whether the day ring still reaches back to `first`."""
    return first > e.day_newest - DAYS


@kernel
def day_amount(e, first, last, columns):
    """Return the sum in fen over the days first..last, both included, and a range of columns (AMOUNT_COLUMNS)."""
    return _ring_sum(e.day_newest, DAYS, e.day_amount, first, last, columns)


@kernel
def day_count(e, first, last, columns):
    """Return the number of transactions over the days first..last, both included, and a range of COUNT_COLUMNS."""
    return _ring_sum(e.day_newest, DAYS, e.day_count, first, last, columns)


@kernel
def week_amount(e, first_week, last_day, columns):
    """Return the sum in fen from the Monday of `first_week` to `last_day`, both included.

    It is exact where `last_day` is not before the closed part, or the day ring holds the day after it.
    """
    last_week = week_of(last_day)
    closed = _ring_sum(e.week_newest, WEEKS, e.week_amount, first_week, last_week, columns)
    return closed + _open_days(e, e.day_amount, monday_of(first_week), last_day, monday_of(last_week + 1) - 1, columns)


@kernel
def week_count(e, first_week, last_day, columns):
    """Return the number of transactions from the Monday of `first_week` to `last_day`, exact as `week_amount` is."""
    last_week = week_of(last_day)
    closed = _ring_sum(e.week_newest, WEEKS, e.week_count, first_week, last_week, columns)
    return closed + _open_days(e, e.day_count, monday_of(first_week), last_day, monday_of(last_week + 1) - 1, columns)


@kernel
def day_sums(e, values, first, last, columns, sums, at):
    """Fill sums[at:] with the sum of each of `columns` (n,) over the days first..last.

    Values: day_amount or day_count.
    """
    for i in range(columns.shape[0]):
        sums[at + i] = 0
    _add_ring_sums(e.day_newest, DAYS, values, first, last, columns, PLUS, sums, at)


@kernel
def week_sums(e, weeks, days, first_week, last_day, columns, sums, at):
    """Fill sums[at:] with what `week_amount` or `week_count` returns for each of `columns`.

    Weeks, days: the two rings.
    """
    last_week, closed = week_of(last_day), closed_part(e)
    for i in range(columns.shape[0]):
        sums[at + i] = 0
    _add_ring_sums(e.week_newest, WEEKS, weeks, first_week, last_week, columns, PLUS, sums, at)
    first_open = max(monday_of(first_week), closed + 1)
    _add_ring_sums(e.day_newest, DAYS, days, first_open, last_day, columns, PLUS, sums, at)
    last_closed = min(monday_of(last_week + 1) - 1, closed)
    _add_ring_sums(e.day_newest, DAYS, days, last_day + 1, last_closed, columns, MINUS, sums, at)


@kernel
def add_day(e, values, day, columns, sums, at):
    """Add one day of each of `columns` (n,) of day_amount or day_count (`values`) to sums[at:]."""
    _add_ring_sums(e.day_newest, DAYS, values, day, day, columns, PLUS, sums, at)


@kernel
def past_key(t_day, day):
    """Return the key of kept sums over the days before t_day; it tells whether windows end with t_day or before it."""
    return 2 * t_day + (t_day == day)


@kernel
def _changes(e, day):
    """Drop kept sums that include `day`, which is about to change."""
    if e.past_key != past_key(day, day):
        e.past_key = NO_PAST


@kernel
def month_amount(e, first_month, last_month, columns):
    """Return the sum in fen over the whole months first_month..last_month, both included."""
    return month_amount_to(e, first_month, first_day_of(last_month + 1) - 1, columns)


@kernel
def month_amount_to(e, first_month, last_day, columns):
    """Return the sum in fen from the first day of `first_month` to `last_day`, exact as `week_amount` is."""
    last_month = month_of(last_day)
    closed = _ring_sum(e.month_newest, MONTHS, e.month_amount, first_month, last_month, columns)
    end = first_day_of(last_month + 1) - 1
    return closed + _open_days(e, e.day_amount, first_day_of(first_month), last_day, end, columns)


@kernel
def month_count(e, first_month, last_month, columns):
    """Return the number of transactions over the whole months first_month..last_month, both included."""
    last_day = first_day_of(last_month + 1) - 1
    closed = _ring_sum(e.month_newest, MONTHS, e.month_count, first_month, last_month, columns)
    return closed + _open_days(e, e.day_count, first_day_of(first_month), last_day, last_day, columns)


@kernel
def _open_days(e, values, first, last, end, columns):
    """Return what the closed units up to day `end` lack of the days first..last, less what they hold after `last`."""
    closed = closed_part(e)
    lacking = _ring_sum(e.day_newest, DAYS, values, max(first, closed + 1), last, columns)
    return lacking - _ring_sum(e.day_newest, DAYS, values, last + 1, min(end, closed), columns)


@kernel
def _ring_sum(newest, positions, values, first, last, columns):
    first, last = max(first, newest - positions + 1), min(last, newest)
    total = 0
    if first > last:
        return total
    begin = first % positions
    end = begin + last - first + 1
    for column in range(columns[0], columns[1]):
        total += _column_sum(values, column, begin, end, positions)
    return total


@kernel
def _add_ring_sums(newest, positions, values, first, last, columns, sign, sums, at):
    """Add sign times the sum of each column to sums[at:]; the units' positions in the ring are computed once."""
    first, last = max(first, newest - positions + 1), min(last, newest)
    if first > last:
        return
    begin = first % positions
    end = begin + last - first + 1
    for i in range(columns.shape[0]):
        sums[at + i] += sign * _column_sum(values, columns[i], begin, end, positions)


@kernel
def _column_sum(values, column, begin, end, positions):
    """Return the sum of a column over positions [begin, end), where `end` may pass the ring's own end."""
    # Unsigned: of a signed index numba asks whether it counts from the end, and LLVM then gathers cell by cell.
    total = np.int64(0)
    for position in range(np.uint64(begin), np.uint64(min(end, positions))):
        total += values[column, position]
    for position in range(np.uint64(max(0, end - positions))):
        total += values[column, position]
    return total


@kernel
def _reach(e, day):
    """Extend the day ring to `day`; open days that leave it are folded."""
    if day <= e.day_newest:
        return
    for leaving in range(closed_part(e) + 1, min(e.day_newest, day - DAYS) + 1):
        _fold(e, leaving)
    e.day_newest = _rolled(e.day_newest, day, DAYS, e.day_amount, e.day_count)


@kernel
def _reach_closed(e, day):
    """Extend the closed part, which is about to change, to `day`; return its week and month.

    A full bucket may hold less than what is folded into it, so no sum over it is kept.
    """
    touch_cold(e)
    e.past_key = NO_PAST
    week, month = week_of(day), month_of(day)
    e.week_newest = _rolled(e.week_newest, week, WEEKS, e.week_amount, e.week_count)
    e.month_newest = _rolled(e.month_newest, month, MONTHS, e.month_amount, e.month_count)
    return week, month


@kernel
def _fold(e, day):
    """Add a day's buckets, which are in the ring, to its week and month."""
    week, month = _reach_closed(e, day)
    for column in range(e.day_amount.shape[0]):
        fen = e.day_amount[column, day % DAYS]
        _add_fen(e.week_amount, column, week % WEEKS, fen)
        _add_fen(e.month_amount, column, month % MONTHS, fen)
    for column in range(e.day_count.shape[0]):
        n = e.day_count[column, day % DAYS]
        e.week_count[column, week % WEEKS] += n
        e.month_count[column, month % MONTHS] += n


@kernel
def _rolled(newest, unit, positions, amount, count):
    """Extend a ring to `unit`, clearing the positions that it takes over; return its newest unit."""
    for taken in range(max(newest, unit - positions) + 1, unit + 1):
        amount[:, taken % positions] = 0
        count[:, taken % positions] = 0
    return max(newest, unit)


@kernel
def _put(amount, count, position, category, overlays, fen, n):
    if category != UNRATED:
        _add_fen(amount, category, position, fen)
        for overlay in range(OVERLAY_COUNT):
            if overlays >> overlay & 1:
                _add_fen(amount, OVERLAY_BASE + overlay, position, fen)
    if COUNT_OF[category] >= 0:
        count[COUNT_OF[category], position] += n


@kernel
def _add_fen(amount, column, position, fen):
    amount[column, position] = min(max(amount[column, position] + fen, -FEN_MAX), FEN_MAX)
