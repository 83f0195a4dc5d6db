"""The parts of an enterprise's value, as bits of its `dirty`: code that changes a field of a part sets its bit.

HOT is what any event may change. COLD is what only the close of a day changes, or an event of a day that is closed
already. So an enterprise that trades all day is written without its cold part.
"""

from kernels.decorators import kernel

HOT, COLD = 1, 2


@kernel
def touch_cold(e):
    """Mark the cold part of an enterprise as changed.

    Which event ids it holds follows from the day that was closed then, so that its bytes do not depend on when they are
    written.
    """
    e.dirty |= COLD
    e.cold_day = e.closed_day
