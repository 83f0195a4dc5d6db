"""Deadlines of tests. They end a hanging test, and are longer on a busy machine."""

import os
import time
from collections.abc import Callable

from embedded.children import POLL_S

_REST, _REST_S_MAX = 4.0, 0.25  # after a question, in times of what it took


def patience_s(deadline_s: float) -> float:
    """Return a deadline as a machine without other work would have it, times the processes that wait for a core now."""
    return deadline_s * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def eventually(condition: Callable[[], object], deadline_s: float = 10.0, what: str = "the condition") -> None:
    """Poll `condition` until it is true. Raise TimeoutError with `what` after `patience_s(deadline_s)` seconds.

    One that takes long to find out, as from a whole topic, is asked less often: it takes the time of what it waits for.
    """
    began_s = asked_s = time.monotonic()
    while not condition():
        now_s = time.monotonic()
        if now_s - began_s > patience_s(deadline_s):
            raise TimeoutError(f"{what} did not come true within {now_s - began_s:.0f} s")
        time.sleep(min(max(POLL_S, _REST * (now_s - asked_s)), _REST_S_MAX))
        asked_s = time.monotonic()
