"""Months that may be learned: those that every partition of the log has passed, score has applied, and of which all
observations have been read.

To a month belong the observations of records up to its close, a tick. Score writes those before the ones of any later
record, a tick being a barrier. So once one of a later record has been read, or the partition's end, all of them have
been, and it does not matter how many of later months have been, too: a full queue keeps no month from being learned
that it holds.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from domain import topics
from streams.learn.learner import Learner
from streams.learn.score_progress import Progress


class Months:
    """Says which month is next, and what it waits for."""

    def __init__(self, progress: Callable[[], Awaitable[Progress]], partitions: Sequence[int], poll_s: float) -> None:
        """Prepare. `progress`: asks how far score has come; `poll_s`: no sooner than so long after the last time."""
        self._progress, self._partitions, self._poll_s = progress, partitions, poll_s
        self._ready: int | None = None  # score has applied all up to its end …
        self._targets: Mapping[int, int] = {}  # … and all observations ended here then
        self._looked_at_s = -1e9
        self._waits = ""

    async def next(self, learner: Learner, positions: Mapping[str, int]) -> tuple[int | None, str]:
        """Return the month to learn now, None where there is none, and what is waited for.

        positions: next offset to read by "topic:partition". Raise KafkaException where the broker refuses.
        """
        month = learner.due_month
        if month is None:
            return None, _missing_tick(learner)
        if self._ready is None or month > self._ready:
            if time.monotonic() - self._looked_at_s < self._poll_s:
                return None, self._waits
            self._looked_at_s = time.monotonic()
            self._waits = await self._look(learner, month)
            if self._waits:
                return None, self._waits
        at = {p: positions.get(f"{topics.OBSERVATION}:{p}", 0) for p in self._targets}
        behind = [p for p, end in self._targets.items() if at[p] < end and not _has_read(learner, p, month)]
        if behind:
            return None, f"{topics.OBSERVATION}[{behind[0]}] up to offset {self._targets[behind[0]]}"
        return month, ""

    async def _look(self, learner: Learner, month: int) -> str:
        """Ask how far score has come; return what the month waits for, empty where it is ready."""
        progress = await self._progress()
        if progress.unanswered:
            return f"Kafka, which does not say how far score has come: {progress.unanswered}"

        def applied(partition: int, month: int) -> bool:
            close = learner.partitions[partition].close_of(month)
            return close is not None and progress.score_offsets.get(partition, -1) > close.offset

        ready = month - 1
        while all(applied(p, ready + 1) for p in self._partitions):
            ready += 1
        if ready < month:
            late = next(p for p in self._partitions if not applied(p, month))
            at, due = progress.score_offsets.get(late), learner.partitions[late].close_of(month)
            ends = None if due is None else due.offset
            return f"score: {topics.EVENTS}[{late}] is applied up to {at}, month {month} ends at {ends}"
        self._ready, self._targets = ready, progress.observation_ends
        return ""


def _has_read(learner: Learner, partition: int, month: int) -> bool:
    """Return whether an observation of a record beyond the month's close has been read."""
    close = learner.partitions[partition].close_of(month)
    return close is not None and learner.ledger.newest_offset.get(partition, -1) > close.offset


def _missing_tick(learner: Learner) -> str:
    """Return what the next month waits for: a tick, and where it is that of some partitions alone, of which."""
    passed = {p: one.closes[-1][0] for p, one in learner.partitions.items() if one.closes}
    behind = [p for p in learner.partitions if passed.get(p, -1) <= min(passed.values(), default=-1)]
    if len(set(passed.values())) > 1 or len(passed) in range(1, len(learner.partitions)):
        behind = [p for p in learner.partitions if p not in passed] or behind
        return f"a tick past a month's end in {topics.EVENTS}[{behind[0]}], where the others have one"
    return f"a tick past a month's end in {topics.EVENTS}"
