"""The parts of an enterprise's value, as bits of its `dirty`: whoever changes a field of a part sets the part's bit.

HOT is what any event may change. COLD is what only the close of a day changes, or an event of a day that is closed
already: an enterprise that trades all day is written without it.
"""

HOT, COLD = 1, 2
