"""Fit of the claim's points to month ends and what became of them: the most probable ones under prior points.

    logit = a + sum over findings of the most points among its open signals, at their levels
              + points of each open signal without a finding + f(score)

f is linear between anchors and never rises with the score. With theta the increments from level to level and from
anchor to anchor, and a:

    minimise  sum_n log(1 + exp(-s_n logit_n)) + 1/2 sum_j penalty_j (theta_j - prior_j)^2,   increments >= 0

s_n is 1 for bad, else -1. By Newton's method as in detectors/learning/additive.py: each step is a quadratic programme
with bounds. Which signal of a finding has the most points follows from the points before the step. Sums run in one
order, and exp and log are our own, so the points are equal on any CPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.learning.additive import programme, solve
from detectors.learning.statistics import Flags, Floats
from kernels import ieee
from kernels.decorators import kernel
from replay.case_points.claim import LEVELS, NO_FINDING
from replay.case_points.snapshots import Snapshots
from replay.case_points.timeline import NO_SCORE

STEPS_MAX, HALVINGS_MAX = 60, 20
TOLERANCE = 1e-3  # the largest change of any parameter, in the last step


class Shape(NamedTuple):
    """Places of parameters in theta: increments of signals by level, of the score by interval, and the intercept."""

    finding: npt.NDArray[np.int8]  # (S,)
    increment: npt.NDArray[np.int64]  # (S, LEVELS) the parameter of a level's increment, -1: the level is not in use
    score_at: Floats  # points, ascending; the increment of an interval counts towards its lower end
    score_first: int
    size: int


class Fitted(NamedTuple):
    """Points in logits."""

    intercept: float
    points: Floats  # (S, LEVELS)
    score: Floats  # (anchors,), 0 at the best


class _Rows(NamedTuple):
    """The parameters that each row has, and how much of each: `filled` (rows,) of (rows, most)."""

    part: npt.NDArray[np.int32]
    share: Floats
    filled: npt.NDArray[np.int32]


def shape_of(finding: npt.NDArray[np.int8], in_use: Flags, score_at: Floats) -> Shape:
    """Return the shape for levels in use, bool (S, LEVELS), and anchors of the score."""
    increment = np.full(in_use.shape, -1, np.int64)
    first = int(in_use.sum())
    increment[in_use] = np.arange(first)
    return Shape(finding, increment, score_at, first, first + len(score_at))


def fit(shape: Shape, rows: Snapshots, bad: Flags, prior: Floats, penalty: Floats) -> Floats:
    """Return the most probable theta, float64 (size,). penalty: the inverse variance of each parameter, above 0."""
    laid, score = _empty(len(bad), shape.size), _points_of(rows)
    best = np.zeros((int(shape.finding.max(initial=-1)) + 1, 2))

    def lay(theta: Floats) -> _Rows:
        _lay(shape, rows.level, score, theta, best, *laid)
        return laid

    return _newton(lay, bad, prior, penalty)


def scaled(found: Fitted, offset: float, slope: float) -> Fitted:
    """Return points of which the logit is `offset` + `slope` times the one before."""
    return Fitted(offset + slope * found.intercept, slope * found.points, slope * found.score)


def calibration(shape: Shape, theta: Floats, rows: Snapshots, bad: Flags) -> tuple[float, float]:
    """Return (offset, slope >= 0) of the most probable logit offset + slope * logit on these rows."""
    laid, pair = _empty(len(bad), shape.size), _empty(len(bad), 2)
    _lay(shape, rows.level, _points_of(rows), theta, np.zeros((int(shape.finding.max(initial=-1)) + 1, 2)), *laid)
    _logits(*laid, theta, pair.share[:, 0])
    pair.share[:, 1], pair.part[:, 1], pair.filled[:] = 1.0, 1, 2
    slope, offset = _newton(lambda _theta: pair, bad, np.array([1.0, 0.0]), np.full(2, 1e-6)).tolist()
    return offset, slope


def fitted(shape: Shape, theta: Floats, unseen: Floats) -> Fitted:
    """Return theta as points by level and logits at the anchors.

    unseen: (S, LEVELS) increments of levels that are not in use.
    """
    points = np.zeros(shape.increment.shape)
    for level in range(1, LEVELS):
        place = shape.increment[:, level]
        points[:, level] = points[:, level - 1] + np.where(place >= 0, theta[np.maximum(place, 0)], unseen[:, level])
    score = np.zeros(len(shape.score_at))
    for k in range(len(score) - 2, -1, -1):
        score[k] = score[k + 1] + theta[shape.score_first + k]
    return Fitted(float(theta[-1]), points, score)


def _newton(lay: Callable[[Floats], _Rows], bad: Flags, prior: Floats, penalty: Floats) -> Floats:
    """Return the most probable theta; all but the last of it is at least 0. lay: the rows as they are under theta."""
    size = len(prior)
    low, high = np.zeros(size), np.full(size, np.inf)
    low[-1] = -np.inf
    gram, slope, target, gradient = np.zeros((size, size)), np.zeros(size), np.zeros(size), np.zeros(size)
    theta = prior.copy()
    least = float(_objective(*lay(theta), bad, theta, prior, penalty))
    for _ in range(STEPS_MAX):
        gram[:], slope[:] = 0.0, 0.0
        _accumulate(*lay(theta), bad, theta, gram, slope)
        programme(gram, slope, theta, prior, penalty, target)
        aim = theta.copy()
        solve(gram, target, aim, low, high, gradient)
        for halving in range(HALVINGS_MAX):
            at = theta + (aim - theta) * 0.5**halving
            found = float(_objective(*lay(at), bad, at, prior, penalty))
            if found <= least:
                break
        else:
            break
        moved, theta, least = float(np.abs(at - theta).max()), at, found
        if moved < TOLERANCE:
            break
    return theta


def _empty(rows: int, most: int) -> _Rows:
    return _Rows(np.zeros((rows, most), np.int32), np.zeros((rows, most)), np.zeros(rows, np.int32))


def _points_of(rows: Snapshots) -> Floats:
    return np.where(rows.score == NO_SCORE, np.nan, rows.score / 1000.0)


@kernel
def _point(shape, theta, s, level):
    total = 0.0
    for one in range(1, level + 1):
        if shape.increment[s, one] >= 0:
            total += theta[shape.increment[s, one]]
    return total


@kernel(nogil=True)
def _lay(shape, levels, score, theta, best, part, share, count):
    """Fill in which increments each row has, and how much of each; of a finding those of the signal with the most."""
    for n in range(levels.shape[0]):
        k = 0
        best[:, 0] = -1.0
        for s in range(levels.shape[1]):
            level = levels[n, s]
            if level == 0:
                continue
            f = shape.finding[s]
            if f == NO_FINDING:
                k = _add_signal(shape, s, level, part[n], share[n], k)
                continue
            points = _point(shape, theta, s, level)
            if points > best[f, 0]:
                best[f, 0], best[f, 1] = points, s
        for f in range(best.shape[0]):
            if best[f, 0] >= 0.0:
                of = np.int64(best[f, 1])
                k = _add_signal(shape, of, levels[n, of], part[n], share[n], k)
        k = _add_score(shape, score[n], part[n], share[n], k)
        part[n, k], share[n, k] = shape.size - 1, 1.0
        count[n] = k + 1


@kernel
def _add_signal(shape, s, level, part, share, k):
    for one in range(1, level + 1):
        if shape.increment[s, one] >= 0:
            part[k], share[k] = shape.increment[s, one], 1.0
            k += 1
    return k


@kernel
def _add_score(shape, score, part, share, k):
    if score != score:
        return k
    at = shape.score_at
    for i in range(at.shape[0] - 1):
        much = min(1.0, max(0.0, (at[i + 1] - score) / (at[i + 1] - at[i])))
        if much > 0.0:
            part[k], share[k] = shape.score_first + i, much
            k += 1
    return k


@kernel
def _logit(part, share, count, theta):
    total = 0.0
    for k in range(count):
        total += share[k] * theta[part[k]]
    return total


@kernel(nogil=True)
def _logits(part, share, count, theta, found):
    for n in range(count.shape[0]):
        found[n] = _logit(part[n], share[n], count[n], theta)


@kernel(nogil=True)
def _objective(part, share, count, bad, theta, prior, penalty):
    total = 0.0
    for n in range(count.shape[0]):
        logit = _logit(part[n], share[n], count[n], theta)
        total += ieee.softplus(-logit if bad[n] else logit)
    for j in range(theta.shape[0]):
        total += 0.5 * penalty[j] * (theta[j] - prior[j]) * (theta[j] - prior[j])
    return total


@kernel(nogil=True)
def _accumulate(part, share, count, bad, theta, gram, slope):
    for n in range(count.shape[0]):
        p = ieee.logistic(_logit(part[n], share[n], count[n], theta))
        curvature, residual = max(p * (1.0 - p), 1e-12), (1.0 if bad[n] else 0.0) - p
        for i in range(count[n]):
            slope[part[n, i]] += residual * share[n, i]
            for j in range(count[n]):
                gram[part[n, i], part[n, j]] += curvature * share[n, i] * share[n, j]
