"""The scores of the last 30 day closes, against which a fall is measured.

Arrays of one enterprise: past_points int16 (30) displayed points and past_grade int8 (30) published grade at the close
of day d, both at d mod 30; -1 where there was none. At the close of a day its place still holds the one 30 days before.
"""

from numba import njit

DAYS = 30
NONE = -1


@njit(cache=True)
def note(e, day, points):
    """Day `day` closes with so many displayed points and the grade that is published then."""
    e.past_points[day % DAYS], e.past_grade[day % DAYS] = points, e.published_grade


@njit(cache=True)
def thirty_days_before(e, today):
    """(points, grade) at the close of today - 30; NONE, NONE where that day has not closed, or was before the first."""
    if today - DAYS > e.closed_day:
        return NONE, NONE
    return e.past_points[today % DAYS], e.past_grade[today % DAYS]
