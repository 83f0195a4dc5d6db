"""The prequential record: what each model said of every matured example before it learned it, and what became of it.

The record is columns; every metric follows from them. Intervals are by bootstrap over enterprises (statistics.py),
since the months of one enterprise overlap. AUC is exact, with ties counted half. A model that was silent about an
example has no probability of it (NaN), and is measured on the others.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from detectors.learning import curves, statistics
from detectors.learning.examples import Examples
from detectors.learning.statistics import Estimate, Flags, Floats, Ints, Weights
from domain.outputs import (
    Figure,
    Grade,
    GradeOutcome,
    ModelDifference,
    ModelMetrics,
    ProbabilityBin,
    ScoreOutcome,
)

MICRO = 1_000_000
CHAMPION, PRIOR = "champion", "prior"
AS_SCORED = "as_scored"  # the model that was in force when the example was observed
WINDOW_MONTHS = 12
RESAMPLES = 200
PROBABILITY_MIN = 1e-6  # nearer to 0 or 1 a single surprise would outweigh all other losses
DIFFERENCE_LABELS_MAX = 100_000
GRADES: tuple[Grade, ...] = ("F", "E", "D", "C", "B", "A")
_GRADE_EDGES_MILLI = (400_000.0, 450_000.0, 500_000.0, 550_000.0, 600_000.0, 650_000.0, 700_000.0)
_SEED = 23
_FIXED = (("month", "<i4"), ("enterprise", "<i8"), ("bad", "?"), ("score_milli", "<i4"), ("p_ppm", "<i4"))


class Prequential:
    """The record of all models. Months come in their order."""

    def __init__(self, *, resamples: int = RESAMPLES) -> None:
        self._rows = np.empty(0, _columns(()))
        self._resamples = resamples

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that have predicted, in the order in which they came."""
        return self._rows.dtype["p"].names or ()

    def month(self, month: int, examples: Examples, predictions: Mapping[str, npt.ArrayLike]) -> None:
        """Add a month's examples, EXAMPLE (n,), in learning order, with what each model said of them, (n,).

        month: counted from January 1970. Raise ValueError where a probability is outside [0, 1], a model says more or
        fewer of them than there are examples, or the month is not a later one.
        """
        if len(self._rows) and month <= self._rows["month"][-1]:
            raise ValueError(f"month {month} comes after month {self._rows['month'][-1]}")
        added = np.empty(len(examples), _columns((*self.models, *sorted(set(predictions) - set(self.models)))))
        added["month"], added["p"] = month, np.full(len(examples), np.nan, added.dtype["p"])
        for name in ("enterprise", "bad", "score_milli", "p_ppm"):
            added[name] = examples[name]
        for model, given in predictions.items():
            p = np.asarray(given, np.float64)
            if p.shape != (len(examples),):
                raise ValueError(f"{model} says {p.shape} probabilities of {len(examples)} examples")
            if not (np.isnan(p) | ((p >= 0) & (p <= 1))).all():
                raise ValueError(f"{model} says a probability outside [0, 1]")
            added["p"][model] = p
        self._rows = np.concatenate((_with_models(self._rows, added.dtype), added))

    def cut(self, first_month: int) -> None:
        """Forget the months before `first_month`."""
        self._rows = self._rows[self._rows["month"] >= first_month].copy()

    def to_columns(self) -> npt.NDArray[np.void]:
        """Return the record as one structured array, (n,), of which `from_columns` makes it again."""
        return self._rows.copy()

    @classmethod
    def from_columns(cls, rows: npt.NDArray[np.void], *, resamples: int = RESAMPLES) -> "Prequential":
        """Return the record that `to_columns` gave. Raise ValueError where `rows` is something else."""
        if rows.dtype.names != (*(name for name, _ in _FIXED), "p"):
            raise ValueError(f"no prequential record: its columns are {rows.dtype.names}")
        made = cls(resamples=resamples)
        made._rows = rows.copy()
        return made

    def to_bytes(self) -> bytes:
        """Return the columns in NumPy's format of a file (.npy)."""
        file = io.BytesIO()
        np.save(file, self._rows, allow_pickle=False)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, body: bytes, *, resamples: int = RESAMPLES) -> "Prequential":
        """Return the record that `to_bytes` gave. Raise ValueError where `body` is something else."""
        return cls.from_columns(np.load(io.BytesIO(body), allow_pickle=False), resamples=resamples)

    def losses(self, model: str) -> Floats:
        """Return the log loss of each example that the model has predicted, float64, in learning order."""
        p = self._of(model, self._rows)
        said = ~np.isnan(p)
        return log_losses(p[said], self._rows["bad"][said])

    def metrics(self) -> Iterator[ModelMetrics]:
        """Yield the metrics of each model over the last twelve months and over all that is retained."""
        for window in ("12m", "all"):
            rows = self._window(window)
            owner, weights = self._resample(rows)
            for model in self._shown():
                yield _metrics(model, window, self._of(model, rows), rows["bad"], owner, weights)

    def differences(self, labels_max: int = DIFFERENCE_LABELS_MAX, champion: str = CHAMPION) -> list[ModelDifference]:
        """Return the champion's AUC and log loss less those of each other model, on the newest labels of both."""
        others = [model for model in self._shown() if model != champion]
        return [self._difference(champion, other, labels_max) for other in others] if champion in self.models else []

    def grades(self) -> list[GradeOutcome]:
        """Return what was expected and observed of each grade that examples of the last twelve months were given."""
        rows = self._window("12m")
        owner, weights = self._resample(rows)
        p, bad, score = self._of(AS_SCORED, rows), rows["bad"], rows["score_milli"]
        found = curves.reliability(p, bad, owner, weights, _GRADE_EDGES_MILLI, by=score)
        return [
            GradeOutcome(
                grade=GRADES[_GRADE_EDGES_MILLI.index(one.low)],
                n=one.n,
                bad=one.bad,
                expected=figure(one.expected),
                observed=figure(one.observed),
            )
            for one in found
        ]

    def scores(self) -> list[ScoreOutcome]:
        """Return the scores of the last twelve months' examples by outcome, by steps that hold any."""
        rows = self._window("12m")
        return [
            ScoreOutcome(from_points=low, to_points=low + curves.SCORE_STEP_POINTS, good=good, bad=bad)
            for low, good, bad in curves.by_score(rows["score_milli"], rows["bad"])
        ]

    def _shown(self) -> list[str]:
        """Return all models, the champion first, then those that it has to beat, then the others by name."""
        first = {CHAMPION: 0, PRIOR: 1, AS_SCORED: 2}
        return sorted((*self.models, AS_SCORED), key=lambda model: (first.get(model, len(first)), model))

    def _window(self, window: str) -> npt.NDArray[np.void]:
        if window == "all" or not len(self._rows):
            return self._rows
        return self._rows[self._rows["month"] > self._rows["month"][-1] - WINDOW_MONTHS]

    def _of(self, model: str, rows: npt.NDArray[np.void]) -> Floats:
        """Return what a model said of rows; NaN of one that never said anything."""
        if model == AS_SCORED:
            found: Floats = rows["p_ppm"] / MICRO
            return found
        return np.ascontiguousarray(rows["p"][model]) if model in self.models else np.full(len(rows), np.nan)

    def _resample(self, rows: npt.NDArray[np.void]) -> tuple[Ints, Weights]:
        """Return the enterprise of each row, numbered from 0, and the weights of the resamples."""
        known, owner = np.unique(rows["enterprise"], return_inverse=True)
        return owner, statistics.poisson_weights(self._resamples, len(known), _SEED)

    def _difference(self, champion: str, other: str, labels_max: int) -> ModelDifference:
        said = ~np.isnan(self._of(champion, self._rows)) & ~np.isnan(self._of(other, self._rows))
        rows = self._rows[said][-labels_max:]
        owner, weights = self._resample(rows)
        ours, theirs = (self._of(model, rows) for model in (champion, other))
        bad = rows["bad"]
        drawn = statistics.separations(ours, bad, owner, weights) - statistics.separations(theirs, bad, owner, weights)
        auc = Estimate(float(drawn[0, 0]), *statistics.interval(drawn[1:, 0]), len(rows))
        loss = _mean(log_losses(ours, bad) - log_losses(theirs, bad), owner, weights)
        return ModelDifference(model=other, n=len(rows), bad=int(bad.sum()), auc=figure(auc), log_loss=figure(loss))


def log_losses(p: Floats, bad: Flags) -> Floats:
    """Return the log loss of each example, float64 (n,); probabilities are kept PROBABILITY_MIN from 0 and 1."""
    kept = p.clip(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN)
    found: Floats = -np.log(np.where(bad, kept, 1.0 - kept))
    return found


def figure(estimate: Estimate) -> Figure:
    """Return an estimate in millionths; what is not defined is None."""
    value, low, high = (round(one * MICRO) if np.isfinite(one) else None for one in estimate[:3])
    return Figure(value_micro=value, low_micro=low, high_micro=high)


def _metrics(
    model: str, window: Literal["12m", "all"], p: Floats, bad: Flags, owner: Ints, weights: Weights
) -> ModelMetrics:
    said = ~np.isnan(p)
    p, outcome, owner = p[said], bad[said], owner[said]
    found = statistics.separation(p, outcome, owner, weights)
    value, low, high, n = found.auc
    gini = Estimate(2 * value - 1, 2 * low - 1, 2 * high - 1, n)
    bins = curves.reliability(p, outcome, owner, weights)
    return ModelMetrics(
        model=model,
        window=window,
        n=n,
        bad=found.bad,
        silent=len(said) - n,
        auc=figure(found.auc),
        ks=figure(found.ks),
        gini=figure(gini),
        log_loss=figure(_mean(log_losses(p, outcome), owner, weights)),
        brier=figure(_mean((p - outcome) ** 2, owner, weights)),
        roc_ppm=tuple((round(x * MICRO), round(y * MICRO)) for x, y in curves.roc(p, outcome).tolist()),
        bins=tuple(
            ProbabilityBin(
                from_ppm=round(one.low * MICRO),
                to_ppm=round(one.high * MICRO),
                n=one.n,
                bad=one.bad,
                expected=figure(one.expected),
                observed=figure(one.observed),
            )
            for one in bins
        ),
    )


def _mean(values: Floats, owner: Ints, weights: Weights) -> Estimate:
    by_enterprise = np.bincount(owner, values, minlength=weights.shape[1])
    return statistics.ratio(by_enterprise, np.bincount(owner, minlength=weights.shape[1]), weights)


def _columns(models: tuple[str, ...]) -> np.dtype[np.void]:
    return np.dtype([*_FIXED, ("p", [(model, "<f8") for model in models])])


def _with_models(rows: npt.NDArray[np.void], wanted: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """Return the rows with columns for more models, which were silent then."""
    if rows.dtype == wanted:
        return rows
    made: npt.NDArray[Any] = np.empty(len(rows), wanted)
    for name, _ in _FIXED:
        made[name] = rows[name]
    for model in wanted["p"].names or ():
        made["p"][model] = rows["p"][model] if model in (rows.dtype["p"].names or ()) else np.nan
    return made
