"""The scores of the last 31 day closes, against which a fall is measured.

Array of one enterprise: past_score int16 (31), displayed points * 8 + published grade at the close of day d, at d mod
31; -1 where there was none. One more than 30, so that the score 30 days before a day is kept until the next one
closes: what a late record moves after the close is measured against the same day as at the close.
"""

import numpy as np

from kernels.decorators import kernel

DAYS = 30
KEPT = DAYS + 1
NONE = -1
_GRADES = 8  # more than there are


@kernel
def note(e, day, points):
    """Note the displayed points, and the published grade, at the close of `day`."""
    e.past_score[day % KEPT] = points * _GRADES + e.published_grade


@kernel
def thirty_days_before(e, today):
    """Return (points, grade) at the close of today - 30.

    (NONE, NONE) where that day is not closed or before the first.
    """
    past = np.int64(e.past_score[(today - DAYS) % KEPT])
    if today - DAYS > e.closed_day or past == NONE:
        return NONE, NONE
    return past // _GRADES, past % _GRADES
