"""The parts of an enterprise's value, as bits of its `dirty`: code that changes a field of a part sets its bit.

HOT is what any event may change. COLD is what only the close of a day changes, or an event of a day that is closed
already. So an enterprise that trades all day is written without its cold part.
"""

from features.state.days import day_of
from kernels.decorators import kernel

HOT, COLD = 1, 2
KEEP_DAYS = 8  # of which event ids are kept: the seven days of lateness, and the day that they begin within


@kernel
def touch_cold(e):
    """Mark the cold part of an enterprise as changed.

    Which event ids it holds follows from the days that were closed and within reach then, so that its bytes do not
    depend on when they are written.
    """
    e.dirty |= COLD
    e.cold_day = e.closed_day
    e.cold_first = first_kept(e)


@kernel
def first_kept(e):
    """Return the first day of which an enterprise must still know something at its time t."""
    return max(day_of(e.newest_ms + 1), e.closed_day + 1) - KEEP_DAYS
