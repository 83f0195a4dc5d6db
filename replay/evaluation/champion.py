"""The champion on some examples, as the learn role makes it, and the prior that it starts from."""

from typing import NamedTuple

from config.catalogue import indicators
from detectors.learning.examples import Examples, take
from detectors.learning.rescoring import scores_milli
from detectors.learning.statistics import Floats, Ints
from detectors.learning.training import Policy, Trainer, predicted
from detectors.prior import prior_snapshot
from detectors.scorecard import scorecard, utility, utility_of_null
from detectors.snapshot import MICRO, Snapshot
from features.indicators import CORE
from features.indicators.nulls import VALUE

NO_LAST_PPM = MICRO  # a null counts as the level of its kind


class Scored(NamedTuple):
    """Score in millipoints, int64 (n,), and probability of bad, float64 (n,), of examples."""

    score_milli: Ints
    p: Floats


def fitted(train: Examples, policy: Policy | None = None) -> Snapshot:
    """Return the champion that follows from the prior and from examples in learning order, EXAMPLE (n,)."""
    trainer = Trainer(prior_snapshot(), {name: row.group for name, row in indicators().items()}, policy)
    trainer.fit(train)
    return trainer.champion


def champion(train: Examples, test: Examples) -> Scored:
    """Return what the champion says of `test` once it has learned `train`, EXAMPLE (n,), in learning order."""
    return scored(fitted(train), test)


def prior(_train: Examples, test: Examples) -> Scored:
    """Return what the expert prior says, which learns nothing."""
    return scored(prior_snapshot(), test)


def scored(snapshot: Snapshot, examples: Examples) -> Scored:
    """Return what a model says of examples, EXAMPLE (n,), by what each holds alone."""
    return Scored(scores_milli(snapshot, examples), predicted(snapshot, examples))


def utilities(snapshot: Snapshot, examples: Examples) -> list[dict[str, float]]:
    """Return the utilities of the model's indicators by name, of each example."""
    card, names = scorecard(snapshot), sorted(snapshot.weights_milli)
    values, nulls = take(examples, names, "value"), take(examples, names, "null")
    rows = [card.rows[CORE.index(name)] for name in names]
    return [
        {
            name: float(utility(row, x) if code == VALUE else utility_of_null(row, code, NO_LAST_PPM))
            for name, row, x, code in zip(names, rows, value.tolist(), null.tolist(), strict=True)
        }
        for value, null in zip(values, nulls, strict=True)
    ]
