"""The champion on some examples, and the score that its snapshot gives."""

import math
from typing import NamedTuple

import numpy as np

from config.catalogue import indicators
from detectors.learning.examples import Examples
from detectors.learning.statistics import Floats, Ints
from detectors.prior import prior_snapshot
from detectors.scorecard import FLOOR_MILLI, scorecard, utility
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI, Snapshot
from features.indicators import CORE, INDICATORS
from features.indicators.nulls import NULL_NAMES, VALUE


class Scored(NamedTuple):
    """Score in millipoints, int64 (n,), and probability, float64 (n,), of examples."""

    score_milli: Ints
    p: Floats


def score(snapshot: Snapshot, examples: Examples) -> Scored:
    """Return the score of each vector alone, without caps and without what its enterprise was known for before."""
    card = scorecard(snapshot)
    total = np.full(len(examples), FLOOR_MILLI, np.int64)
    for row, name in zip(card.rows, CORE, strict=True):
        at = INDICATORS.index(name)
        levels = snapshot.null_levels_micro[name]
        of_null = [0.0, *(levels[null] / MICRO for null in NULL_NAMES[1:])]
        for i, (value, null) in enumerate(zip(examples["value"][:, at], examples["null"][:, at], strict=True)):
            u = utility(row, float(value)) if null == VALUE else of_null[null]
            total[i] += round(int(row["weight_milli"]) * u)
    a, b = snapshot.intercept_micro / MICRO, snapshot.slope_micro / MICRO
    logits = [a - b * (one - FLOOR_MILLI) / WEIGHT_SUM_MILLI for one in total.tolist()]
    return Scored(total, np.array([1.0 / (1.0 + math.exp(-one)) for one in logits]))


def prior(_train: Examples, test: Examples) -> Scored:
    """Return what the expert prior says, which learns nothing."""
    return score(prior_snapshot(), test)
