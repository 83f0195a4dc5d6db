"""Test, then train: the champion over matured labels in their order, and the snapshot that it becomes."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import river
from river import compose, metrics, optim

from detectors.learning.labels import Label
from detectors.models.monotone_logistic import MonotoneLogistic
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI, Snapshot
from domain.outputs import Observation

SLOPE_MIN = 0.1  # labels that contradict every indicator leave a nearly flat model, not one without a slope
GROUP_SHARE_MIN = 0.01  # of all weight, for a group whose weights have all vanished


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPolicy:
    """Parameters of the champion's learning.

    The defaults were chosen on synthetic labels that agree with the prior, or differ from it.
    """

    learning_rate: float = 0.05
    intercept_learning_rate: float = 0.02
    pull: float = 0.0005


@dataclass(frozen=True, slots=True)
class Unusable:
    """An observation that a model may not see, and why."""

    detail: str


def utilities_of(observation: Observation, names: Iterable[str]) -> dict[str, int] | Unusable:
    """Return the utilities in ppm of the model's indicators, in the order of `names`."""
    found: dict[str, int] = {}
    for name in names:
        value = observation.utilities_ppm.get(name)
        if value is None or not 0 <= value <= MICRO:
            return Unusable(f"utility {name} of observation {observation.observation_id} is {value}")
        found[name] = value
    return found


def fractions(utilities_ppm: Mapping[str, int]) -> dict[str, float]:
    """Return utilities in ppm as fractions in [0, 1]."""
    return {name: value / MICRO for name, value in utilities_ppm.items()}


def champion(parent: Snapshot, policy: TrainingPolicy) -> Any:
    """Return the River pipeline that learns from utilities in ppm, pulled towards `parent`."""
    slope = parent.slope_micro / MICRO
    beta = {name: slope * weight / WEIGHT_SUM_MILLI for name, weight in sorted(parent.weights_milli.items())}
    model = MonotoneLogistic(
        intercept=parent.intercept_micro / MICRO,
        beta=beta,
        optimizer=optim.SGD(policy.learning_rate),
        intercept_lr=policy.intercept_learning_rate,
        pull=policy.pull,
    )
    return compose.FuncTransformer(fractions) | model


class Trainer:
    """A champion that starts from a prior, and its prequential record."""

    def __init__(self, prior: Snapshot, groups: Mapping[str, str], policy: TrainingPolicy | None = None) -> None:
        self._prior = prior
        self._groups = groups  # indicator -> group
        self._names = sorted(prior.weights_milli)
        self._pipeline = champion(prior, policy or TrainingPolicy())
        self._log_loss, self._prior_log_loss, self._auc = metrics.LogLoss(), metrics.LogLoss(), metrics.ROCAUC()
        self._frozen = champion(prior, TrainingPolicy())  # predicts only: what the champion has to beat
        self.counts: Counter[str] = Counter()
        self.trained_until_day: int | None = None

    def learn(self, labels: Iterable[Label]) -> int:
        """Predict each label, then learn it; return how many were learned. Unusable ones are counted."""
        learned = 0
        for label in labels:
            x = utilities_of(label.observation, self._names)
            if isinstance(x, Unusable):
                self.counts["unusable"] += 1
                continue
            predicted = self._pipeline.predict_proba_one(x)
            self._log_loss.update(label.bad, predicted)
            self._auc.update(label.bad, predicted)
            self._prior_log_loss.update(label.bad, self._frozen.predict_proba_one(x))
            self._pipeline.learn_one(x, label.bad)
            learned += 1
            self.counts["bad" if label.bad else "good"] += 1
            self.trained_until_day = max(self.trained_until_day or label.matured_on, label.matured_on)
        return learned

    def metrics(self) -> dict[str, float]:
        """Return prequential log loss, that of the frozen prior on the same labels, and AUC; empty without labels."""
        if not self.counts["bad"] + self.counts["good"]:
            return {}
        values = {
            "log_loss": self._log_loss.get(),
            "log_loss_of_prior": self._prior_log_loss.get(),
            "auc": self._auc.get(),
        }
        return {name: round(float(value), 6) for name, value in values.items()}  # River gives NumPy floats

    def snapshot(self, parent_id: str, log_offsets: Mapping[str, int]) -> Snapshot:
        """Return the champion as it is now, with the prior's anchors."""
        model: MonotoneLogistic = self._pipeline["MonotoneLogistic"]
        weights_milli, slope = scorecard_weights(model.weights, self._prior.weights_milli, self._groups)
        return msgspec.structs.replace(
            self._prior,
            parent_id=parent_id,
            prior=False,
            weights_milli=weights_milli,
            intercept_micro=round(model.bias * MICRO),
            slope_micro=round(slope * MICRO),
            trained_labels_count=self.counts["bad"] + self.counts["good"],
            trained_bad_count=self.counts["bad"],
            trained_until_day=self.trained_until_day,
            log_offsets=dict(log_offsets),
            libraries={"river": river.__version__},
        )


def scorecard_weights(
    betas: Mapping[str, float], prior_milli: Mapping[str, int], groups: Mapping[str, str]
) -> tuple[dict[str, int], float]:
    """Return the weights w_i in millipoints, which sum to 300,000, and the slope B.

    w_i = 300,000 * beta_i / sum(beta), B = sum(beta). A group whose betas have all vanished keeps GROUP_SHARE_MIN of
    the sum, spread as the prior spreads it; the slope grows by as much, so that score and probability remain one model.
    """
    kept = {name: max(0.0, betas.get(name, 0.0)) for name in sorted(prior_milli)}
    of_model = sorted({groups[name] for name in kept})
    floor = max(GROUP_SHARE_MIN * math.fsum(kept.values()), SLOPE_MIN / len(of_model))
    for group in of_model:
        members = [name for name in kept if groups[name] == group]
        if any(kept[name] > 0 for name in members):
            continue
        whole = sum(prior_milli[name] for name in members)
        for name in members:
            kept[name] = floor * (prior_milli[name] / whole if whole else 1 / len(members))
    slope = math.fsum(kept.values())
    shares = {name: beta / slope for name, beta in kept.items()}
    return largest_remainder(shares, WEIGHT_SUM_MILLI), max(slope, SLOPE_MIN)


def largest_remainder(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Return integers in proportion to `shares` (which sum to about 1) that sum to `total`; ties go to the first name.

    >>> largest_remainder({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 100)
    {'a': 34, 'b': 33, 'c': 33}
    """
    exact = {name: share * total for name, share in sorted(shares.items())}
    floors = {name: math.floor(value) for name, value in exact.items()}
    missing = total - sum(floors.values())
    by_remainder = sorted(exact, key=lambda name: (floors[name] - exact[name], name))
    for name in by_remainder[:missing]:
        floors[name] += 1
    return floors


def largest_move_milli(new: Snapshot, old: Snapshot) -> tuple[str, int]:
    """Return the indicator whose weight moved most between two snapshots, and by how many millipoints."""
    names = sorted(set(new.weights_milli) | set(old.weights_milli))
    moves = {name: abs(new.weights_milli.get(name, 0) - old.weights_milli.get(name, 0)) for name in names}
    worst = max(names, key=lambda name: moves[name])
    return worst, moves[worst]
