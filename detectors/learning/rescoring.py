"""Scores of observations under any model, by the code that scores (detectors/scorecard.py)."""

import numpy as np
import numpy.typing as npt

from detectors.learning.examples import Examples
from detectors.scorecard import FLOOR_MILLI, most_milli, points_milli_of, scorecard, utility, utility_of_null
from detectors.snapshot import MICRO, Snapshot
from features.indicators import CORE_COUNT
from features.indicators.nulls import VALUE
from features.indicators.repayment import DPD_MAX, FREEZE
from kernels.decorators import kernel

_NO_LAST_PPM = np.int64(MICRO)


def scores_milli(snapshot: Snapshot, observed: Examples) -> npt.NDArray[np.int64]:
    """Return the scores of observations, EXAMPLE (n,), in millipoints, int64 (n,).

    By what an observation holds alone: a null counts as the level of its kind, not as less where the last value was
    worse. Raise SnapshotError where this engine cannot score with the model.
    """
    found = np.zeros(len(observed), np.int64)
    _score(scorecard(snapshot).rows, observed["value"], observed["null"], found)
    return found


def rescored(snapshot: Snapshot, observed: Examples) -> Examples:
    """Return observations, EXAMPLE (n,), with their scores under a model. Raise as `scores_milli`."""
    found = observed.copy()
    found["score_milli"] = scores_milli(snapshot, observed)
    return found


@kernel(nogil=True)
def _score(rows, values, nulls, found):
    for n in range(found.shape[0]):
        total = np.int64(FLOOR_MILLI)
        for i in range(CORE_COUNT):
            code = nulls[n, i]
            u = utility(rows[i], values[n, i]) if code == VALUE else utility_of_null(rows[i], code, _NO_LAST_PPM)
            total += points_milli_of(rows[i], u)
        dpd = values[n, DPD_MAX] if nulls[n, DPD_MAX] == VALUE else 0.0
        is_frozen = nulls[n, FREEZE] == VALUE and values[n, FREEZE] > 0.0
        found[n] = min(total, most_milli(dpd, is_frozen))
