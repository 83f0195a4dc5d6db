"""Additive monotone logistic regression: a level at each anchor of each indicator, and one for each kind of null.

    logit(p) = a - sum over i of f_i(x_i)

f_i is linear between its anchors, constant beyond the outer ones, 0 at the worst and never falls towards the better
side; a null of kind k counts as a level of its own. So the model reads as a scorecard (detectors/snapshot.py): f_i is
weight times utility.

It is fitted to labels and to a prior, as the most probable model of both (MAP). With theta the increments from anchor
to anchor, the levels of nulls, and a:

    minimise  sum_n w_n log(1 + exp(-s_n logit_n)) + 1/2 sum_j penalty_j (theta_j - prior_j)^2
    under     s_n = 1 for bad, else -1;  increments >= 0;  0 <= level of a null <= its most

by Newton's method: each step is a quadratic programme with bounds, solved by coordinate descent, and halved until the
objective falls. The most of a null follows from the levels: a programme is solved again until it is that of the levels
that it gives, or each step would move it once. The prior fades as labels come, since it does not grow with them. Sums
run in one order, and exp and log are our own (kernels/ieee.py): the result is equal on any CPU, with any number of
threads.

References: Friedman, J., Hastie, T., & Tibshirani, R. (2010). Regularization paths for generalized linear models via
coordinate descent (the step). MacKay, D. (1992). The evidence framework applied to classification networks (a MAP under
a Gaussian prior).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.scorecard import log10_1p
from features.indicators.nulls import NOT_APPLICABLE, NULL_NAMES, VALUE
from kernels import ieee
from kernels.decorators import kernel

KINDS = len(NULL_NAMES) - 1
STEPS_MAX, HALVINGS_MAX, SWEEPS_MAX = 40, 20, 500
TOLERANCE = 1e-3  # the largest change of any parameter in the last step
SWEEP_TOLERANCE = 1e-7
SETTLES_MAX, SETTLE_TOLERANCE = 8, 1e-4
_VALUE, _NOT_APPLICABLE = np.uint8(VALUE), np.uint8(NOT_APPLICABLE)
Floats = npt.NDArray[np.float64]


class Shape(NamedTuple):
    """Places of each indicator's parameters in theta, and its anchors on the scale on which it is linear.

    On that scale higher is better: log10(1 + x) of amounts, negated where a higher value is riskier. theta is the
    parameters of all indicators, one after the other, and the intercept: of each indicator `size` increments, of which
    the first is 0 at the worst anchor, then KINDS levels of nulls.
    """

    anchor: Floats  # (indicators, most), ascending; padded
    size: npt.NDArray[np.int64]  # anchors of each indicator
    first: npt.NDArray[np.int64]  # its first parameter
    bad: Floats  # the value, on the scale, at whose level what is not computable may count at the best
    logarithmic: npt.NDArray[np.bool_]
    falling: npt.NDArray[np.bool_]

    @property
    def parameters(self) -> int:
        """Length of theta."""
        return int(self.first[-1] + self.size[-1] + KINDS + 1)


@dataclass(frozen=True, slots=True)
class Placed:
    """Observations as places among the levels: `column` int32 and `share` float64, (observations, indicators).

    A value lies between the levels `column` and `column + 1`, at `share` of the way. The level of a null is `column`,
    its share -1.
    """

    column: npt.NDArray[np.int32]
    share: Floats

    def __getitem__(self, rows: Any) -> "Placed":
        return Placed(self.column[rows], self.share[rows])

    def __len__(self) -> int:
        return len(self.column)


def shape_of(
    anchors: list[Floats], bad: Floats, logarithmic: npt.NDArray[np.bool_], falling: npt.NDArray[np.bool_]
) -> Shape:
    """Return the shape for anchors of each indicator, ascending in its own unit, and its bad value."""
    count = np.array([len(each) for each in anchors], np.int64)
    padded = np.full((len(anchors), int(count.max())), np.inf)
    on_scale = np.array(bad, np.float64)
    for i, each in enumerate(anchors):
        scaled = [_on_scale(x, logarithmic[i], falling[i]) for x in each.tolist()]
        padded[i, : count[i]] = sorted(scaled)
        on_scale[i] = _on_scale(float(bad[i]), logarithmic[i], falling[i])
    first = np.concatenate(([0], np.cumsum(count + KINDS)[:-1]))
    return Shape(padded, count, first, on_scale, logarithmic, falling)


def place(shape: Shape, values: Floats, nulls: npt.NDArray[np.uint8]) -> Placed:
    """Return observations, (n, indicators) of values in the indicators' own units and of null codes, as places."""
    column, share = np.zeros(values.shape, np.int32), np.zeros(values.shape)
    _place(shape, values, nulls, column, share)
    return Placed(column, share)


def logits(shape: Shape, theta: Floats, placed: Placed) -> Floats:
    """Return the logit of the probability of bad, float64 (observations,)."""
    level, found = np.zeros_like(theta), np.zeros(len(placed))
    _cumulate(shape, theta, level)
    _logits(placed.column, placed.share, level, found)
    return found


def levels(shape: Shape, theta: Floats) -> Floats:
    """Return theta with the levels at the anchors in place of the increments."""
    level = np.zeros_like(theta)
    _cumulate(shape, theta, level)
    return level


def fit(
    shape: Shape, placed: Placed, bad: npt.NDArray[np.bool_], weight: Floats, prior: Floats, penalty: Floats,
    start: Floats | None = None,
) -> Floats:  # fmt: skip
    """Return the most probable theta, float64 (parameters,).

    weight: of each label. prior: theta without labels; penalty: the inverse variance of each parameter about it, above
    0. start: where to begin.
    """
    n, size = len(placed), shape.parameters
    theta = (prior if start is None else start).copy()
    low, high = np.zeros(size), np.full(size, np.inf)
    low[-1] = -np.inf
    high[shape.first] = 0.0
    level, logit = np.zeros(size), np.zeros(n)
    gram, slope, target = np.zeros((size, size)), np.zeros(size), np.zeros(size)

    def objective(at: Floats) -> float:
        _cumulate(shape, at, level)
        _logits(placed.column, placed.share, level, logit)
        return float(_objective(logit, bad, weight, at, prior, penalty))

    def bounded(at: Floats) -> Floats:
        """Take the most of each null from the levels of `at`, and return `at` within all bounds."""
        _cumulate(shape, at, level)
        _bound_nulls(shape, level, high)
        return np.minimum(high, np.maximum(low, at))

    def settled(aim: Floats) -> Floats:
        """Return the aim of the same programme once the most of each null is that of the aim's own levels."""
        for _ in range(SETTLES_MAX):
            before = aim
            aim = bounded(aim)
            solve(gram, target, aim, low, high, slope)
            if np.abs(aim - before).max() < SETTLE_TOLERANCE:
                break
        return aim

    for _ in range(STEPS_MAX):
        theta = bounded(theta)
        least = objective(theta)
        gram[:], slope[:] = 0.0, 0.0
        _accumulate(placed.column, placed.share, bad, weight, logit, gram, slope)
        _of_increments(shape, gram, slope)
        programme(gram, slope, theta, prior, penalty, target)
        aim = theta.copy()
        solve(gram, target, aim, low, high, slope)
        at, step = settled(aim), aim - theta
        for halving in range(HALVINGS_MAX):
            if objective(at) <= least:
                break
            at = theta + step * 0.5**halving
        moved, theta = float(np.abs(at - theta).max()), at
        if moved < TOLERANCE:
            break
    return theta


def log_loss(logit: Floats, bad: npt.NDArray[np.bool_], weight: Floats) -> float:
    """Return the weighted sum of the log loss of labels, given the logit of the probability of bad."""
    nothing = np.zeros(0)
    return float(_objective(logit, bad, weight, nothing, nothing, nothing))


@kernel
def _on_scale(x, logarithmic, falling):
    value = log10_1p(x) if logarithmic else x
    return -value if falling else value


@kernel(nogil=True)
def _place(shape, values, nulls, column, share):
    for n in range(values.shape[0]):
        for i in range(values.shape[1]):
            first, last = shape.first[i], shape.size[i] - 1
            if nulls[n, i] != _VALUE:
                column[n, i] = first + last + nulls[n, i]
                share[n, i] = -1.0
                continue
            x = _on_scale(values[n, i], shape.logarithmic[i], shape.falling[i])
            k, t = _between(shape.anchor[i], last, x)
            column[n, i], share[n, i] = first + k, t


@kernel
def _between(anchor, last, x):
    """Return (k, t): x lies at t of the way from anchor k to the next, of `last` + 1."""
    k = 0
    while k < last - 1 and x >= anchor[k + 1]:
        k += 1
    return k, min(1.0, max(0.0, (x - anchor[k]) / (anchor[k + 1] - anchor[k])))


@kernel
def _cumulate(shape, theta, level):
    level[-1] = theta[-1]
    for i in range(shape.first.shape[0]):
        first, count, total = shape.first[i], shape.size[i], 0.0
        for j in range(first, first + count):
            total += theta[j]
            level[j] = total
        for j in range(first + count, first + count + KINDS):
            level[j] = theta[j]


@kernel(nogil=True)
def _logits(column, share, level, found):
    for n in range(found.shape[0]):
        total = level[-1]
        for i in range(column.shape[1]):
            k, t = column[n, i], share[n, i]
            total -= level[k] if t < 0.0 else level[k] + t * (level[k + 1] - level[k])
        found[n] = total


@kernel(nogil=True)
def _objective(logit, bad, weight, theta, prior, penalty):
    total = 0.0
    for n in range(logit.shape[0]):
        total += weight[n] * ieee.softplus(-logit[n] if bad[n] else logit[n])
    for j in range(theta.shape[0]):
        total += 0.5 * penalty[j] * (theta[j] - prior[j]) * (theta[j] - prior[j])
    return total


@kernel
def _bound_nulls(shape, level, high):
    """Fill in the most of each null: of what is not computable the level of the bad value, else the best one."""
    for i in range(shape.first.shape[0]):
        first, last = shape.first[i], shape.size[i] - 1
        k, t = _between(shape.anchor[i], last, shape.bad[i])
        most = level[first + k] + t * (level[first + k + 1] - level[first + k])
        for code in range(1, KINDS + 1):
            high[first + last + code] = level[first + last] if code == _NOT_APPLICABLE else most


@kernel(nogil=True)
def _accumulate(column, share, bad, weight, logit, gram, slope):
    """Add the curvature by levels to the lower triangle of gram, and the descent to slope."""
    last = slope.shape[0] - 1
    for n in range(logit.shape[0]):
        p = ieee.logistic(logit[n])
        curvature, residual = weight[n] * max(p * (1.0 - p), 1e-12), weight[n] * ((1.0 if bad[n] else 0.0) - p)
        gram[last, last] += curvature
        slope[last] += residual
        for i in range(column.shape[1]):
            k, t = column[n, i], share[n, i]
            low = 1.0 if t < 0.0 else 1.0 - t
            _add(column, share, n, i, k, curvature * low, gram)
            slope[k] -= residual * low
            gram[last, k] -= curvature * low
            if t > 0.0:
                _add(column, share, n, i, k + 1, curvature * t, gram)
                slope[k + 1] -= residual * t
                gram[last, k + 1] -= curvature * t


@kernel
def _add(column, share, n, i, row, factor, gram):
    """Add `factor` times the levels of indicators 0 to i, as observation n has them, to a row of gram."""
    for j in range(i + 1):
        k, t = column[n, j], share[n, j]
        gram[row, k] += factor if t < 0.0 else factor * (1.0 - t)
        if t > 0.0:
            gram[row, k + 1] += factor * t


@kernel
def _of_increments(shape, gram, slope):
    """Turn curvature and descent by levels into those by increments: a level is the sum of the increments up to it."""
    size = slope.shape[0]
    for row in range(size):
        for k in range(row):
            gram[k, row] = gram[row, k]
    for i in range(shape.first.shape[0]):
        first, last = shape.first[i], shape.first[i] + shape.size[i] - 1
        for j in range(last - 1, first - 1, -1):
            slope[j] += slope[j + 1]
            for k in range(size):
                gram[k, j] += gram[k, j + 1]
    for i in range(shape.first.shape[0]):
        first, last = shape.first[i], shape.first[i] + shape.size[i] - 1
        for j in range(last - 1, first - 1, -1):
            for k in range(size):
                gram[j, k] += gram[j + 1, k]


@kernel
def programme(gram, slope, theta, prior, penalty, target):
    """Make the step's programme of curvature and descent: minimise 1/2 x' gram x - target' x."""
    for j in range(theta.shape[0]):
        total = slope[j] + penalty[j] * prior[j]
        for k in range(theta.shape[0]):
            total += gram[j, k] * theta[k]
        target[j] = total
    for j in range(theta.shape[0]):
        gram[j, j] += penalty[j]


@kernel(nogil=True)
def solve(gram, target, x, low, high, gradient):
    """Minimise 1/2 x' gram x - target' x within the bounds, in place."""
    size = x.shape[0]
    for j in range(size):
        total = -target[j]
        for k in range(size):
            total += gram[j, k] * x[k]
        gradient[j] = total
    for _ in range(SWEEPS_MAX):
        most = 0.0
        for j in range(size):
            if (x[j] == low[j] and gradient[j] >= 0.0) or (x[j] == high[j] and gradient[j] <= 0.0):
                continue  # it stays at its bound: most do, at most times
            new = min(high[j], max(low[j], x[j] - gradient[j] / gram[j, j]))
            change = new - x[j]
            if change == 0.0:
                continue
            x[j] = new
            for k in range(size):
                gradient[k] += gram[j, k] * change
            most = max(most, abs(change))
        if most < SWEEP_TOLERANCE:
            return
