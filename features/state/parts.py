"""The parts of an enterprise's value, as bits of its `dirty`: whoever changes a field of a part sets its bit.

HOT is what any event may change. COLD is what only the close of a day changes, or an event of a day that is closed
already: an enterprise that trades all day is written without it.
"""

from kernels.decorators import kernel

HOT, COLD = 1, 2


@kernel
def touch_cold(e):
    """Say that the cold part of an enterprise changes.

    What it holds of event ids is told by the day that was closed then, so that its bytes do not hang on when they are
    written.
    """
    e.dirty |= COLD
    e.cold_day = e.closed_day
