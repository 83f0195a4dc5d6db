"""Ceilings on the same indicators: models that learn from the month ends of the world that is judged.

LightGBM as it is, and boosted stumps that may use each indicator only in the direction that the catalogue gives it.
They are ceilings, not rivals: they see the outcomes of other enterprises of the same time. What they predict of an
enterprise was learned from others alone (folds by enterprise), and from month ends that have lived through their
horizon. One thread a model, so that the same data give the same figures.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from replay.backtest.names import directions as known_directions
from replay.backtest.panel import BUDGET_DAYS, Panel
from replay.backtest.ranks import Rank
from replay.backtest.statistics import Flags, Floats, Ints
from replay.backtest.world import World
from replay.sources import SourceError

FOLDS = 5
LEARNED_ROWS_MAX = 80_000  # with all bad ones among them: more teach hardly more, and take minutes
BAD_MIN = 20  # month ends that go bad, in what a model learns from
_ALWAYS: dict[str, Any] = {
    "objective": "binary", "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 7,
    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "feature_fraction": 0.8,
}  # fmt: skip
MODELS: dict[str, tuple[dict[str, Any], int]] = {  # parameters, rounds
    "lightgbm": ({"num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 50, "lambda_l2": 5.0}, 150),
    "stumps": ({"num_leaves": 2, "learning_rate": 0.1, "min_data_in_leaf": 50, "lambda_l2": 5.0}, 300),
}


def require() -> None:
    """SourceError where LightGBM is not installed."""
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError) as error:
        said = f"the ceilings need the extra 'evaluate' (LightGBM): {error}; or leave them out by --without ceilings"
        raise SourceError(said) from error


def ceilings(panel: Panel, world: World, horizons: tuple[int, ...], say: Callable[[str], None]) -> list[Rank]:
    """Return the ranks of each model, for budgets and for each horizon of AUC.

    Those with too few bad month ends to learn from are left out.
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
        say(f"{model} has learned {horizon} days")
        name = model if horizon == BUDGET_DAYS else f"{model}_{horizon}"
        return None if risk is None else Rank(name=name, risk=risk, label_days=horizon)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, jobs))
    return [rank for rank in found if rank is not None]


def folds(enterprise: Ints, enterprises: int) -> Ints:
    """Return the fold of each row (rows,): all rows of an enterprise are in one."""
    of = np.random.default_rng(11).permutation(enterprises) % FOLDS
    return np.asarray(of[enterprise], np.int64)


def out_of_fold(
    values: Any, bad: Flags, matured: Flags, fold: Ints, model: str, directions: list[int] | None
) -> Floats | None:
    """Return the risk of each row (rows,) as a model says that has learned from matured rows of the other folds.

    None where one of them would learn from too few bad rows.
    """
    import lightgbm

    parameters, rounds = MODELS[model]
    parameters = _ALWAYS | parameters | ({} if directions is None else {"monotone_constraints": directions})
    risk = np.full(len(fold), np.nan)
    for one in range(FOLDS):
        learn, predict = matured & (fold != one), fold == one
        if bad[learn].sum() < BAD_MIN or bad[learn].all():
            return None
        if not predict.any():
            continue
        rows = _some(np.flatnonzero(learn), bad)
        weight = np.where(bad[rows], 1.0, (learn & ~bad).sum() / max(1, (~bad[rows]).sum()))
        data = lightgbm.Dataset(values[rows], bad[rows].astype(np.float32), weight=weight, free_raw_data=True)
        booster = lightgbm.train(parameters, data, rounds)
        risk[predict] = booster.predict(values[predict], num_threads=1)
    return risk


def _some(rows: Ints, bad: Flags) -> Ints:
    """All bad rows, and as many good ones as may be learned from, drawn by a seed."""
    good = rows[~bad[rows]]
    room = max(1, LEARNED_ROWS_MAX - (len(rows) - len(good)))
    if len(good) <= room:
        return rows
    drawn = np.random.default_rng(13).choice(good, room, replace=False)
    return np.sort(np.concatenate((rows[bad[rows]], drawn)))
