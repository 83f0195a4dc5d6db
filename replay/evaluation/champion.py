"""The champion on some examples, and the score that its snapshot gives."""

import math
from typing import NamedTuple

import msgspec
import numpy as np

from config.catalogue import indicators
from detectors.learning.examples import Examples
from detectors.learning.statistics import Floats, Ints
from detectors.learning.training import TrainingPolicy, scorecard_weights
from detectors.learning.training import champion as pipeline
from detectors.prior import prior_id, prior_snapshot
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
    weights = scorecard(snapshot).weight_milli
    points = np.rint(_utilities(snapshot, examples) * weights).astype(np.int64)
    total = FLOOR_MILLI + points.sum(axis=1)
    a, b = snapshot.intercept_micro / MICRO, snapshot.slope_micro / MICRO
    logits = [a - b * (one - FLOOR_MILLI) / WEIGHT_SUM_MILLI for one in total.tolist()]
    return Scored(total, np.array([1.0 / (1.0 + math.exp(-one)) for one in logits]))


def _utilities(snapshot: Snapshot, examples: Examples) -> Floats:
    """Return the utility of each core indicator, float64 (n, CORE)."""
    found = np.zeros((len(examples), len(CORE)))
    for place, (row, name) in enumerate(zip(scorecard(snapshot).rows, CORE, strict=True)):
        at = INDICATORS.index(name)
        levels = snapshot.null_levels_micro[name]
        of_null = [0.0, *(levels[null] / MICRO for null in NULL_NAMES[1:])]
        for i, (value, null) in enumerate(zip(examples["value"][:, at], examples["null"][:, at], strict=True)):
            found[i, place] = utility(row, float(value)) if null == VALUE else of_null[null]
    return found


def prior(_train: Examples, test: Examples) -> Scored:
    """Return what the expert prior says, which learns nothing."""
    return score(prior_snapshot(), test)


def champion(train: Examples, test: Examples) -> Scored:
    """Return what the champion says of `test` once it has learned `train`, EXAMPLE (n,), in learning order."""
    return score(fit(train), test)


def fit(train: Examples) -> Snapshot:
    """Return the champion's snapshot after it has learned `train`."""
    before, policy = prior_snapshot(), TrainingPolicy()
    model = pipeline(before, policy)
    for us, bad in zip(_utilities(before, train).tolist(), train["bad"].tolist(), strict=True):
        model.learn_one({name: round(u * MICRO) for name, u in zip(CORE, us, strict=True)}, bad)
    learned = model["MonotoneLogistic"]
    groups = {name: indicators()[name].group for name in CORE}
    weights_milli, slope = scorecard_weights(learned.weights, before.weights_milli, groups)
    return msgspec.structs.replace(
        before,
        parent_id=prior_id(),
        prior=False,
        weights_milli=weights_milli,
        intercept_micro=round(learned.bias * MICRO),
        slope_micro=round(slope * MICRO),
    )
