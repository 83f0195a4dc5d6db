"""Models that learn from the same examples: the challengers of the learn role, and what is usual offline."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from detectors.learning.challenger_rows import Edges
from detectors.learning.challengers import CHALLENGERS
from detectors.learning.examples import Examples
from detectors.learning.statistics import Floats
from features.indicators import INDICATORS
from replay.backtest.catalogue import directions
from replay.backtest.ceilings import fitted

_STRENGTH = 0.3  # C of the regression: 36 indicators and their nulls on a few dozen bad ones need much shrinkage


def logistic(train: Examples, test: Examples) -> Floats:
    """Return the probabilities of an L2 logistic regression on signed logarithms, with a column for each null."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    learned, predicted = _columns(train["value"]), _columns(test["value"])
    middle = np.array([np.median(one[~np.isnan(one)]) if (~np.isnan(one)).any() else 0.0 for one in learned.T])
    wide = [np.hstack((np.where(np.isnan(one), middle, one), np.isnan(one))) for one in (learned, predicted)]
    scaler = StandardScaler().fit(wide[0])
    model = LogisticRegression(C=_STRENGTH, max_iter=5_000).fit(scaler.transform(wide[0]), train["bad"])
    found: Floats = model.predict_proba(scaler.transform(wide[1]))[:, 1]
    return found


def lightgbm(train: Examples, test: Examples) -> Floats:
    """Return the probabilities of LightGBM without constraints."""
    return _boosted(train, test, "lightgbm", None)


def stumps(train: Examples, test: Examples) -> Floats:
    """Return the probabilities of boosted stumps in the catalogue's directions: additive and monotone."""
    return _boosted(train, test, "stumps", [directions().get(name, 0) for name in INDICATORS])


def challenger(name: str, train: Examples, test: Examples) -> Floats:
    """Return the probabilities of one of the learn role's challengers; NaN where it is silent.

    Its bins are those of `train`: the role takes them from 500 examples on, which a small data set has not.
    """
    edges, model = Edges(train), CHALLENGERS[name].make()
    model.learn(edges.rows(train), train["bad"], np.ones(len(train)))
    return model.predict(edges.rows(test))


OFFLINE = ("logistic", "lightgbm", "stumps_offline")
RIVALS: Mapping[str, Callable[[Examples, Examples], Floats]] = {
    **{name: partial(challenger, name) for name in CHALLENGERS},
    "logistic": logistic,
    "lightgbm": lightgbm,
    "stumps_offline": stumps,
}


def _boosted(train: Examples, test: Examples, model: str, signs: list[int] | None) -> Floats:
    leaf_min = int(np.clip(len(train) // 30, 5, 50))  # what suits thousands of rows would leave a few hundred unsplit
    booster = fitted(model, train["value"], train["bad"], np.ones(len(train)), signs, leaf_min)
    found: Floats = booster.predict(test["value"], num_threads=1)
    return found


def _columns(values: Floats) -> Floats:
    found: Floats = np.sign(values) * np.log1p(np.abs(values))
    return found
