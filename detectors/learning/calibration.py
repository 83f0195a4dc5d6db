"""Calibration: from a score to a probability, apart from the points.

`logit(p) = a - B x`, x = (score - 400,000) / 300,000, is fitted to labels and drawn to what it was; two numbers, by
Newton's method. The scores stay as they are.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.scorecard import FLOOR_MILLI
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI, Calibration
from kernels import ieee
from kernels.decorators import kernel

Floats = npt.NDArray[np.float64]
STEPS = 50
SLOPE_SD, INTERCEPT_SD = 0.5, 3.0  # how far labels may be expected to move them: B by its half, a by 3
SLOPE_MIN = 0.1  # labels that contradict every indicator leave a nearly flat model, not one without a slope


class LogitLine(NamedTuple):
    """Intercept a and slope B."""

    intercept: float
    slope: float

    @property
    def of_snapshot(self) -> Calibration:
        """Return it as a snapshot holds it."""
        return Calibration(intercept_micro=round(self.intercept * MICRO), slope_micro=round(self.slope * MICRO))


def places(scores_milli: npt.NDArray[np.int64]) -> Floats:
    """Return scores in millipoints as x, float64."""
    return (scores_milli - FLOOR_MILLI) / WEIGHT_SUM_MILLI


def probabilities(line: LogitLine, x: Floats) -> Floats:
    """Return the probability of bad at each x, float64."""
    found = np.zeros(len(x))
    _probabilities(line.intercept, line.slope, x, found)
    return found


def calibrated(before: LogitLine, x: Floats, bad: npt.NDArray[np.bool_], weight: Floats) -> LogitLine:
    """Return the line that labels make of `before`: the most probable one under a prior about it.

    weight: of each label. Raise ValueError where an x or a weight is not finite.
    """
    a, slope, sums = before.intercept, before.slope, np.zeros(5)
    pull_a, pull_slope = 1.0 / INTERCEPT_SD**2, 1.0 / (SLOPE_SD * before.slope) ** 2
    for _ in range(STEPS):
        _sums(a, slope, x, bad, weight, sums)
        g_a, g_slope, h_aa, h_as, h_ss = sums.tolist()
        g_a, g_slope = g_a - pull_a * (a - before.intercept), g_slope - pull_slope * (slope - before.slope)
        h_aa, h_ss = h_aa + pull_a, h_ss + pull_slope
        whole = h_aa * h_ss - h_as * h_as
        step_a, step_slope = (h_ss * g_a - h_as * g_slope) / whole, (h_aa * g_slope - h_as * g_a) / whole
        most = max(abs(step_a), abs(step_slope))
        factor = 1.0 if most <= 2.0 else 2.0 / most  # a long step of Newton's may overshoot
        a, slope = a + factor * step_a, max(SLOPE_MIN, slope + factor * step_slope)
        if most < 1e-9:
            break
    if not (math.isfinite(a) and math.isfinite(slope)):
        raise ValueError("a score or a weight of a label is not finite")
    return LogitLine(a, slope)


@kernel(nogil=True)
def _probabilities(intercept, slope, x, found):
    for n in range(x.shape[0]):
        found[n] = ieee.logistic(intercept - slope * x[n])


@kernel(nogil=True)
def _sums(intercept, slope, x, bad, weight, sums):
    """Fill in the gradient of the log likelihood by (a, B), and its curvature."""
    sums[:] = 0.0
    for n in range(x.shape[0]):
        p = ieee.logistic(intercept - slope * x[n])
        residual, curvature = weight[n] * ((1.0 if bad[n] else 0.0) - p), weight[n] * p * (1.0 - p)
        sums[0] += residual
        sums[1] -= residual * x[n]
        sums[2] += curvature
        sums[3] -= curvature * x[n]
        sums[4] += curvature * x[n] * x[n]
