"""A judged world as day-by-day timelines: what an enterprise's open signals and score were, in the order of its log."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.learning.statistics import Flags, Ints
from replay.backtest.world import World
from replay.case_points.claim import SIGNALS

MOVE_DAYS = 30
NO_SCORE = -1


class Timeline(NamedTuple):
    """Enterprises (n), days (d) from `first_day`, revisions (r) of signals' episodes in the order of (enterprise, log).

    Signals are numbered as the claim numbers them.
    """

    first_day: int
    first: Ints  # (n + 1,) each enterprise's first revision
    moment: Ints  # (r,) offset of the record that caused it
    day: npt.NDArray[np.int32]  # (r,)
    signal: npt.NDArray[np.int16]  # (r,)
    before: npt.NDArray[np.int8]  # (r,) the episode's level before it, 0 for the first
    after: npt.NDArray[np.int8]  # (r,) 0: the episode has ended
    score: npt.NDArray[np.int32]  # (n, d) millipoints at the day's end, NO_SCORE before the first

    @property
    def days(self) -> int:
        """Return the number of days."""
        return int(self.score.shape[1])


def timeline(world: World, wanted: Flags) -> Timeline:
    """Return the timelines of a world whose scores are those of each day; of enterprises not `wanted`, no revisions."""
    rows, n, days = world.revisions, len(world.ids), world.last_day - world.first_day + 1
    number = np.array([SIGNALS.index(name) for name in world.signals], np.int16)
    score = np.full((n, days), NO_SCORE, np.int32)
    inside = world.scores.day >= world.first_day
    score[world.scores.enterprise[inside], world.scores.day[inside] - world.first_day] = world.scores.milli[inside]
    last = np.maximum.accumulate(np.where(score >= 0, np.arange(days), 0), axis=1)
    kept = np.flatnonzero(wanted[rows.enterprise])
    return Timeline(
        first_day=world.first_day,
        first=np.searchsorted(rows.enterprise[kept], np.arange(n + 1)),
        moment=rows.moment[kept],
        day=(rows.day[kept] - world.first_day).astype(np.int32),
        signal=number[rows.signal[kept]],
        before=rows.before[kept].astype(np.int8),
        after=rows.level[kept].astype(np.int8),
        score=np.take_along_axis(score, last, axis=1),
    )
