"""The champion of before, behind the interface of one that is fitted anew to all retained examples each month."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import river

from config.catalogue import indicators
from detectors.learning.examples import Examples, take
from detectors.learning.training import TrainingPolicy, champion, scorecard_weights
from detectors.scorecard import log10_1p
from detectors.snapshot import MICRO, Snapshot
from features.indicators.nulls import NULL_NAMES, VALUE

Floats = npt.NDArray[np.float64]


class Champion:
    """A champion: a function of the prior and of the examples that it was last fitted to."""

    def __init__(self, prior: Snapshot, policy: TrainingPolicy | None = None) -> None:
        self._prior, self._policy = prior, policy or TrainingPolicy()
        self._names = sorted(prior.weights_milli)
        self._groups = {name: indicators()[name].group for name in self._names}
        self._frozen = champion(prior, self._policy)
        self._model = champion(prior, self._policy)
        self._labels = self._bad = 0
        self._until_day: int | None = None

    def predict(self, examples: Examples) -> Floats:
        """Return the probability of bad of each example, (n,), by the champion as it stands."""
        return self._predicted(self._model, examples)

    def prior_predict(self, examples: Examples) -> Floats:
        """Return the same by the prior."""
        return self._predicted(self._frozen, examples)

    def fit(self, retained: Examples) -> None:
        """Learn the examples, in their order, from the prior on."""
        self._model = champion(self._prior, self._policy)
        for x, bad in zip(self._utilities(retained), retained["bad"].tolist(), strict=True):
            self._model.learn_one(x, bad)
        self._labels, self._bad = len(retained), int(retained["bad"].sum())
        self._until_day = int(retained["matured_on"].max()) if len(retained) else None

    def snapshot(self, parent_id: str, log_offsets: Mapping[str, int]) -> Snapshot:
        """Return the champion as it is now, with the prior's anchors."""
        model = self._model["MonotoneLogistic"]
        weights_milli, slope = scorecard_weights(model.weights, self._prior.weights_milli, self._groups)
        return msgspec.structs.replace(
            self._prior,
            parent_id=parent_id,
            prior=False,
            weights_milli=weights_milli,
            intercept_micro=round(model.bias * MICRO),
            slope_micro=round(slope * MICRO),
            trained_labels_count=self._labels,
            trained_bad_count=self._bad,
            trained_until_day=self._until_day,
            log_offsets=dict(log_offsets),
            libraries={"river": river.__version__},
        )

    def _predicted(self, model: Any, examples: Examples) -> Floats:
        return np.array([model.predict_proba_one(x)[True] for x in self._utilities(examples)], np.float64)

    def _utilities(self, examples: Examples) -> list[dict[str, int]]:
        values, nulls = take(examples, self._names, "value"), take(examples, self._names, "null")
        columns = [self._utility(name, values[:, i], nulls[:, i]) for i, name in enumerate(self._names)]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)] if columns else []

    def _utility(self, name: str, values: Floats, nulls: npt.NDArray[np.uint8]) -> list[int]:
        """Return an indicator's utilities in ppm under the prior's anchors and levels."""
        anchors = np.array(self._prior.anchors_micro[name], np.float64) / MICRO
        if indicators()[name].unit == "cny":
            anchors, values = (np.array([log10_1p(x) for x in each.tolist()]) for each in (anchors, values))
        found = np.interp(values, anchors, np.array(self._prior.levels_micro[name], np.float64))
        for code, null in enumerate(NULL_NAMES):
            if code != VALUE:
                found[nulls == code] = self._prior.null_levels_micro[name][null]
        rounded: list[int] = np.rint(found).astype(np.int64).tolist()
        return rounded
