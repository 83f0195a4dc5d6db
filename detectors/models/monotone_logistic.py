"""Online logistic regression whose utilities can only lower the probability of bad."""

import math
from collections.abc import Mapping
from typing import Any

from river import base, optim

LOGIT_MAX = 30.0  # beyond it a double's probability is 0 or 1 to 13 digits, and its loss would not be finite


class MonotoneLogistic(base.Classifier):
    """Logistic regression on utilities, monotone by projection and drawn to a prior.

    For utilities u_i in [0, 1] (1 is best) and y = True for bad:

        logit(p) = a - sum(beta_i * u_i),    beta_i >= 0

    One step on (u, y), with g = p - y the gradient of the log loss by the logit, and the prior (a0, beta0):

        a      <- a - intercept_lr * (g + pull * (a - a0))
        beta_i <- max(0, step_i(-g * u_i + pull * (beta_i - beta0_i)))

    `step` is the optimizer's. Projecting after each step keeps a better utility from ever raising p, so that the model
    reads as a scorecard (`detectors.learning.training`). The pull is the gradient of pull/2 * ||theta - theta0||^2:
    it makes up for few bad labels, and a utility that is no longer seen goes back to its expert weight.

    Parameters
    ----------
    intercept
        a0, where a starts and whereto it is drawn.
    beta
        beta0 by feature; features that it does not name start at 0.
    optimizer
        Of the betas, `optim.SGD(0.05)` where None.
    intercept_lr
        The step of the intercept.
    pull
        Strength of the prior; 0 forgets it.

    Raises
    ------
    ValueError
        Of `learn_one` and `predict_proba_one`, for a utility that is not finite: one NaN would stay for ever.

    References
    ----------
    Gaillard, P., Gerchinovitz, S., Huard, M., & Stoltz, G. (2019). Uniform regret bounds over R^d for the sequential
    linear regression problem with the square loss. Zinkevich, M. (2003). Online convex programming and generalized
    infinitesimal gradient ascent (projected online gradient descent).

    Examples
    --------
    >>> import random
    >>> from detectors.models.monotone_logistic import MonotoneLogistic
    >>> rng = random.Random(7)
    >>> model = MonotoneLogistic(intercept=0.0, beta={"inflow": 3.0, "silence": 3.0})
    >>> for _ in range(4_000):
    ...     u = {"inflow": rng.random(), "silence": rng.random()}
    ...     p = 1 / (1 + math.exp(-(1.0 - 5.0 * u["inflow"] + 0.0 * u["silence"])))
    ...     model.learn_one(u, rng.random() < p)
    >>> 4.0 < model.weights["inflow"] < 6.0, 0.0 <= model.weights["silence"] < 1.0
    (True, True)
    >>> better = model.predict_proba_one({"inflow": 0.9, "silence": 0.5})[True]
    >>> worse = model.predict_proba_one({"inflow": 0.2, "silence": 0.5})[True]
    >>> better < worse
    True
    """

    def __init__(
        self,
        intercept: float = 0.0,
        beta: dict[Any, float] | None = None,
        optimizer: optim.base.Optimizer | None = None,
        intercept_lr: float = 0.02,
        pull: float = 0.0005,
    ) -> None:
        self.intercept = intercept
        self.beta = {} if beta is None else beta
        self.optimizer = optim.SGD(0.05) if optimizer is None else optimizer
        self.intercept_lr = intercept_lr
        self.pull = pull
        self.weights: dict[Any, float] = {name: max(0.0, value) for name, value in self.beta.items()}
        self.bias = intercept

    def learn_one(self, x: Mapping[Any, float], y: base.typing.ClfTarget) -> None:
        """Take one step on the utilities `x` and the label `y` (True: bad).

        Raise ValueError where one is not finite.
        """
        gradient = self._probability(x) - float(bool(y))
        for name in x:
            self.weights.setdefault(name, 0.0)
        # Utilities that x does not have are drawn to the prior all the same.
        slopes = {
            name: -gradient * x.get(name, 0.0) + self.pull * (weight - self.beta.get(name, 0.0))
            for name, weight in self.weights.items()
        }
        self.weights = self.optimizer.step(self.weights, slopes)
        for name, weight in self.weights.items():
            self.weights[name] = max(0.0, weight)
        self.bias -= self.intercept_lr * (gradient + self.pull * (self.bias - self.intercept))

    def predict_proba_one(self, x: Mapping[Any, float]) -> dict[base.typing.ClfTarget, float]:
        """Return the probabilities of good (False) and bad (True). Raise ValueError where a utility is not finite."""
        bad = self._probability(x)
        return {False: 1.0 - bad, True: bad}

    def _probability(self, x: Mapping[Any, float]) -> float:
        for name, value in x.items():
            if not math.isfinite(value):
                raise ValueError(f"utility {name} is {value}: a model takes finite numbers only")
        # fsum: the same sum in whatever order the features come
        logit = self.bias - math.fsum(self.weights.get(name, 0.0) * value for name, value in x.items())
        return 1.0 / (1.0 + math.exp(-max(-LOGIT_MAX, min(LOGIT_MAX, logit))))
