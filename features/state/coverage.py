"""Coverage of the last 192 closed days, and of months: every main bank's receipt for the day had come.

A day may also close because a deadline passed; it is not covered then, and a window that holds too many such days is
not computable (docs/indicators.md). The law: the counts are those of a list of all closed days' bits. Days before the
first close count as not covered. A day that closed uncovered is covered later where its receipts come while all of its
records can still have been applied (transitions.close_next_day).

Fields of one enterprise: covered uint64 (3), bit 0 of word 0 is the last closed day; covered_days int16 (5), how many
of the last WINDOWS days were covered; covered_months uint32, bit 0 is the newest complete month, set where nine tenths
of its days were covered.
"""

import numpy as np

from features.state.days import first_day_of, month_of
from kernels.decorators import kernel

DAYS_MAX = 192  # 26 complete weeks and six days of the running one are 188
WINDOWS = (30, 35, 90, 120, 180)  # read at each event, so their counts are kept
_WORDS = DAYS_MAX // 64
_ONE = np.uint64(1)


@kernel
def close(e, bit):
    """Note whether day `e.closed_day`, which has just closed, was covered (1) or not (0)."""
    for i in range(len(WINDOWS)):
        e.covered_days[i] += bit - is_covered(e.covered, WINDOWS[i] - 1)
    for word in range(_WORDS - 1, 0, -1):
        e.covered[word] = (e.covered[word] << _ONE) | (e.covered[word - 1] >> np.uint64(63))
    e.covered[0] = (e.covered[0] << _ONE) | np.uint64(bit)
    month = month_of(e.closed_day)
    if month_of(e.closed_day + 1) != month:
        days = e.closed_day - first_day_of(month) + 1
        well = 10 * between(e.covered, 0, days - 1) >= 9 * days
        e.covered_months = (e.covered_months << np.uint32(1)) | np.uint32(well)


@kernel
def cover(e, back):
    """Note that the day `back` days before the last closed one is covered after all (0 < back < 30, it was not)."""
    e.covered[0] |= _ONE << np.uint64(back)
    for i in range(len(WINDOWS)):
        e.covered_days[i] += 1
    month = month_of(e.closed_day - back)
    if month == month_of(e.closed_day + 1) - 1:
        first, next_first = first_day_of(month), first_day_of(month + 1)
        days = between(e.covered, e.closed_day + 1 - next_first, e.closed_day - first)
        e.covered_months |= np.uint32(10 * days >= 9 * (next_first - first))


@kernel
def is_covered(covered, back):
    """Return 1 where the day `back` days before the last closed one was covered (back < 192), else 0."""
    return np.int64((covered[back // 64] >> np.uint64(back % 64)) & _ONE)


@kernel
def between(covered, first_back, last_back):
    """Return how many days were covered, from `first_back` to `last_back` days before the last closed one inclusive."""
    total = np.int64(0)
    for back in range(first_back, last_back + 1):
        total += is_covered(covered, back)
    return total


@kernel
def months_are_covered(e, first, last):
    """Return whether each of the complete months mo(first)..mo(last) was covered; mo(1) is the newest."""
    wanted = (np.uint32(1) << np.uint32(last - first + 1)) - np.uint32(1)
    return (e.covered_months >> np.uint32(first - 1)) & wanted == wanted


@kernel
def months_covered(e):
    """Return how many of the last 32 complete months were covered."""
    total, bits = np.int64(0), np.int64(e.covered_months)
    while bits:
        bits &= bits - 1
        total += 1
    return total
