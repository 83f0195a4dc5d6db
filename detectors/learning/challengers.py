"""Challengers: models that predict beside the champion, from observations alone, and never score.

What a challenger says is a function of the examples it has learned, in their order, and of nothing else: not of how
they were batched, nor of restarts. So it has no stored state: it is built again from the retained examples, and again
when the oldest of them are dropped. Each is asked about a month before it learns it.

River's models learn one example at a time, all bad ones and a share of the good ones (challenger_rows.py). Each first
predicts what it is about to learn: on these predictions a slope and an intercept are fitted, so that what it says of
later examples is a probability again. Stumps are fitted anew to all that was learned, at the next prediction.

River is imported when a model of its is made. It brings SciPy, and pandas and scikit-learn where they are: half of the
start of a worker that learns, and of a replay that does not.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from config.catalogue import indicators
from detectors.learning.challenger_rows import EDGES_AT, Edges, Rows, lots, shares
from detectors.learning.examples import Examples
from detectors.learning.platt import Platt
from detectors.learning.statistics import Flags, Floats
from detectors.models.monotone_stumps import BINS_MAX, MonotoneStumps
from features.indicators import INDICATOR_COUNT, INDICATORS

SEED = 23
BADS_MIN = 10  # learned, before any challenger speaks: fewer calibrate nothing
BLOCK = 4_096  # examples that are turned into rows at a time
_HAT_GRACE_PERIOD = 200


class Kept(NamedTuple):
    """Examples that are learned, EXAMPLE (n,), and how many of its like each stands for, float64 (n,)."""

    examples: Examples
    weight: Floats


class Challenger(Protocol):
    """A model in shadow. Rows come as blocks."""

    def learn(self, rows: Rows, bad: Flags, weight: Floats) -> None:
        """Learn rows (n,) in their order; `weight`: how many of its like each stands for."""

    def predict(self, rows: Rows) -> Floats:
        """Return the probability of bad of each row, float64 (n,); NaN where the model is silent."""


class RiverChallenger:
    """A River classifier with a calibration of its own."""

    def __init__(self, model: Any, view: Callable[[Rows, int], dict[Any, float]], silent_until: int = 0) -> None:
        """silent_until: rows to learn before the model says anything."""
        self._model, self._view = model, view
        self._silent_until, self._learned = silent_until, 0
        self._platt = Platt()

    def learn(self, rows: Rows, bad: Flags, weight: Floats) -> None:
        """Learn rows one by one; the calibration learns first what the model says of each."""
        for i, (outcome, stands_for) in enumerate(zip(bad.tolist(), weight.tolist(), strict=True)):
            x = self._view(rows, i)
            if self._learned >= self._silent_until:
                self._platt.add(self._raw(x), outcome, stands_for)
            self._model.learn_one(x, outcome)
            self._learned += 1

    def predict(self, rows: Rows) -> Floats:
        """Return calibrated probabilities; NaN until there are BADS_MIN bad ones to calibrate on."""
        raw = np.full(len(rows), np.nan)
        if self._platt.bads < BADS_MIN:
            return raw
        for i in range(len(rows)):
            raw[i] = self._raw(self._view(rows, i))
        return self._platt.calibrated(raw)

    def _raw(self, x: dict[Any, float]) -> float:
        said = self._model.predict_proba_one(x)
        return float(said.get(True, 0.0)) if said else float("nan")


class StumpsChallenger:
    """Monotone boosted stumps, fitted anew to all learned rows when the next prediction is due."""

    def __init__(self) -> None:
        self._model = MonotoneStumps([direction(name) for name in INDICATORS])
        self._blocks: list[tuple[npt.NDArray[np.uint8], Flags, Floats]] = []
        self._is_fitted = False

    def learn(self, rows: Rows, bad: Flags, weight: Floats) -> None:
        """Keep the rows."""
        self._blocks.append((rows.bins, bad, weight))
        self._is_fitted = False

    def predict(self, rows: Rows) -> Floats:
        """Return the probabilities, after fitting; NaN until there are BADS_MIN bad rows."""
        bad = np.concatenate([np.empty(0, np.bool_), *(its for _, its, _ in self._blocks)])
        if bad.sum() < BADS_MIN or bad.all():
            return np.full(len(rows), np.nan)
        if not self._is_fitted:
            bins, weight = (np.concatenate([block[at] for block in self._blocks]) for at in (0, 2))
            self._model.fit(bins, bad, weight)
            self._blocks, self._is_fitted = [(bins, bad, weight)], True
        found: Floats = 1.0 / (1.0 + np.exp(-self._model.logits(rows.bins)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of challenger. silent_until: examples it learns before it says anything. monotone: in each indicator."""

    make: Callable[[], Challenger]
    silent_until: int = 0
    monotone: bool = False


def _ranks(rows: Rows, i: int) -> dict[Any, float]:
    return dict(enumerate(rows.ranks[i].tolist()))


def _one_hot(rows: Rows, i: int) -> dict[Any, float]:
    return dict.fromkeys((rows.bins[i] + _FIRST_BINS).tolist(), 1.0)


_FIRST_BINS = np.arange(INDICATOR_COUNT) * BINS_MAX


def amf() -> Any:
    """Return an aggregated Mondrian forest of bounded size."""
    from river import forest

    return forest.AMFClassifier(n_estimators=10, max_nodes=4_000, seed=SEED)


def arf() -> Any:
    """Return an adaptive random forest."""
    from river import forest

    return forest.ARFClassifier(n_models=10, grace_period=100, leaf_prediction="mc", seed=SEED)


def hat() -> Any:
    """Return a Hoeffding adaptive tree."""
    from river import tree

    return tree.HoeffdingAdaptiveTreeClassifier(grace_period=_HAT_GRACE_PERIOD, leaf_prediction="mc", seed=SEED)


def ftrl() -> Any:
    """Return a logistic regression with FTRL-proximal."""
    from river import linear_model, optim

    return linear_model.LogisticRegression(optim.FTRLProximal(alpha=0.1, beta=1.0, l1=0.0, l2=1.0), intercept_lr=0.01)


CHALLENGERS: Mapping[str, Kind] = {
    "amf": Kind(make=lambda: RiverChallenger(amf(), _ranks)),
    "arf": Kind(make=lambda: RiverChallenger(arf(), _ranks)),
    "ftrl": Kind(make=lambda: RiverChallenger(ftrl(), _one_hot)),
    "hat": Kind(
        make=lambda: RiverChallenger(hat(), _ranks, _HAT_GRACE_PERIOD),
        silent_until=_HAT_GRACE_PERIOD,
    ),
    "stumps": Kind(make=StumpsChallenger, monotone=True),
}


class Challengers:
    """All challengers, and what they have in common: the examples they learn, and the edges of their values."""

    def __init__(self, names: Iterable[str] = tuple(CHALLENGERS)) -> None:
        """Make challengers that have learned nothing. `names`: of CHALLENGERS."""
        self._names = tuple(names)
        self._clear()

    def _clear(self) -> None:
        self._kept: list[Kept] = []
        self._goods = self._bads = 0
        self._begin()

    def _begin(self) -> None:
        """Make the models anew, with edges from what is kept, where that is enough for any."""
        self._models = {name: CHALLENGERS[name].make() for name in self._names}
        self._edges = Edges(np.concatenate([one.examples for one in self._kept])) if self._kept else None

    def month(self, examples: Examples) -> dict[str, Floats]:
        """Return by name the probability of bad of each of `examples`, EXAMPLE (n,), as float64 (n,).

        NaN where a model is silent.
        """
        if self._edges is None:
            return {name: np.full(len(examples), np.nan) for name in self._names}
        said: dict[str, list[Floats]] = {name: [np.empty(0)] for name in self._names}
        for first in range(0, len(examples), BLOCK):
            rows = self._edges.rows(examples[first : first + BLOCK])
            for name, model in self._models.items():
                said[name].append(model.predict(rows))
        return {name: np.concatenate(parts) for name, parts in said.items()}

    def learn(self, examples: Examples) -> None:
        """Learn examples, EXAMPLE (n,), in their order."""
        while len(examples):
            seen = self._goods + self._bads
            due = next(at for at in EDGES_AT if at > seen)
            part, examples = examples[: due - seen], examples[due - seen :]
            kept = self._keep(part)
            if seen + len(part) == due:
                self._begin()
                for one in self._kept:
                    self._learn(one)
            elif self._edges is not None:
                self._learn(kept)

    def _keep(self, examples: Examples) -> Kept:
        """Choose those that are learned."""
        bad = examples["bad"]
        share = np.where(bad, 1.0, shares(bad, self._goods, self._bads))
        self._goods, self._bads = self._goods + int((~bad).sum()), self._bads + int(bad.sum())
        is_learned = lots(examples) < share
        self._kept.append(Kept(examples[is_learned], 1.0 / share[is_learned]))
        return self._kept[-1]

    def _learn(self, kept: Kept) -> None:
        assert self._edges is not None
        for first in range(0, len(kept.examples), BLOCK):
            examples, weight = kept.examples[first : first + BLOCK], kept.weight[first : first + BLOCK]
            rows = self._edges.rows(examples)
            for model in self._models.values():
                model.learn(rows, examples["bad"], weight)

    def rebuild(self, retained: Examples) -> None:
        """Forget everything and learn `retained`, EXAMPLE (n,): after a start, and when the oldest were dropped."""
        self._clear()
        self.learn(retained)


def direction(name: str) -> Literal[-1, 0, 1]:
    """Return 1 where a higher value of an indicator is riskier, -1 where a lower one is."""
    known = indicators().get(name)
    return 0 if known is None else 1 if known.higher_is_riskier else -1
