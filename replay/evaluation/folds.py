"""Cross-validation by borrower, and the figures that follow: each model on the same folds."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.learning import curves, statistics
from detectors.learning.examples import Examples
from detectors.learning.prequential import CHAMPION, Prequential, figure
from detectors.learning.statistics import Estimate, Flags, Floats, Ints
from domain.outputs import Figure, ModelMetrics, ScoreOutcome
from features.indicators import INDICATOR_COUNT
from replay.evaluation.champion import Scored
from replay.evaluation.report import AblationRow, Judged

FOLDS, REPEATS, SEED = 5, 5, 2026
RESAMPLES = 1_000
BAD_MIN = 10  # fewer give no AUC that says anything
Learned = Callable[[Examples, Examples], Scored]  # (learned, predicted) -> what is said of the predicted
Say = Callable[[str], None]


class OutOfFold(NamedTuple):
    """Scores and probabilities of each example by repeat, learned from the other folds: (repeats, n)."""

    score_milli: Ints
    p: Floats


def splits(enterprise: Ints, bad: Flags, seed: int = SEED) -> Iterator[Ints]:
    """Yield REPEATS times the fold of each example, (n,). A borrower is in one fold; bad ones are spread evenly."""
    ids, owner = np.unique(enterprise, return_inverse=True)
    is_bad = np.bincount(owner, bad, len(ids)) > 0
    for repeat in range(REPEATS):
        lot = np.random.default_rng((seed, repeat)).permutation(len(ids))
        fold = np.empty(len(ids), np.int64)
        fold[lot[np.argsort(~is_bad[lot], kind="stable")]] = np.arange(len(ids)) % FOLDS
        yield fold[owner]


def out_of_fold(model: Learned, examples: Examples, seed: int = SEED) -> OutOfFold:
    """Return what the model says of each example by the other folds."""
    found = OutOfFold(np.zeros((REPEATS, len(examples)), np.int64), np.zeros((REPEATS, len(examples))))
    for repeat, fold in enumerate(splits(examples["enterprise"], examples["bad"], seed)):
        for one in range(FOLDS):
            learned, predicted = examples[fold != one], fold == one
            said = model(learned[np.argsort(learned["matured_on"], kind="stable")], examples[predicted])
            found.score_milli[repeat, predicted], found.p[repeat, predicted] = said
    return found


def judge(
    view: str,
    examples: Examples,
    models: Mapping[str, Learned],
    ablations: Mapping[str, Learned],
    say: Say,
    *,
    indicators: int = INDICATOR_COUNT,
    seed: int = SEED,
) -> tuple[Judged, OutOfFold | None]:
    """Return the figures of all models on labelled examples, EXAMPLE (n,), and what the champion says of each.

    models: CHAMPION among them. Where there is one class only, or fewer than BAD_MIN are bad, nothing is fitted.
    """
    n, bad = len(examples), int(examples["bad"].sum())
    blank = Judged(view=view, n=n, bad=bad, indicators=indicators, folds=FOLDS, repeats=REPEATS, seed=seed)
    if reason := _too_few(n, bad):
        return msgspec.structs.replace(blank, silent_reason=reason), None
    said = {}
    for name, model in models.items():
        said[name] = out_of_fold(model, examples, seed)
        say(f"{view}: {name} is judged")
    aucs = {name: _aucs(one, examples, seed) for name, one in said.items()}
    rows = []
    for what, model in ablations.items():
        found = _aucs(out_of_fold(model, examples, seed), examples, seed)
        rows.append(AblationRow(what=what, auc=_figure(found, n), less=_figure(found - aucs[CHAMPION], n)))
        say(f"{view}: {what} is judged")
    record = Prequential(resamples=RESAMPLES)
    record.month(0, np.tile(examples, REPEATS), {name: one.p.reshape(-1) for name, one in said.items()})
    wanted = {one.model: one for one in record.metrics() if one.window == "all"}
    return msgspec.structs.replace(
        blank,
        models=[_once(wanted[name], aucs[name]) for name in models],
        differences=[
            msgspec.structs.replace(one, n=n, bad=bad, auc=_figure(aucs[CHAMPION] - aucs[one.model], n))
            for one in record.differences()
            if one.model in aucs
        ],
        scores=_by_score(said[CHAMPION], examples),
        ablation=rows,
    ), said[CHAMPION]


def _too_few(n: int, bad: int) -> str:
    if not n:
        return "nothing with a label and a vector"
    if bad in (0, n):
        return f"all {n} are {'bad' if bad else 'good'}: there is one class only"
    return f"{bad} are bad, fewer than {BAD_MIN}: no AUC is said" if bad < BAD_MIN else ""


def _aucs(said: OutOfFold, examples: Examples, seed: int) -> Floats:
    """Return the mean AUC over all folds of all repeats, float64 (1 + RESAMPLES,): of all borrowers, of each resample.

    NaN of a model that was silent.
    """
    bad, owner = examples["bad"], np.unique(examples["enterprise"], return_inverse=True)[1]
    weights = statistics.poisson_weights(RESAMPLES, int(owner.max()) + 1, seed)
    total, count = np.zeros(RESAMPLES + 1), np.zeros(RESAMPLES + 1)
    for p, fold in zip(said.p, splits(examples["enterprise"], bad, seed), strict=True):
        for one in range(FOLDS):
            of = (fold == one) & ~np.isnan(p)
            found = statistics.separations(p[of], bad[of], owner[of], weights)[:, 0]
            total += np.nan_to_num(found)
            count += ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        aucs: Floats = total / count
    return aucs


def _figure(aucs: Floats, n: int) -> Figure:
    return figure(Estimate(float(aucs[0]), *statistics.interval(aucs[1:]), n))


def _once(one: ModelMetrics, aucs: Floats) -> ModelMetrics:
    """Return metrics whose counts are of examples, not of examples by repeat, and whose AUC is the mean over folds."""
    counts = {name: getattr(one, name) // REPEATS for name in ("n", "bad", "silent")}
    auc, gini = (_figure(each, one.n) for each in (aucs, 2 * aucs - 1))
    return msgspec.structs.replace(one, auc=auc, gini=gini, **counts)


def _by_score(said: OutOfFold, examples: Examples) -> list[ScoreOutcome]:
    score = np.rint(said.score_milli.mean(axis=0)).astype(np.int64)
    return [
        ScoreOutcome(from_points=low, to_points=low + curves.SCORE_STEP_POINTS, good=good, bad=bad)
        for low, good, bad in curves.by_score(score, examples["bad"])
    ]
