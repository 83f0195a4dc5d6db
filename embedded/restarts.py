"""A child that ends is started again, as Docker does it with `restart: unless-stopped`; one that cannot live is not."""

import time
from collections.abc import Sequence
from typing import Literal

from embedded.children import Child, ChildFailed

DELAYS_S = (0.5, 1.0, 2.0)  # before the first, second and third restart
PROVEN_S = 60.0  # after so long a run the next end counts as the first
LOG_LINES = 25


class Restarts:
    """Looks after one child that runs: `look`, called often, starts it again after each end.

    ChildFailed, with the last lines of its log, at the end after the last of `delays_s` where no run since the first of
    these ends took `proven_s` seconds.
    """

    def __init__(self, child: Child, *, delays_s: Sequence[float] = DELAYS_S, proven_s: float = PROVEN_S) -> None:
        self.child = child
        self.ended_s = 0.0  # when the last end was seen, on the monotonic clock
        self._delays_s, self._proven_s = tuple(delays_s), proven_s
        self._started_s, self._ends = time.monotonic(), 0
        self._due_s: float | None = None

    @property
    def delay_s(self) -> float:
        """Return the seconds to wait before the restart after the last end."""
        return self._delays_s[self._ends - 1]

    def look(self) -> Literal["ended", "started"] | None:
        """Return the restarts since the last call."""
        now_s = time.monotonic()
        if self._due_s is not None:
            if now_s < self._due_s:
                return None
            self.child.launch()
            self._started_s, self._due_s = now_s, None
            return "started"
        if self.child.running:
            return None
        if now_s - self._started_s >= self._proven_s:
            self._ends = 0
        self._ends += 1
        if self._ends > len(self._delays_s):
            raise ChildFailed(
                f"{self.child.name} ended ({self.child.cause}), {self._ends} ends without a run of "
                f"{self._proven_s:g} s in between; {self.child.log} ends:\n{self.child.log_tail(LOG_LINES)}"
            )
        self.ended_s, self._due_s = now_s, now_s + self.delay_s
        return "ended"
