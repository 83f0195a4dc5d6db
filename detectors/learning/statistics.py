"""Statistics with bootstrap intervals: arrays in, arrays out.

Observations of one enterprise are correlated, so enterprises are resampled, not observations. A resample gives each
enterprise a weight, Poisson with mean 1, which approximates drawing n of n with replacement; the statistic is computed
again under these weights. An interval is the middle 95% of the resampled statistics.
"""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.learning import resampled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.uint8]  # (resamples, enterprises)

TAIL = 0.025  # of the resampled statistics, cut off at each end
USABLE_MIN = 0.9  # of the resamples must define a statistic, or it has no interval
_AT_ONCE = 4_000_000  # weights gathered at a time: they stay in some megabytes


class Estimate(NamedTuple):
    """A statistic, its interval and the number of observations. NaN: not defined."""

    value: float
    low: float
    high: float
    n: int


UNDEFINED = float("nan")


def poisson_weights(resamples: int, enterprises: int, seed: int) -> Weights:
    """Return weights, uint8 (resamples, enterprises); they follow from the arguments alone."""
    return np.random.default_rng(seed).poisson(1.0, (resamples, enterprises)).astype(np.uint8)


def interval(resampled: Floats) -> tuple[float, float]:
    """Return the middle 95% of the resampled statistics; NaN, NaN where too few of them are defined."""
    usable = resampled[np.isfinite(resampled)]
    if not len(resampled) or len(usable) < USABLE_MIN * len(resampled):
        return UNDEFINED, UNDEFINED
    low, high = np.quantile(usable, (TAIL, 1 - TAIL))
    return float(low), float(high)


class Sum(NamedTuple):
    """A sum over enterprises, and the same sum of each resample, float64 (resamples,)."""

    value: float
    drawn: Floats


def total(values: npt.ArrayLike, weights: Weights) -> Sum:
    """Return the sum of values by enterprise (n,), and of each resample."""
    given = np.asarray(values, np.float64)
    used, drawn = np.flatnonzero(given), np.empty(len(weights))
    resampled.sums(weights, used, given[used], drawn)
    return Sum(float(given.sum()), drawn)


def ratio(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike | Sum, weights: Weights, n: int | None = None
) -> Estimate:
    """Return sum(numerator) / sum(denominator), both by enterprise (n,), or the denominator as its sum.

    n: the number of observations, where it is not the sum of the denominator.

    >>> ratio([1, 0], [2, 2], np.ones((4, 2), np.uint8))
    Estimate(value=0.25, low=0.25, high=0.25, n=4)
    """
    under = denominator if isinstance(denominator, Sum) else total(denominator, weights)
    counted = round(under.value) if n is None else n
    if not under.value:
        return Estimate(UNDEFINED, UNDEFINED, UNDEFINED, counted)
    over = total(numerator, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = interval(over.drawn / under.drawn)
    return Estimate(over.value / under.value, low, high, counted)


def quantile(values: npt.ArrayLike, owner: npt.ArrayLike, share: float, weights: Weights) -> Estimate:
    """Return the smallest value that at least `share` of the values do not exceed; `owner` (n,) is its enterprise.

    Values may be -inf ("none"), and so may the quantile and its interval be.

    >>> quantile([3.0, 1.0, 2.0], [0, 1, 2], 0.5, np.ones((2, 3), np.uint8)).value
    2.0
    """
    given, owners = np.asarray(values, np.float64), np.asarray(owner, np.int64)
    if not len(given):
        return Estimate(UNDEFINED, UNDEFINED, UNDEFINED, 0)
    order = np.argsort(given, kind="stable")
    ordered = given[order]
    found = []
    for part in chain([np.ones((1, len(given)), np.uint8)], _parts(weights, owners[order])):
        reached = np.cumsum(part, axis=1, dtype=np.int64)
        total = reached[:, -1:]
        place = (reached < share * total - 1e-9).sum(axis=1)
        found.append(np.where(total[:, 0] > 0, ordered[np.minimum(place, len(given) - 1)], UNDEFINED))
    drawn = np.concatenate(found[1:])
    usable = np.sort(drawn[~np.isnan(drawn)])
    low = high = UNDEFINED
    if len(usable) >= USABLE_MIN * len(drawn):
        last = len(usable) - 1
        low, high = (float(usable[round(share_of * last)]) for share_of in (TAIL, 1 - TAIL))
    return Estimate(float(found[0][0]), low, high, len(given))


class Separation(NamedTuple):
    """The separation of bad from good by a risk.

    auc: the probability that a bad observation has a higher risk than a good one (ties count half). ks: the largest
    distance between the cumulative shares of bad and good ones (Kolmogorov and Smirnov).
    """

    auc: Estimate
    ks: Estimate
    bad: int


def separation(risk: npt.ArrayLike, bad: npt.ArrayLike, owner: npt.ArrayLike, weights: Weights) -> Separation:
    """Return AUC and KS of observations (n,): their risk, whether they went bad, and their enterprise.

    Raise ValueError where a risk is NaN.

    >>> found = separation([1, 2, 3, 4], [0, 0, 1, 1], [0, 1, 2, 3], np.ones((1, 4), np.uint8))
    >>> found.auc.value, found.ks.value
    (1.0, 1.0)
    """
    n, drawn = len(np.asarray(risk)), separations(risk, bad, owner, weights)
    auc, ks = (Estimate(float(drawn[0, i]), *interval(drawn[1:, i]), n) for i in (0, 1))
    return Separation(auc, ks, int(np.asarray(bad, np.bool_).sum()))


def separations(risk: npt.ArrayLike, bad: npt.ArrayLike, owner: npt.ArrayLike, weights: Weights) -> Floats:
    """Return AUC and KS, float64 (1 + resamples, 2): first of the observations, then of each resample.

    The same weights make the resamples of two risks the same, so that their difference has an interval too. NaN where
    one class is missing. Raise ValueError where a risk is NaN.
    """
    risks, bads, owners = np.asarray(risk, np.float64), np.asarray(bad, np.bool_), np.asarray(owner, np.int64)
    if np.isnan(risks).any():
        raise ValueError("a risk is NaN: leave such observations out, and count them")
    n, drawn = len(risks), np.full((len(weights) + 1, 2), UNDEFINED)
    if bads.all() or not bads.any():
        return drawn
    order = np.argsort(risks, kind="stable")
    ends = np.ones(n, np.bool_)
    ends[:-1] = np.diff(risks[order]) != 0
    enterprises = weights.shape[1]
    goods_of, bads_of = (np.bincount(owners[of], minlength=enterprises) for of in (~bads, bads))
    for taken, found in ((np.ones((1, enterprises), np.uint8), drawn[:1]), (weights, drawn[1:])):
        resampled.curves(taken, owners[order].astype(np.int32), bads[order], ends, goods_of, bads_of, found)
    return drawn


def _parts(weights: Weights, columns: Ints) -> Iterator[Weights]:
    """Yield weights[:, columns] in blocks of rows: the whole would take gigabytes."""
    rows = max(1, _AT_ONCE // max(1, len(columns)))
    for first in range(0, len(weights), rows):
        yield weights[first : first + rows, columns]
