"""The champion: the model that follows from a prior and from all examples that are kept.

It is made anew at each month (additive.py), so it has no other state. What is open is chosen by the examples
themselves: how many anchors, and how strongly the prior holds, by the log loss on folds of enterprises that were not
learned from. The probability is calibrated on the same predictions (calibration.py). Why not one label at a time:
docs/adr/0031-a-champion-that-learns.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.learning import additive
from detectors.learning.additive import Placed, Shape
from detectors.learning.anchors import Population, is_logarithmic
from detectors.learning.calibration import SLOPE_MIN, LogitLine, calibrated, places, probabilities
from detectors.learning.drift import reference_of
from detectors.learning.examples import UNKNOWN, Examples, take
from detectors.learning.rescoring import rescored, scores_milli
from detectors.scorecard import scorecard, utility
from detectors.snapshot import MICRO, V2, WEIGHT_SUM_MILLI, Calibration, Snapshot
from features.indicators import CORE
from features.indicators.nulls import NOT_APPLICABLE, NULL_NAMES
from kernels import ieee

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
GROUP_SHARE_MIN = 0.01  # of all weight, for a group whose weights have all vanished
NULL_STRENGTH, INTERCEPT_STRENGTH = 1.0, 0.01  # inverse variances about the prior, in squared logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the champion learns; it stands in each snapshot.

    half_life_days: by then a label weighs half; 0: all weigh alike. bads_min: fewer bad or good ones leave the prior.
    selection_max, examples_max: of more, good enterprises are thinned and weigh more. default_bads_min: defaults for
    a calibration of pd_12m.
    """

    half_life_days: int = 0
    bads_min: int = 10
    folds: int = 3
    selection_max: int = 40_000
    examples_max: int = 400_000
    default_bads_min: int = 30


ANCHOR_COUNTS = (9, 5, 13)  # tried in this order; the first of equals is kept
STRENGTHS = (1.0, 0.3, 3.0, 10.0)
SPARSITY = 2.0


class Variant(NamedTuple):
    """How a model is fitted.

    anchors: of an indicator. strength: the inverse variance of its whole range about the prior. sparsity: the rate of
    an exponential prior on that range, in 1 / logit: the higher, the fewer indicators carry the model.
    """

    anchors: int
    strength: float
    sparsity: float = SPARSITY


class Fit(NamedTuple):
    """A fitted model."""

    shape: Shape
    theta: Floats
    anchors_micro: tuple[tuple[int, ...], ...]  # ascending


class Trainer:
    """The champion as learned so far: the prior until there are labels."""

    def __init__(self, prior: Snapshot, groups: Mapping[str, str], policy: Policy | None = None) -> None:
        """Start from the prior. groups: indicator to group."""
        self._prior, self._groups, self._policy = prior, groups, policy or Policy()
        self.champion = prior

    def predict(self, examples: Examples) -> Floats:
        """Return the champion's probability of bad, float64 (examples,)."""
        return predicted(self.champion, examples)

    def prior_predict(self, examples: Examples) -> Floats:
        """Return the prior's probability of bad, float64 (examples,)."""
        return predicted(self._prior, examples)

    def fit(self, retained: Examples) -> None:
        """Make the champion anew from all examples that are kept, in the order of learning."""
        self.champion = champion_of(self._prior, self._groups, retained, self._policy)

    def snapshot(self, parent_id: str, log_offsets: Mapping[str, int]) -> Snapshot:
        """Return the champion as it is published."""
        return msgspec.structs.replace(self.champion, parent_id=parent_id, log_offsets=dict(log_offsets))


def predicted(snapshot: Snapshot, examples: Examples) -> Floats:
    """Return the probability of bad that a model gives to examples, float64 (n,)."""
    return probabilities(line_of(snapshot), places(scores_milli(snapshot, examples)))


def line_of(calibration: Snapshot | Calibration) -> LogitLine:
    """Return a calibration as floats."""
    return LogitLine(calibration.intercept_micro / MICRO, calibration.slope_micro / MICRO)


def champion_of(prior: Snapshot, groups: Mapping[str, str], retained: Examples, policy: Policy) -> Snapshot:
    """Return the model of a prior and of examples; the prior where too few are bad, or good.

    The result is equal on any machine.
    """
    bads = int(retained["bad"].sum())
    if not len(retained):
        return prior
    if min(bads, len(retained) - bads) < policy.bads_min:
        until_day = int(retained["matured_on"].max())
        return msgspec.structs.replace(
            prior, trained_labels_count=len(retained), trained_bad_count=bads, trained_until_day=until_day
        )
    population = Population(retained, CORE)
    weight = forgetting(retained["matured_on"], policy.half_life_days)
    variant, correction = _selected(prior, population, retained, weight, policy)
    rows, factor = thinned(retained, policy.examples_max)
    fit = fitted(prior, population, retained[rows], weight[rows] * factor, variant)
    made = _as_snapshot(prior, groups, population, fit, correction)
    return msgspec.structs.replace(
        _with_default_12m(made, retained, weight, policy),
        trained_labels_count=len(retained),
        trained_bad_count=bads,
        trained_from_day=int(retained["day"].min()),
        trained_until_day=int(retained["matured_on"].max()),
        libraries={"numpy": np.__version__, "river": version("river")},
        policy={name: float(value) for name, value in (asdict(policy) | variant._asdict()).items()},
        reference=reference_of(rescored(made, retained), CORE),
    )


def recalibrated(snapshot: Snapshot, newest: Examples, policy: Policy) -> Snapshot:
    """Return a model with probabilities anew from examples that it was not trained on; its scores stay."""
    weight = forgetting(newest["matured_on"], policy.half_life_days)
    x = places(scores_milli(snapshot, newest))
    line = calibrated(line_of(snapshot), x, newest["bad"], weight).of_snapshot
    moved = msgspec.structs.replace(
        snapshot,
        intercept_micro=line.intercept_micro,
        slope_micro=line.slope_micro,
        trained_labels_count=snapshot.trained_labels_count + len(newest),
        trained_bad_count=snapshot.trained_bad_count + int(newest["bad"].sum()),
        trained_until_day=int(newest["matured_on"].max()),
    )
    return _with_default_12m(moved, newest, weight, policy)


def fitted(prior: Snapshot, population: Population, examples: Examples, weight: Floats, variant: Variant) -> Fit:
    """Return the most probable model of a prior and of weighted examples, with so many anchors."""
    names = population.names
    anchors = tuple(population.anchors(i, variant.anchors) for i in range(len(names)))
    rows = scorecard(prior).rows
    shape = additive.shape_of(
        [np.array(each) / MICRO for each in anchors],
        np.array([population.unknown_at(i) for i in range(len(names))]) / MICRO,
        np.array([is_logarithmic(name) for name in names]),
        rows["falling"] != 0,
    )
    placed = additive.place(shape, take(examples, names, "value"), take(examples, names, "null"))
    theta, penalty = _prior_theta(prior, rows, shape, anchors, variant)
    return Fit(shape, additive.fit(shape, placed, examples["bad"], weight, theta, penalty), anchors)


def logits(fit: Fit, examples: Examples) -> Floats:
    """Return the logit of the probability of bad of examples under a fit, float64 (n,)."""
    placed: Placed = additive.place(fit.shape, take(examples, CORE, "value"), take(examples, CORE, "null"))
    return additive.logits(fit.shape, fit.theta, placed)


def forgetting(matured_on: npt.NDArray[np.int32], half_life_days: int) -> Floats:
    """Return the weight of each label by its age against the newest one, float64 (n,)."""
    found = np.ones(len(matured_on))
    if half_life_days and len(found):
        age = int(matured_on.max()) - matured_on.astype(np.int64)
        days, place = np.unique(age, return_inverse=True)
        of_day = [float(ieee.exp(-math.log(2) * day / half_life_days)) for day in days.tolist()]
        found = np.array(of_day)[place]
    return found


def thinned(examples: Examples, most: int) -> tuple[Ints, Floats]:
    """Return (rows, factors) of about `most` examples: all enterprises that were bad once, and each k-th of the others.

    An enterprise is in or out as a whole; those of the others that are in weigh k times as much.
    """
    everyone = np.arange(len(examples))
    if len(examples) <= most:
        return everyone, np.ones(len(examples))
    was_bad = np.isin(examples["enterprise"], np.unique(examples["enterprise"][examples["bad"]]))
    bads = int(was_bad.sum())
    k = -(-(len(examples) - bads) // max(most - bads, bads, 1))  # of the others as many as of the bad, at least
    rows = np.flatnonzero(was_bad | (_mixed(examples["enterprise"]) % k == 0))
    return rows, np.where(was_bad[rows], 1.0, float(k))


def _mixed(enterprises: Ints) -> Ints:
    """Return numbers of enterprises such that neighbours are far apart (Knuth's multiplicative hashing)."""
    found: Ints = (enterprises * 2_654_435_761 % 2**32) >> 12
    return found


def _selected(
    prior: Snapshot, population: Population, retained: Examples, weight: Floats, policy: Policy
) -> tuple[Variant, LogitLine]:
    """Return the variant with the least log loss on enterprises that were not learned from, and what corrects it there.

    The correction is the line (a, B) by which `a + B logit` is the logit of the probability.
    """
    rows, factor = thinned(retained, policy.selection_max)
    examples, weight = retained[rows], weight[rows] * factor
    fold = _mixed(examples["enterprise"]) // 7 % policy.folds
    tried: dict[Variant, tuple[float, Floats]] = {}

    def loss(variant: Variant) -> float:
        if variant not in tried:
            logit = np.zeros(len(examples))
            for each in range(policy.folds):
                out = fold == each
                logit[out] = logits(fitted(prior, population, examples[~out], weight[~out], variant), examples[out])
            tried[variant] = additive.log_loss(logit, examples["bad"], weight), logit
        return tried[variant][0]

    strength = min(STRENGTHS, key=lambda each: loss(Variant(ANCHOR_COUNTS[0], each)))
    best = min((Variant(count, strength) for count in ANCHOR_COUNTS), key=loss)
    return best, calibrated(LogitLine(0.0, 1.0), -tried[best][1], examples["bad"], weight)


def _prior_theta(
    prior: Snapshot, rows: npt.NDArray[np.void], shape: Shape, anchors: Sequence[Sequence[int]], variant: Variant
) -> tuple[Floats, Floats]:
    """Return (theta of the prior on these anchors, inverse variances about it).

    A Gaussian about m with inverse variance p, times exp(-rate theta), is one about m - rate / p.
    """
    slope = prior.slope_micro / MICRO
    theta, penalty = np.zeros(shape.parameters), np.ones(shape.parameters)
    for i, row in enumerate(rows):
        first, count = int(shape.first[i]), int(shape.size[i])
        beta = slope * int(row["weight_milli"]) / WEIGHT_SUM_MILLI
        rising = sorted(float(utility(row, each / MICRO)) for each in anchors[i])
        penalty[first : first + count] = variant.strength * (count - 1)
        theta[first + 1 : first + count] = beta * np.diff(rising) - variant.sparsity / penalty[first]
        nulls = slice(first + count, first + count + additive.KINDS)
        theta[nulls] = beta * row["null_ppm"][1:] / MICRO
        penalty[nulls] = NULL_STRENGTH
    theta[-1], penalty[-1] = prior.intercept_micro / MICRO, INTERCEPT_STRENGTH
    return theta, penalty


def _as_snapshot(
    prior: Snapshot, groups: Mapping[str, str], population: Population, fit: Fit, correction: LogitLine
) -> Snapshot:
    """Return a fit as a scorecard, its probability corrected."""
    names, shape, level = population.names, fit.shape, additive.levels(fit.shape, fit.theta)
    betas, anchors, levels, nulls = {}, {}, {}, {}
    for i, name in enumerate(names):
        first, count = int(shape.first[i]), int(shape.size[i])
        betas[name] = beta = float(level[first + count - 1])
        rising = _rising(level[first : first + count], beta)
        at_best = _level_at(shape, i, rising)
        of_null = level[first + count : first + count + additive.KINDS]
        anchors[name] = fit.anchors_micro[i]
        levels[name] = tuple(rising[::-1] if shape.falling[i] else rising)
        nulls[name] = {
            null: min(MICRO if code == NOT_APPLICABLE else at_best, _ppm(of_null[code - 1], beta))
            for code, null in enumerate(NULL_NAMES)
            if code
        }
    weights_milli, slope = scorecard_weights(betas, {name: prior.weights_milli.get(name, 0) for name in names}, groups)
    intercept = correction.intercept + correction.slope * float(fit.theta[-1])
    calibration = LogitLine(intercept, max(SLOPE_MIN, correction.slope * slope)).of_snapshot
    return Snapshot(
        format=V2,
        parent_id=None,
        prior=False,
        weights_milli=weights_milli,
        intercept_micro=calibration.intercept_micro,
        slope_micro=calibration.slope_micro,
        anchors_micro=anchors,
        levels_micro=levels,
        null_levels_micro=nulls,
        unknown_at_micro={name: population.unknown_at(i) for i, name in enumerate(names)},
        medians_micro={name: population.median(i) for i, name in enumerate(names)},
    )


def _rising(level: Floats, beta: float) -> list[int]:
    """Return ascending levels from 0 to 1, in ppm; even ones for an indicator that weighs nothing."""
    last = len(level) - 1
    if beta <= 0.0:
        return [MICRO * j // last for j in range(last + 1)]
    return [0, *(_ppm(each, beta) for each in level[1:-1]), MICRO]


def _ppm(level: float, beta: float) -> int:
    return min(MICRO, round(MICRO * float(level) / beta)) if beta > 0.0 else 0


def _level_at(shape: Shape, i: int, rising: Sequence[int]) -> int:
    """Return the level, in ppm, at which what is not computable counts at the best; two less, for rounding."""
    anchor = shape.anchor[i, : shape.size[i]]
    return max(0, math.floor(np.interp(shape.bad[i], anchor, rising)) - 2)


def _with_default_12m(snapshot: Snapshot, examples: Examples, weight: Floats, policy: Policy) -> Snapshot:
    """Return a model with a calibration of pd_12m, where enough examples have matured for it."""
    known = examples["default_12m"] != UNKNOWN
    bad = examples["default_12m"][known] == 1
    if min(int(bad.sum()), int((~bad).sum())) < policy.default_bads_min:
        return msgspec.structs.replace(snapshot, default_12m=None)
    x = places(scores_milli(snapshot, examples[known]))
    found = calibrated(line_of(snapshot), x, bad, weight[known])
    return msgspec.structs.replace(snapshot, default_12m=found.of_snapshot)


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
