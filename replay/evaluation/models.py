"""The models that are judged beside each other, and the champion with one thing taken from it."""

from collections.abc import Callable, Mapping

import numpy as np

from config.catalogue import indicators
from detectors.learning.examples import Examples
from detectors.learning.prequential import CHAMPION, PRIOR
from detectors.learning.statistics import Floats
from features.indicators import INDICATORS
from replay.evaluation.champion import Scored, champion, prior
from replay.evaluation.folds import Learned
from replay.evaluation.rivals import RIVALS
from replay.evaluation.vectors import masked

# How long ago something was: at the last day of a data set they say who has gone.
RECENCY = ("days_since_op_credit_days", "days_since_any_txn_days", "top3_payer_silence_max_days")


def models() -> dict[str, Learned]:
    """Return all models by name, the champion first."""
    return {CHAMPION: champion, PRIOR: prior, **{name: _unscored(rival) for name, rival in RIVALS.items()}}


def ablations(groups: Mapping[str, tuple[str, ...]]) -> dict[str, Learned]:
    """Return the champion without some indicators, by what is left out. groups: indicators by their group."""
    found = {f"without {group}": _without(names) for group, names in groups.items()}
    return found | {"without recency": _without(RECENCY)}


def grouped(examples: Examples) -> dict[str, tuple[str, ...]]:
    """Return by group the indicators that have a value in any of the examples."""
    known = ~np.isnan(examples["value"]).all(axis=0)
    found: dict[str, tuple[str, ...]] = {}
    for name, is_known in zip(INDICATORS, known, strict=True):
        if is_known:
            found[indicators()[name].group] = (*found.get(indicators()[name].group, ()), name)
    return found


def _without(names: tuple[str, ...]) -> Learned:
    def of(train: Examples, test: Examples) -> Scored:
        return champion(masked(train, names), masked(test, names))

    return of


def _unscored(rival: Callable[[Examples, Examples], Floats]) -> Learned:
    def of(train: Examples, test: Examples) -> Scored:
        return Scored(np.zeros(len(test), np.int64), rival(train, test))

    return of
