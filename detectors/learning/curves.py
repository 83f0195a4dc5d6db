"""Curves of a model on labelled examples, as few points: ROC (and with it KS), reliability, and score by outcome."""

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.learning import statistics
from detectors.learning.statistics import Estimate, Floats, Ints, Weights

PROBABILITY_EDGES = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0)
SCORE_STEP_POINTS = 10
SCORES = range(400, 700, SCORE_STEP_POINTS)
ROC_POINTS_MAX = 65
_MILLI = 1_000


def roc(risk: npt.ArrayLike, bad: npt.ArrayLike, points_max: int = ROC_POINTS_MAX) -> Floats:
    """Return the ROC curve, float64 (points, 2): shares of good and of bad at or above a risk, from (0, 0) to (1, 1).

    risk, bad: (n,). Equal risks are one step. Of longer curves `points_max` points are kept: the ends, the one at which
    the two shares are farthest apart, and others at equal distances along the curve. Empty where one class is missing.
    """
    risks, bads = np.asarray(risk, np.float64), np.asarray(bad, np.bool_)
    goods_count, bads_count = int((~bads).sum()), int(bads.sum())
    if not goods_count or not bads_count:
        return np.empty((0, 2))
    order = np.argsort(-risks, kind="stable")
    ends = np.append(np.diff(risks[order]) != 0, True)
    reached = np.cumsum(bads[order])[ends]
    seen = np.flatnonzero(ends) + 1
    curve = np.column_stack(((seen - reached) / goods_count, reached / bads_count))
    curve = np.vstack((np.zeros((1, 2)), curve))
    if len(curve) <= points_max:
        return curve
    along = curve.sum(axis=1)
    wanted = np.linspace(0.0, 2.0, points_max - 1)
    kept = np.searchsorted(along, wanted).clip(0, len(curve) - 1)
    widest = int(np.argmax(np.abs(curve[:, 1] - curve[:, 0])))
    return curve[np.unique(np.concatenate((kept, [0, widest, len(curve) - 1])))]


class Bin(NamedTuple):
    """Examples with a value in [low, high): how many, how many went bad, their mean probability, the share of bad."""

    low: float
    high: float
    n: int
    bad: int
    expected: Estimate
    observed: Estimate


def reliability(
    p: npt.ArrayLike,
    bad: npt.ArrayLike,
    owner: npt.ArrayLike,
    weights: Weights,
    edges: tuple[float, ...] = PROBABILITY_EDGES,
    by: npt.ArrayLike | None = None,
) -> list[Bin]:
    """Return what was expected and what was observed, by bin of `by` (n,), the probability where None.

    p, bad, owner (n,): probability, outcome, and enterprise of each example. The last bin holds its upper edge too.
    """
    expected, bads, owners = np.asarray(p, np.float64), np.asarray(bad, np.float64), np.asarray(owner, np.int64)
    values = expected if by is None else np.asarray(by, np.float64)
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (values >= low) & ((values < high) | ((high == edges[-1]) & (values == high)))
        if not inside.any():
            continue
        count = statistics.total(_sums(owners[inside], weights), weights)
        mean, share = (
            statistics.ratio(_sums(owners[inside], weights, of[inside]), count, weights) for of in (expected, bads)
        )
        found.append(Bin(low, high, int(inside.sum()), int(bads[inside].sum()), mean, share))
    return found


def by_score(score_milli: npt.ArrayLike, bad: npt.ArrayLike) -> list[tuple[int, int, int]]:
    """Return (lower edge in points, good ones, bad ones) for each step of SCORES that holds any example."""
    bads = np.asarray(bad, np.bool_)
    steps = (np.asarray(score_milli, np.int64) - SCORES.start * _MILLI) // (SCORE_STEP_POINTS * _MILLI)
    steps = steps.clip(0, len(SCORES) - 1)
    good, ill = (np.bincount(steps[of], minlength=len(SCORES)) for of in (~bads, bads))
    return [(low, int(g), int(b)) for low, g, b in zip(SCORES, good, ill, strict=True) if g or b]


def _sums(owners: Ints, weights: Weights, of: Floats | None = None) -> Floats:
    """Return the sum of `of`, or the number of examples, by enterprise."""
    return np.bincount(owners, of, minlength=weights.shape[1]).astype(np.float64)
