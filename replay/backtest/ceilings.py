"""Ceilings on the same indicators: models trained on the month ends of the judged world itself.

LightGBM without constraints, and boosted stumps that may use each indicator only in the direction of the catalogue.
They are ceilings, not rivals: they see the outcomes of other enterprises of the same time. The prediction for an
enterprise comes from a model of the other enterprises alone (folds by enterprise), trained on month ends whose horizon
has passed. Each model has one thread, so that the same data give the same figures.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from detectors.learning.statistics import Flags, Floats, Ints
from replay.backtest.catalogue import directions as known_directions
from replay.backtest.panel import BUDGET_DAYS, Panel
from replay.backtest.ranks import Rank
from replay.backtest.world import World
from replay.sources import SourceError

FOLDS = 5
LEARNED_ROWS_MAX = 80_000  # with all bad ones among them: more rows gain hardly anything and take minutes
BAD_MIN = 20  # month ends that go bad, among the rows of a training set
_ALWAYS: dict[str, Any] = {
    "objective": "binary", "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 7,
    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "feature_fraction": 0.8,
}  # fmt: skip
MODELS: dict[str, tuple[dict[str, Any], int]] = {  # parameters, rounds
    "lightgbm": ({"num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 50, "lambda_l2": 5.0}, 150),
    "stumps": ({"num_leaves": 2, "learning_rate": 0.1, "min_data_in_leaf": 50, "lambda_l2": 5.0}, 300),
}


def require() -> None:
    """Raise SourceError where LightGBM is not installed."""
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError) as error:
        message = f"the ceilings need the extra 'evaluate' (LightGBM): {error}; or leave them out by --without ceilings"
        raise SourceError(message) from error


def ceilings(panel: Panel, world: World, horizons: tuple[int, ...], on_progress: Callable[[str], None]) -> list[Rank]:
    """Return the rank of each model for budgets and for each horizon (days) of AUC.

    Models with too few bad month ends to train on are left out.
    """
    directions = [known_directions().get(name, 0) for name in world.indicators]
    fold = folds(panel.enterprise, len(world.ids))
    jobs = [(model, horizon) for model in MODELS for horizon in (BUDGET_DAYS, *horizons)]

    def work(job: tuple[str, int]) -> Rank | None:
        model, horizon = job
        risk = out_of_fold(
            panel.values,
            panel.bad(horizon),
            panel.matured(horizon),
            fold,
            model,
            directions if model == "stumps" else None,
        )
        on_progress(f"{model} is trained on outcomes within {horizon} days")
        name = model if horizon == BUDGET_DAYS else f"{model}_{horizon}"
        return None if risk is None else Rank(name=name, risk=risk, label_days=horizon)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, jobs))
    return [rank for rank in found if rank is not None]


def folds(enterprise: Ints, enterprises: int) -> Ints:
    """Return the fold of each row (rows,): all rows of an enterprise are in one."""
    fold_of = np.random.default_rng(11).permutation(enterprises) % FOLDS
    return np.asarray(fold_of[enterprise], np.int64)


def out_of_fold(
    values: Any, bad: Flags, matured: Flags, fold: Ints, model: str, directions: list[int] | None
) -> Floats | None:
    """Return the risk of each row (rows,), float64, by a model trained on the matured rows of the other folds.

    values: (rows, indicators). directions: of each indicator, 1, -1 or 0; None: no constraint. Return None where a fold
    leaves fewer than BAD_MIN bad rows to train on.
    """
    risk = np.full(len(fold), np.nan)
    for one in range(FOLDS):
        learn, predict = matured & (fold != one), fold == one
        if bad[learn].sum() < BAD_MIN or bad[learn].all():
            return None
        if not predict.any():
            continue
        rows = _training_rows(np.flatnonzero(learn), bad)
        weight = np.where(bad[rows], 1.0, (learn & ~bad).sum() / max(1, (~bad[rows]).sum()))
        booster = fitted(model, values[rows], bad[rows], weight, directions)
        risk[predict] = booster.predict(values[predict], num_threads=1)
    return risk


def fitted(
    model: str, values: Any, bad: Flags, weight: Floats, directions: list[int] | None, leaf_min: int | None = None
) -> Any:
    """Return the booster of MODELS fitted to rows (n,). leaf_min: rows in a leaf at least; None: as MODELS says."""
    import lightgbm

    parameters, rounds = MODELS[model]
    parameters = _ALWAYS | parameters | ({} if directions is None else {"monotone_constraints": directions})
    parameters |= {} if leaf_min is None else {"min_data_in_leaf": leaf_min}
    data = lightgbm.Dataset(values, bad.astype(np.float32), weight=weight, free_raw_data=True)
    return lightgbm.train(parameters, data, rounds)


def _training_rows(rows: Ints, bad: Flags) -> Ints:
    """Return the indices of all bad rows, and of good ones drawn by a seed, up to LEARNED_ROWS_MAX."""
    good = rows[~bad[rows]]
    room = max(1, LEARNED_ROWS_MAX - (len(rows) - len(good)))
    if len(good) <= room:
        return rows
    drawn = np.random.default_rng(13).choice(good, room, replace=False)
    return np.sort(np.concatenate((rows[bad[rows]], drawn)))
