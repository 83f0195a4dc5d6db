"""Boosted stumps on binned values that can only move a probability in each indicator's own direction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.decorators import kernel

BINS_MAX = 64
NULL_BIN = 0  # of a value that is not there; bins of values ascend from 1
_NOTHING = -1


class MonotoneStumps:
    """Logistic regression boosted from stumps, additive in the indicators and monotone in each.

    One round takes the Newton step of one split of one indicator: of all splits between two bins, with nulls on either
    side or alone, the one that lowers the loss most among those that keep to the indicator's direction. The result is a
    table of terms by indicator and bin, which never fall (or never rise) from one bin of values to the next. Nothing is
    drawn by lot, and sums are made in one order: the same rows give the same table.

    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Chen, T., & Guestrin, C. (2016).
    XGBoost: a scalable tree boosting system (gain and Newton step).

    Parameters
    ----------
    directions
        By indicator: 1 where a higher value is riskier, -1 where it is safer, 0 for either.
    rounds, learning_rate
        The number of stumps, and the share of a Newton step that each takes.
    l2
        Ridge on a step.
    hessian_min
        The least sum of p (1 - p) on each side of a split: with few bad rows, about their number there.
    """

    def __init__(
        self,
        directions: Sequence[int],
        *,
        rounds: int = 200,
        learning_rate: float = 0.1,
        l2: float = 5.0,
        hessian_min: float = 2.0,
    ) -> None:
        self._directions = np.array(directions, np.int8)
        self._rounds, self._learning_rate, self._l2, self._hessian_min = rounds, learning_rate, l2, hessian_min
        self.intercept = 0.0
        self.table = np.zeros((len(directions), BINS_MAX))

    def fit(self, bins: npt.NDArray[np.uint8], bad: npt.NDArray[np.bool_], weight: npt.NDArray[np.float64]) -> None:
        """Fit anew to rows (n,): their bins (n, indicators), outcome and weight.

        Raise ValueError where one class is missing, or a bin is over BINS_MAX - 1.
        """
        if bad.all() or not bad.any():
            raise ValueError("stumps need good and bad rows")
        if bins.max(initial=0) >= BINS_MAX:
            raise ValueError(f"bin {bins.max()}: there are {BINS_MAX}")
        share = float(weight[bad].sum() / weight.sum())
        intercept = float(np.log(share / (1.0 - share)))
        table, logit = np.zeros_like(self.table), np.full(len(bad), intercept)
        sums = np.empty((len(table), BINS_MAX, 2))
        split, steps = np.empty(3, np.int64), np.empty(2)
        for _ in range(self._rounds):
            sums[:] = 0.0
            _add_up(bins, bad, weight, logit, sums)
            _best_split(sums, self._directions, self._l2, self._hessian_min, split, steps)
            if split[0] == _NOTHING:
                break
            steps *= self._learning_rate
            _step(bins, split, steps, logit, table)
        self.intercept, self.table = intercept, table

    def logits(self, bins: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Return the logit of bad of rows, bins (n, indicators), as float64 (n,)."""
        logits = np.full(len(bins), self.intercept)
        for i, terms in enumerate(self.table):
            logits += terms[bins[:, i]]
        return logits


@kernel(nogil=True)
def _add_up(bins: Any, bad: Any, weight: Any, logit: Any, sums: Any) -> None:
    """Add gradient and hessian of the log loss by indicator and bin to `sums` (indicators, BINS_MAX, 2)."""
    for row in range(bins.shape[0]):
        p = 1.0 / (1.0 + np.exp(-logit[row]))
        gradient = weight[row] * (p - (1.0 if bad[row] else 0.0))
        hessian = weight[row] * p * (1.0 - p)
        for one in range(bins.shape[1]):
            at = bins[row, one]
            sums[one, at, 0] += gradient
            sums[one, at, 1] += hessian


@kernel(nogil=True)
def _best_split(sums: Any, directions: Any, l2: float, hessian_min: float, split: Any, steps: Any) -> None:
    """Write the best split to `split` (3,) as indicator, last bin of the lower side, and whether nulls are lower.

    `steps` (2,): Newton steps of the lower side and of the upper. Indicator _NOTHING: no split lowers the loss.
    """
    split[0], best = _NOTHING, 1e-9
    for one in range(sums.shape[0]):
        g, h = 0.0, 0.0
        for at in range(sums.shape[1]):
            g += sums[one, at, 0]
            h += sums[one, at, 1]
        for nulls_low in range(2):
            g_low = sums[one, NULL_BIN, 0] if nulls_low else 0.0
            h_low = sums[one, NULL_BIN, 1] if nulls_low else 0.0
            for last in range(sums.shape[1] - 1):
                if last:
                    g_low += sums[one, last, 0]
                    h_low += sums[one, last, 1]
                h_high = h - h_low
                if h_low < hessian_min or h_high < hessian_min:
                    continue
                low, high = -g_low / (h_low + l2), -(g - g_low) / (h_high + l2)
                if last and directions[one] * (high - low) < 0.0:
                    continue
                gain = g_low * g_low / (h_low + l2) + (g - g_low) * (g - g_low) / (h_high + l2) - g * g / (h + l2)
                if gain > best:
                    best = gain
                    split[0], split[1], split[2] = one, last, nulls_low
                    steps[0], steps[1] = low, high


@kernel(nogil=True)
def _step(bins: Any, split: Any, steps: Any, logit: Any, table: Any) -> None:
    """Add a split's steps to the terms of its bins in `table`, and to `logit` (rows,)."""
    one, last, nulls_low = split[0], split[1], split[2]
    for at in range(table.shape[1]):
        is_low = nulls_low == 1 if at == NULL_BIN else at <= last
        table[one, at] += steps[0] if is_low else steps[1]
    for row in range(bins.shape[0]):
        at = bins[row, one]
        is_low = nulls_low == 1 if at == NULL_BIN else at <= last
        logit[row] += steps[0] if is_low else steps[1]
