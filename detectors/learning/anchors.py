"""Anchors of the observed population: where the levels of an indicator stand, by its quantiles. No label is looked at.

Where one value is common, such as 0 returned payments, it is an anchor and the others are quantiles of the rest. An
indicator that is seldom known has the catalogue's anchors. They are not by peer group: that was measured, and ranked
worse (docs/adr/0031-a-champion-that-learns.md).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from config.catalogue import anchors as of_catalogue
from config.catalogue import indicators
from detectors.learning.examples import Examples, take
from detectors.snapshot import ANCHORS_MAX, MICRO
from features.indicators.nulls import VALUE

Micros = npt.NDArray[np.int64]
VALUES_MIN = 30  # of an indicator, for anchors of its own
UNKNOWN_PPM = 350_000  # share of the population that is no better than what a null may count as at the best
# Shares below each anchor, in ppm, by the number of anchors.
QUANTILES: dict[int, tuple[int, ...]] = {
    5: (50_000, 250_000, 500_000, 750_000, 950_000),
    7: (10_000, 50_000, 250_000, 500_000, 750_000, 950_000, 990_000),
    9: (10_000, 50_000, 150_000, 300_000, 500_000, 700_000, 850_000, 950_000, 990_000),
    13: (
        5_000, 20_000, 50_000, 100_000, 200_000, 350_000, 500_000, 650_000, 800_000, 900_000, 950_000, 980_000, 995_000,
    ),
}  # fmt: skip


class Population:
    """The values of some indicators in a population, sorted, in millionths."""

    def __init__(self, examples: Examples, names: Sequence[str]) -> None:
        self.names = tuple(names)
        values, nulls = take(examples, names, "value"), take(examples, names, "null")
        self._sorted: list[Micros] = []
        for i in range(len(names)):
            known = values[nulls[:, i] == VALUE, i]
            self._sorted.append(np.sort(np.rint(known * MICRO)).astype(np.int64))

    def anchors(self, i: int, count: int) -> tuple[int, ...]:
        """Return about `count` anchors of the i-th indicator, ascending, in millionths."""
        values = self._sorted[i]
        if len(values) < VALUES_MIN:
            return _of_catalogue(self.names[i])
        found = np.unique(_quantiles(values, QUANTILES[count]))
        if len(found) < count:
            distinct, counts = np.unique(values, return_counts=True)
            common = distinct[counts.argmax()]
            rest = values[values != common]
            if len(rest) >= VALUES_MIN:
                found = np.unique(np.append(_quantiles(rest, QUANTILES[count]), common))
        found = _apart(found, is_logarithmic(self.names[i]))
        return tuple(found.tolist()) if 2 <= len(found) <= ANCHORS_MAX else _of_catalogue(self.names[i])

    def median(self, i: int) -> int:
        """Return the median of the i-th indicator, in millionths; the catalogue's where it is seldom known."""
        return self._at(i, MICRO // 2, of_catalogue()[self.names[i]][2])

    def unknown_at(self, i: int) -> int:
        """Return the value of the i-th indicator that a null may count as at the best, in millionths."""
        name = self.names[i]
        falling = indicators()[name].higher_is_riskier
        middle, worse = of_catalogue()[name][2], of_catalogue()[name][3 if falling else 1]
        return self._at(i, MICRO - UNKNOWN_PPM if falling else UNKNOWN_PPM, worse + 0.4 * (middle - worse))

    def _at(self, i: int, ppm: int, of_old: float) -> int:
        values = self._sorted[i]
        return round(of_old * MICRO) if len(values) < VALUES_MIN else int(_quantiles(values, (ppm,))[0])


def is_logarithmic(name: str) -> bool:
    """Return whether an indicator's utility is linear in log10(1 + x)."""
    return indicators()[name].unit == "cny"


def _quantiles(values: Micros, ppm: Sequence[int]) -> Micros:
    """Return values below which the given shares of sorted `values` lie."""
    return values[[each * (len(values) - 1) // MICRO for each in ppm]]


def _apart(found: Micros, logarithmic: bool) -> Micros:
    """Return anchors without those that, on the scale of the utility, are as good as the one before."""
    kept = [int(found[0])]
    for each in found[1:].tolist():
        gap = each - kept[-1]
        if gap > (abs(each) + MICRO) // 1_000 if logarithmic else gap >= 1_000:
            kept.append(each)
    return np.array(kept, np.int64)


def _of_catalogue(name: str) -> tuple[int, ...]:
    return tuple(round(each * MICRO) for each in of_catalogue()[name])
