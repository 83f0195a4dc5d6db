"""A judged world as day-by-day timelines: what an enterprise's open signals and score were, in the order of its log."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.learning.statistics import Flags, Ints
from replay.backtest.cases import YELLOW
from replay.backtest.world import World
from replay.case_points.claim import SIGNALS

MOVE_DAYS = 30
NO_SCORE = -1


class Timeline(NamedTuple):
    """Enterprises (n), days (d) from `first_day`, revisions (r) of signals' episodes in the order of (enterprise, log).

    Signals are numbered as the claim numbers them. A level is what the claim weighs: that of an episode which only
    waits for its hysteresis is yellow.
    """

    first_day: int
    first: Ints  # (n + 1,) each enterprise's first revision
    moment: Ints  # (r,) offset of the record that caused it
    day: npt.NDArray[np.int32]  # (r,)
    signal: npt.NDArray[np.int16]  # (r,)
    before: npt.NDArray[np.int8]  # (r,) the episode's level before it, 0 for the first
    after: npt.NDArray[np.int8]  # (r,) 0: the episode has ended
    true: npt.NDArray[np.int8]  # (r,) 1, -1: one more, or one less, episode of which a level is true
    retracted: npt.NDArray[np.int8]  # (r,) 1: it was never so
    score: npt.NDArray[np.int32]  # (n, d) millipoints at the day's end, NO_SCORE before the first

    @property
    def days(self) -> int:
        """Return the number of days."""
        return int(self.score.shape[1])

    def of_signals(self, wanted: Flags) -> "Timeline":
        """Return the timelines of some signals alone; wanted: (signals,), as the claim numbers them."""
        kept = wanted[self.signal]
        before = np.concatenate(([0], np.cumsum(kept)))
        columns = ("moment", "day", "signal", "before", "after", "true", "retracted")
        return self._replace(first=before[self.first], **{name: getattr(self, name)[kept] for name in columns})


def timeline(world: World, wanted: Flags, signals: Sequence[str] = SIGNALS) -> Timeline:
    """Return the timelines of a world; of enterprises not `wanted`, no revisions.

    signals: as the claim numbers them.
    """
    rows, n, days = world.revisions, len(world.ids), world.last_day - world.first_day + 1
    number = np.array([signals.index(name) for name in world.signals], np.int16)
    score = np.full((n, days), NO_SCORE, np.int32)
    inside = world.scores.day >= world.first_day
    score[world.scores.enterprise[inside], world.scores.day[inside] - world.first_day] = world.scores.milli[inside]
    last = np.maximum.accumulate(np.where(score >= 0, np.arange(days, dtype=np.int32), 0), axis=1)
    kept = np.flatnonzero(wanted[rows.enterprise])
    level, before, waits, waited = (column[kept] for column in (rows.level, rows.before, rows.waits, rows.waited))
    is_true, was_true = (level > 0) & (waits == 0), (before > 0) & (waited == 0)
    return Timeline(
        first_day=world.first_day,
        first=np.searchsorted(rows.enterprise[kept], np.arange(n + 1)),
        moment=rows.moment[kept],
        day=(rows.day[kept] - world.first_day).astype(np.int32),
        signal=number[rows.signal[kept]],
        before=np.where(was_true, before, np.minimum(before, YELLOW)).astype(np.int8),
        after=np.where(is_true, level, np.minimum(level, YELLOW)).astype(np.int8),
        true=is_true.astype(np.int8) - was_true,
        retracted=rows.retracted[kept].astype(np.int8),
        score=np.take_along_axis(score, last, axis=1),
    )
