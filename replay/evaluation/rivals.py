"""Models that learn from the same examples offline: what there is in them, beside what the champion makes of it."""

from collections.abc import Callable, Mapping

import numpy as np

from detectors.learning.examples import Examples
from detectors.learning.statistics import Floats
from features.indicators import INDICATORS
from replay.backtest.catalogue import directions
from replay.backtest.ceilings import fitted

Model = Callable[[Examples, Examples], Floats]  # (learned, predicted) -> probability of bad of each, (predicted,)
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


RIVALS: Mapping[str, Model] = {"logistic": logistic, "lightgbm": lightgbm, "stumps_offline": stumps}


def _boosted(train: Examples, test: Examples, model: str, signs: list[int] | None) -> Floats:
    leaf_min = int(np.clip(len(train) // 30, 5, 50))  # what suits thousands of rows would leave a few hundred unsplit
    booster = fitted(model, train["value"], train["bad"], np.ones(len(train)), signs, leaf_min)
    found: Floats = booster.predict(test["value"], num_threads=1)
    return found


def _columns(values: Floats) -> Floats:
    found: Floats = np.sign(values) * np.log1p(np.abs(values))
    return found
