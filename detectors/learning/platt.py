"""Calibration of a model by its own predictions of what it had not learned yet."""

from collections import deque

import numpy as np

from detectors.learning.statistics import Floats

NEWEST_MAX = 4_000  # predictions that the calibration rests on: a model is not judged by what it said when young
EDGE = 1e-4  # a raw probability of 0 or 1 counts as one this far from it
RIDGE = 1.0  # draws the slope to 1, as one example of information would
ROUNDS = 100
STEP_MAX = 1.0


class Platt:
    """logit(p) = a + b * logit(raw), b >= 0, by weighted maximum likelihood.

    Platt, J. (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood
    methods.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, bool, float]] = deque(maxlen=NEWEST_MAX)
        self.bads = 0

    def add(self, raw: float, bad: bool, weight: float) -> None:
        """Add a raw probability of an example that the model had not learned, and its outcome. NaN is passed over."""
        if not np.isfinite(raw):
            return
        if len(self._seen) == NEWEST_MAX:
            self.bads -= self._seen[0][1]
        self._seen.append((raw, bad, weight))
        self.bads += bad

    def calibrated(self, raw: Floats) -> Floats:
        """Return probabilities, float64 (n,), of raw ones; NaN stays NaN."""
        a, b = self.coefficients()
        found: Floats = 1.0 / (1.0 + np.exp(-(a + b * _logit(raw))))
        return found

    def coefficients(self) -> tuple[float, float]:
        """Return a and b, by Newton's method."""
        raw, bad, weight = (np.array(column, np.float64) for column in zip(*self._seen, strict=True))
        x, share = _logit(raw), float((weight * bad).sum() / weight.sum())
        a, b = float(np.log(share / (1.0 - share))), 0.0
        for _ in range(ROUNDS):
            p = 1.0 / (1.0 + np.exp(-(a + b * x)))
            slope, curve = weight * (p - bad), weight * p * (1.0 - p)
            g_a, g_b = slope.sum(), (slope * x).sum() + RIDGE * (b - 1.0)
            h_aa, h_ab, h_bb = curve.sum(), (curve * x).sum(), (curve * x * x).sum() + RIDGE
            if b <= 0.0 < g_b:  # the model orders wrongly: it is not turned around
                step_a, step_b = g_a / h_aa, 0.0
            else:
                determinant = h_aa * h_bb - h_ab * h_ab
                step_a, step_b = (h_bb * g_a - h_ab * g_b) / determinant, (h_aa * g_b - h_ab * g_a) / determinant
            part = min(1.0, STEP_MAX / max(abs(step_a), abs(step_b), 1e-300))  # far away Newton overshoots
            a, b = a - part * step_a, max(0.0, b - part * step_b)
            if abs(step_a) + abs(step_b) < 1e-9:
                break
        return float(a), float(b)


def _logit(raw: Floats) -> Floats:
    kept = raw.clip(EDGE, 1.0 - EDGE)
    found: Floats = np.log(kept / (1.0 - kept))
    return found
