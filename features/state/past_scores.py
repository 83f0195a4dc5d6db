"""The scores of the last 30 day closes, against which a fall is measured.

Array of one enterprise: past_score int16 (30), displayed points * 8 + published grade at the close of day d, at d mod
30; -1 where there was none. At the close of a day its place still holds the one 30 days before.
"""

import numpy as np

from kernels.decorators import kernel

DAYS = 30
NONE = -1
_GRADES = 8  # more than there are


@kernel
def note(e, day, points):
    """Note the displayed points, and the published grade, at the close of `day`."""
    e.past_score[day % DAYS] = points * _GRADES + e.published_grade


@kernel
def thirty_days_before(e, today):
    """Return (points, grade) at the close of today - 30.

    (NONE, NONE) where that day is not closed or before the first.
    """
    past = np.int64(e.past_score[today % DAYS])
    if today - DAYS > e.closed_day or past == NONE:
        return NONE, NONE
    return past // _GRADES, past % _GRADES
