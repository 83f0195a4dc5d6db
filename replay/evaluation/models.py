"""The models that are judged beside each other, and the champion with one thing taken from it."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from config.catalogue import indicators
from detectors.learning.anchors import Population
from detectors.learning.examples import Examples
from detectors.learning.prequential import CHAMPION, PRIOR
from detectors.learning.statistics import Floats
from detectors.learning.training import ANCHOR_COUNTS, STRENGTHS, Variant, fitted, logits
from detectors.models.monotone_logistic import MonotoneLogistic
from detectors.prior import prior_snapshot
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI
from features.indicators import CORE, INDICATORS
from replay.evaluation.champion import Scored, champion, prior, utilities
from replay.evaluation.folds import Learned
from replay.evaluation.rivals import RIVALS
from replay.evaluation.vectors import masked

# How long ago something was: at the last day of a data set they say who has gone.
PASSES, MIDDLE_STRENGTH = 30, 1.0
RECENCY = ("days_since_op_credit_days", "days_since_any_txn_days", "top3_payer_silence_max_days")


def models() -> dict[str, Learned]:
    """Return all models by name, the champion first."""
    return {CHAMPION: champion, PRIOR: prior, **{name: _unscored(rival) for name, rival in RIVALS.items()}}


def ablations(groups: Mapping[str, tuple[str, ...]]) -> dict[str, Learned]:
    """Return the champion with one thing other, by what that is. groups: indicators by their group."""
    return {
        "learner: one pass of SGD, the prior's anchors and levels": partial(_sgd, 1),
        f"levels: the prior's, and its anchors; {PASSES} passes of SGD": partial(_sgd, PASSES),
        **{f"anchors: {n}": partial(_of_variant, Variant(n, MIDDLE_STRENGTH)) for n in sorted(ANCHOR_COUNTS)},
        **{
            f"prior: {text}": partial(_of_variant, Variant(max(ANCHOR_COUNTS), strength))
            for text, strength in (("holds weakly", min(STRENGTHS)), ("holds strongly", max(STRENGTHS)))
        },
        "prior: as many indicators as it has": partial(_of_variant, Variant(max(ANCHOR_COUNTS), MIDDLE_STRENGTH, 0.0)),
        **{f"indicators: without {group}": partial(_without, names) for group, names in groups.items()},
        "indicators: without recency": partial(_without, RECENCY),
    }


def grouped(examples: Examples) -> dict[str, tuple[str, ...]]:
    """Return by group the indicators that have a value in any of the examples."""
    known = ~np.isnan(examples["value"]).all(axis=0)
    found: dict[str, tuple[str, ...]] = {}
    for name, is_known in zip(INDICATORS, known, strict=True):
        if is_known:
            found[indicators()[name].group] = (*found.get(indicators()[name].group, ()), name)
    return found


def _without(names: tuple[str, ...], train: Examples, test: Examples) -> Scored:
    return champion(masked(train, names), masked(test, names))


def _of_variant(variant: Variant, train: Examples, test: Examples) -> Scored:
    """Return what the champion says with so many anchors and so strong a prior, chosen by nobody."""
    found = fitted(prior_snapshot(), Population(train, CORE), train, np.ones(len(train)), variant)
    return _unscored_p(1.0 / (1.0 + np.exp(-logits(found, test))))


def _sgd(passes: int, train: Examples, test: Examples) -> Scored:
    """Return what logistic regression with weights >= 0 says, one label at a time, on the prior's utilities."""
    before = prior_snapshot()
    slope, names = before.slope_micro / MICRO, sorted(before.weights_milli)
    beta = {name: slope * before.weights_milli[name] / WEIGHT_SUM_MILLI for name in names}
    model = MonotoneLogistic(intercept=before.intercept_micro / MICRO, beta=beta)
    learned, predicted = (utilities(before, examples) for examples in (train, test))
    for _ in range(passes):
        for u, bad in zip(learned, train["bad"].tolist(), strict=True):
            model.learn_one(u, bad)
    return _unscored_p(np.array([model.predict_proba_one(u)[True] for u in predicted]))


def _unscored_p(p: Floats) -> Scored:
    return Scored(np.zeros(len(p), np.int64), p)


def _unscored(rival: Callable[[Examples, Examples], Floats]) -> Learned:
    def of(train: Examples, test: Examples) -> Scored:
        return _unscored_p(rival(train, test))

    return of
