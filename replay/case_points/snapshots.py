"""Snapshots of what was open at the ends of some days: signals with their levels, and the score."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.learning.statistics import Ints
from kernels.decorators import kernel
from replay.case_points.claim import LEVELS, SIGNALS
from replay.case_points.life import apply
from replay.case_points.timeline import NO_SCORE, Timeline


class Snapshots(NamedTuple):
    """Enterprises at the ends of days, in the order of (enterprise, day)."""

    level: npt.NDArray[np.int8]  # (rows, S) 0: not open
    score: npt.NDArray[np.int32]  # (rows,) millipoints, NO_SCORE: none yet

    def only(self, rows: Any) -> "Snapshots":
        """Return some of the rows."""
        return Snapshots(self.level[rows], self.score[rows])


def snapshots(line: Timeline, enterprise: Ints, day: Ints) -> Snapshots:
    """Return the snapshots of rows in the order of (enterprise, day); days are day numbers."""
    found = Snapshots(np.zeros((len(day), len(SIGNALS)), np.int8), np.full(len(day), NO_SCORE, np.int32))
    _fill(line, enterprise, day - line.first_day, np.zeros((len(SIGNALS), LEVELS), np.int64), *found)
    return found


@kernel(nogil=True)
def _fill(line, enterprise, day, open_, level, score):
    at = np.int64(0)
    for i in range(enterprise.shape[0]):
        e, d = enterprise[i], day[i]
        if i == 0 or enterprise[i - 1] != e:
            open_[:] = 0
            at = line.first[e]
        while at < line.first[e + 1] and line.day[at] <= d:
            apply(open_, line, at)
            at += 1
        for s in range(open_.shape[0]):
            for one in range(1, LEVELS):
                if open_[s, one] > 0:
                    level[i, s] = one
        score[i] = line.score[e, d]
