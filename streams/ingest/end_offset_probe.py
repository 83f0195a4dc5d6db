"""Conclusions from the broker's last answer about the end offsets of all feeds. Pure.

Where a feed ended at `end` in an answer, its records from `end` on were delivered after the question was asked. Event
times that had been delivered before the question are those known then, and those of all records before the ends of the
previous answer, which count once they are read. So a backlog takes two questions, however long it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.worker.role import TP

NOTHING_MS = -(2**62)  # before any event


class EndOffsetProbe:
    """The last answer.

    `time_ms` is the newest event time known to have been delivered before its question was asked.
    """

    def __init__(self) -> None:
        self.time_ms = NOTHING_MS
        self._ends: Mapping[TP, int] = {}
        self._ends_before: Mapping[TP, int] = {}
        self._next_ms = NOTHING_MS  # newest event time read before `_ends` since they are known: the next one covers it

    @property
    def is_blank(self) -> bool:
        """Whether no answer has come yet."""
        return not self._ends

    def answered(self, ends: Mapping[TP, int], asked_ms: int | None) -> None:
        """Take in an answer: the feeds ended at `ends`.

        The question was asked after `asked_ms` had become the newest event time known, and after the last answer had
        come.
        """
        self.time_ms = max(self._next_ms, NOTHING_MS if asked_ms is None else asked_ms)
        self._ends_before, self._ends, self._next_ms = self._ends, ends, NOTHING_MS

    def read_all(self, tp: TP, offsets: Sequence[int], times_ms: Sequence[int]) -> None:
        """Do the same as `read` for several records in their order, at least one."""
        if offsets[0] >= self._ends.get(tp, 0):
            return  # as most are: they came after the last answer
        for offset, time_ms in zip(offsets, times_ms, strict=True):
            self.read(tp, offset, time_ms)

    def read(self, tp: TP, offset: int, time_ms: int) -> None:
        """Note that the record at `offset` of a feed, or one before it, has this event time."""
        if offset < self._ends.get(tp, 0):
            self._next_ms = max(self._next_ms, time_ms)
            if offset < self._ends_before.get(tp, 0):
                self.time_ms = max(self.time_ms, time_ms)
