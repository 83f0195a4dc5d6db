"""Examples as challengers see them: the rank of each value and its bin, and which of the good ones they learn.

Ranks and bins rest on quantiles of the examples so far. They are taken when there are EDGES_AT examples, and stay for
as long as a model learns, so that a tree's splits keep their meaning; when they are taken anew, the models begin anew.
Of good examples so many are learned that there are GOODS_PER_BAD of them to a bad one; which, follows from an
example's own enterprise and day. An example that is learned stands for 1 / share of its like.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.learning.examples import Examples
from detectors.learning.statistics import Flags, Floats
from features.indicators import INDICATOR_COUNT
from features.indicators.nulls import VALUE

EDGES_AT = tuple(50 * 3**i for i in range(20))
QUANTILES = 32
GOODS_PER_BAD = 20
NULL_RANK = -0.25  # beside the ranks of values, [0, 1]: a tree can tell it from any of them
_MIX_1, _MIX_2, _STEP = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Examples as challengers see them.

    ranks: float64 (n, indicators), in [0, 1] or NULL_RANK. bins: uint8 (n, indicators), from 1 on, 0 where null.
    """

    ranks: Floats
    bins: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.bins)


class Edges:
    """Quantiles of the first examples, by indicator."""

    def __init__(self, examples: Examples) -> None:
        """Take the quantiles of `examples`, EXAMPLE (n,)."""
        self._edges = [_quantiles(known) for known in _known(examples)]

    def rows(self, examples: Examples) -> Rows:
        """Return examples, EXAMPLE (n,), as rows. A value that is not finite counts as null."""
        ranks = np.full((len(examples), INDICATOR_COUNT), NULL_RANK)
        bins = np.zeros((len(examples), INDICATOR_COUNT), np.uint8)
        for i, (edges, there) in enumerate(zip(self._edges, _are_known(examples).T, strict=True)):
            values = examples["value"][there, i]
            bins[there, i] = 1 + np.searchsorted(edges, values, "right")
            ranks[there, i] = _interpolated(values, edges)
        return Rows(ranks=ranks, bins=bins)


def lots(examples: Examples) -> Floats:
    """Return a number in [0, 1) for each example, float64 (n,), that follows from its enterprise and day (splitmix64).

    Steele, G. L., Lea, D., & Flood, C. H. (2014). Fast splittable pseudorandom number generators.
    """
    mixed = examples["enterprise"].astype(np.uint64) * _STEP ^ examples["day"].astype(np.uint64) * _MIX_1
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    found: Floats = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return found


def shares(bad: Flags, goods_before: int, bads_before: int) -> Floats:
    """Return the share of good examples to learn at each example, float64 (n,), by the counts of all before it."""
    bads = bads_before + np.cumsum(bad) - bad
    goods = goods_before + np.cumsum(~bad) - ~bad
    found: Floats = np.minimum(1.0, GOODS_PER_BAD * (bads + 1.0) / (goods + 1.0))
    return found


def _known(examples: Examples) -> list[Floats]:
    there = _are_known(examples)
    return [examples["value"][there[:, i], i] for i in range(INDICATOR_COUNT)]


def _are_known(examples: Examples) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (examples["null"] == VALUE) & np.isfinite(examples["value"])
    return found


def _quantiles(values: Floats) -> Floats:
    """Return at most QUANTILES ascending values, of which the first is the least that is not the least of all."""
    distinct = np.unique(values)
    if len(distinct) < 2:
        return distinct
    ordered = np.sort(values)
    places = [(len(ordered) - 1) * i // QUANTILES for i in range(1, QUANTILES + 1)]
    return np.unique(np.maximum(ordered[places], distinct[1]))


def _interpolated(values: Floats, edges: Floats) -> Floats:
    """Return the place of each value among the edges, in [0, 1]; linear between two, 0 below the first."""
    if not len(edges):
        return np.zeros(len(values))
    places = np.arange(1, len(edges) + 1) / len(edges)
    found: Floats = np.interp(values, edges, places, left=0.0)
    return found
