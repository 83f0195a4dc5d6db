"""Conclusions from the broker's last answer about the end offsets of all feeds. Pure.

A feed that ended at `end` when the question was answered brings nothing at or past `end` but what was delivered after
the question was asked. Delivered before it was asked is what was known then, and whatever lies before the ends that the
answer before this one gave: its event times count as they come to be read. So a backlog takes two questions, however
far it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.worker.role import TP

NOTHING_MS = -(2**62)  # before any event


class EndOffsetProbe:
    """The last answer, and the event times that it covers. `time_ms`: the newest of them."""

    def __init__(self) -> None:
        self.time_ms = NOTHING_MS
        self._ends: Mapping[TP, int] = {}
        self._ends_before: Mapping[TP, int] = {}
        self._next_ms = NOTHING_MS  # newest event time read before `_ends` since they are known: the next one covers it

    @property
    def is_blank(self) -> bool:
        """Nothing is answered yet."""
        return not self._ends

    def answered(self, ends: Mapping[TP, int], asked_ms: int | None) -> None:
        """The feeds ended at `ends` after `asked_ms` had become the newest event time known, and the last answer had
        come."""
        self.time_ms = max(self._next_ms, NOTHING_MS if asked_ms is None else asked_ms)
        self._ends_before, self._ends, self._next_ms = self._ends, ends, NOTHING_MS

    def read_all(self, tp: TP, offsets: Sequence[int], times_ms: Sequence[int]) -> None:
        """As `read`, of several records in their order, at least one."""
        if offsets[0] >= self._ends.get(tp, 0):
            return  # as most are: they came after the last answer
        for offset, time_ms in zip(offsets, times_ms, strict=True):
            self.read(tp, offset, time_ms)

    def read(self, tp: TP, offset: int, time_ms: int) -> None:
        """The record at `offset` of a feed, or one before it, is of this time."""
        if offset < self._ends.get(tp, 0):
            self._next_ms = max(self._next_ms, time_ms)
            if offset < self._ends_before.get(tp, 0):
                self.time_ms = max(self.time_ms, time_ms)
