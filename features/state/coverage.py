"""Which of the last 128 closed days were covered: every main bank's receipt for the day had come.

A day may also close because a deadline passed; it is not covered then, and a window that holds too many such days is
not computable (CATALOGUE 6). Array of one enterprise: covered uint64 (2); bit 0 of word 0 is the last closed day.
"""

import numpy as np
from numba import njit

DAYS_MAX = 128
_ONE = np.uint64(1)


@njit(cache=True)
def shift_in(covered, bit):
    """A day closes, covered or not."""
    covered[1] = (covered[1] << _ONE) | (covered[0] >> np.uint64(63))
    covered[0] = (covered[0] << _ONE) | np.uint64(bit)


@njit(cache=True)
def count(covered, days):
    """How many of the last `days` closed days (at most 128) were covered."""
    total = np.int64(0)
    for i in range(days):
        total += np.int64((covered[i // 64] >> np.uint64(i % 64)) & _ONE)
    return total
