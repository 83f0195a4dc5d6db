"""Deadlines of tests. They end a hanging test, and are longer on a busy machine."""

import os
import time
from collections.abc import Callable

from embedded.children import POLL_S


def patience_s(deadline_s: float) -> float:
    """Return a deadline as a machine without other work would have it, times the processes that wait for a core now."""
    return deadline_s * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def eventually(condition: Callable[[], object], deadline_s: float = 10.0, what: str = "the condition") -> None:
    """Poll `condition` until it is true. Raise TimeoutError with `what` after `patience_s(deadline_s)` seconds."""
    began_s = time.monotonic()
    while not condition():
        if (waited_s := time.monotonic() - began_s) > patience_s(deadline_s):
            raise TimeoutError(f"{what} did not come true within {waited_s:.0f} s")
        time.sleep(POLL_S)
