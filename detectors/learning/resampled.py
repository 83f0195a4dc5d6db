"""Kernels of bootstrap statistics, under the weights of each resample. Counts are integers, so sums are exact."""

from typing import Any

from kernels.decorators import kernel


@kernel(nogil=True)
def sums(weights: Any, used: Any, values: Any, found: Any) -> None:
    """Write the sum of `values` (n,) of enterprises `used` (n,) under each row of `weights` to `found` (resamples,)."""
    for resample in range(weights.shape[0]):
        total = 0.0
        for place in range(used.shape[0]):
            total += weights[resample, used[place]] * values[place]
        found[resample] = total


@kernel(nogil=True)
def curves(weights: Any, owner: Any, is_bad: Any, ends: Any, goods_of: Any, bads_of: Any, found: Any) -> None:
    """Write AUC and KS under each row of `weights` (resamples, enterprises) to `found` (resamples, 2), or NaN.

    Observations (n,) are sorted by ascending risk. owner: the enterprise of each. is_bad: whether it went bad. ends:
    whether the next one has another risk. goods_of, bads_of (enterprises,): the number of good and bad observations of
    each enterprise. AUC is the area under the ROC curve by the trapezoidal rule (Mann and Whitney), KS the statistic of
    Kolmogorov and Smirnov.
    """
    for resample in range(weights.shape[0]):
        goods, bads = 0, 0
        for one in range(goods_of.shape[0]):
            weight = weights[resample, one]
            goods += weight * goods_of[one]
            bads += weight * bads_of[one]
        if goods == 0 or bads == 0:
            found[resample, 0] = found[resample, 1] = float("nan")
            continue
        below_good, below_bad, good, bad, twice_area, widest = 0, 0, 0, 0, 0, 0
        for place in range(owner.shape[0]):
            weight = weights[resample, owner[place]]
            if is_bad[place]:
                bad += weight
            else:
                good += weight
            if ends[place]:
                twice_area += bad * (2 * below_good + good)
                below_good += good
                below_bad += bad
                good, bad = 0, 0
                widest = max(widest, abs(below_good * bads - below_bad * goods))
        found[resample, 0] = twice_area / 2 / goods / bads
        found[resample, 1] = widest / goods / bads
