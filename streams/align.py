"""Alignment by event time: no feed runs further ahead than a bound of the oldest feed that has something unread. Pure.

Nothing waits in here. A feed that is too far ahead is held: the ingest role keeps its next chunks, and the transport
takes no more from its partition. The oldest feed is never held, so there is always one that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streams.role import TP

NOTHING_MS = -(2**62)  # before any event: a feed of which nothing is known yet holds all others


@dataclass(slots=True)
class _Front:
    position: int | None = None  # next offset to apply
    time_ms: int | None = None  # of the newest event applied; of the next one while it is held
    held: bool = False
    running: bool = False


class Alignment:
    """Fronts of the feeds that this worker reads.

    `progress(tp)` is the next offset to come of a feed and the end of its log, None while that is not known; such a
    feed counts as unread.
    """

    def __init__(self, ahead_ms_max: int, progress: Callable[[TP], tuple[int, int | None]]) -> None:
        self._ahead_ms_max, self._progress = ahead_ms_max, progress
        self._fronts: dict[TP, _Front] = {}

    def begin(self, tps: Iterable[TP]) -> None:
        """These feeds, from wherever they are."""
        self._fronts = {tp: _Front() for tp in tps}

    def run(self, tp: TP, position: int) -> int | None:
        """Records of `tp` from `position` on are about to be applied: up to which event time they may be, None: any."""
        front = self._fronts[tp]
        front.position, front.held, front.running = position, False, True
        others = [self._time_ms(one) for name, one in self._fronts.items() if name != tp and self._unread(name, one)]
        return min(others) + self._ahead_ms_max if others else None

    def reach(self, tp: TP, time_ms: int) -> None:
        """An event of `tp` at this time is about to be applied."""
        front = self._fronts[tp]
        if front.time_ms is None or time_ms > front.time_ms:
            front.time_ms = time_ms

    def done(self, tp: TP, position: int) -> None:
        """Everything before `position` is applied."""
        front = self._fronts[tp]
        front.position, front.running = position, False

    def hold(self, tp: TP, position: int, time_ms: int) -> None:
        """The record at `position`, of this time, is further ahead than it may be."""
        self.done(tp, position)
        self.reach(tp, time_ms)
        self._fronts[tp].held = True

    def release(self) -> TP | None:
        """The oldest held feed that may go on; None where there is none."""
        held = [(self._time_ms(front), tp) for tp, front in self._fronts.items() if front.held]
        if not held:
            return None
        time_ms, tp = min(held)
        unread = [self._time_ms(one) for name, one in self._fronts.items() if name != tp and self._unread(name, one)]
        return tp if not unread or time_ms <= min(unread) + self._ahead_ms_max else None

    def unread_ms(self) -> int | None:
        """The event time of the oldest feed with something unread; None where all is read."""
        return min((self._time_ms(one) for tp, one in self._fronts.items() if self._unread(tp, one)), default=None)

    def oldest_unread_ms(self, tp: TP) -> int | None:
        """The event time of a feed's oldest unread record, as far as it is known; None where all is read."""
        front = self._fronts.get(tp)
        return front.time_ms if front is not None and self._unread(tp, front) else None

    def _unread(self, tp: TP, front: _Front) -> bool:
        if front.held or front.running:
            return True
        position, end = self._progress(tp)
        return end is None or max(position, front.position or 0) < end

    def _time_ms(self, front: _Front) -> int:
        return NOTHING_MS if front.time_ms is None else front.time_ms
