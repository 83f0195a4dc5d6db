"""Ranks of borrowers at month ends: their value at a desk's budget, as AUC and KS, and as a probability."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from detectors.learning import statistics
from detectors.learning.statistics import Flags, Floats, Ints
from replay.backtest.cases import NO_CASE, ORANGE, YELLOW, Steps
from replay.backtest.naming import worst_each_month
from replay.backtest.panel import BUDGET_DAYS, BUDGETS, Panel, month_text, sums
from replay.backtest.report import Calibration, CalibrationBin, Separation, Worth, figure, number
from replay.backtest.world import Trait
from replay.backtest.worth import Judge
from replay.in_process import cores

MONTH_DAYS_MAX = 31
SCORE_MILLI_MAX = 700_000
PROBABILITY_EDGES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0)
SCORE_EDGES = (400, 450, 500, 550, 600, 650, 700)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """An order of borrowers: `risk` (rows of the panel,), the highest is the worst; NaN: not ranked.

    separates: it orders all rows, so that its AUC has a meaning. label_days: the horizon of its training labels; None:
    it is not trained.
    """

    name: str
    risk: Floats
    separates: bool = True
    label_days: int | None = None


def usual_ranks(judge: Judge, panel: Panel, lot: Floats) -> list[Rank]:
    """Return the ranks of every backtest; `lot` (rows,) in [0, 1) breaks ties."""
    return [
        case_rank(panel, lot, "cases", judge.everything),
        case_rank(panel, lot, "cases_orange_red", judge.everything, least=ORANGE),
        case_rank(panel, lot, "highest_signal", judge.steps(np.ones(len(judge.world.revisions), np.bool_))),
        Rank(name="score", risk=-panel.score_milli),
        Rank(name="probability", risk=panel.p),
        Rank(name="lot", risk=lot, separates=False),
    ]


def case_rank(panel: Panel, lot: Floats, name: str, steps: Steps, *, least: int = YELLOW) -> Rank:
    """Return the rank of the cases of each month: the gravest first, then the lowest score, then by lot.

    Only cases that were opened or made graver in the closed month, to `least` or above, are ranked.
    """
    level = _gravest(panel, steps)
    score = np.where(np.isnan(panel.score_milli), SCORE_MILLI_MAX, panel.score_milli)
    risk = level * 1e7 + (SCORE_MILLI_MAX - score) + lot
    return Rank(name=name, risk=np.where(level >= least, risk, np.nan), separates=False)


def signal_rank(panel: Panel, lot: Floats, name: str, steps: Steps) -> Rank:
    """Return the rank of the cases of one signal alone: the gravest of the month, then by lot."""
    level = _gravest(panel, steps)
    return Rank(name=name, risk=np.where(level >= YELLOW, level + lot, np.nan), separates=False)


def _gravest(panel: Panel, steps: Steps) -> Ints:
    """Return the highest level of a step of each row (rows,) in the month before its close; NO_CASE: no step."""
    level = np.full(len(panel), NO_CASE, np.int64)
    if not len(panel):
        return level
    width = int(max(panel.day.max(), steps.day.max(initial=0))) + 1
    row = np.searchsorted(panel.enterprise * width + panel.day, steps.owner * width + steps.day)
    inside, row = row < len(panel), np.minimum(row, len(panel) - 1)
    inside &= (panel.enterprise[row] == steps.owner) & (panel.day[row] - steps.day < MONTH_DAYS_MAX)
    np.maximum.at(level, row[inside], steps.after[inside])
    return level


def budgets_of(judge: Judge, panel: Panel, ranks: list[Rank]) -> list[Worth]:
    """Return the worth of each rank at each budget; of trained ranks only those whose label is BUDGET_DAYS."""

    def work(one: tuple[Rank, int]) -> Worth:
        rank, budget = one
        taken = worst_each_month(panel.month, panel.enterprise, panel.day, -rank.risk, budget)
        return judge.worth(rank.name, judge.named(panel.enterprise[taken], panel.day[taken]), budget)

    wanted = [one for one in ranks if one.label_days in (None, BUDGET_DAYS)]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(work, itertools.product(wanted, BUDGETS)))


def separation_of(
    judge: Judge,
    panel: Panel,
    ranks: list[Rank],
    traits: Mapping[str, Trait],
    horizons: tuple[int, ...],
    on_progress: Callable[[str], None],
    *,
    is_dated: bool = True,
) -> Iterator[Separation]:
    """Yield AUC and KS of each rank, of all month ends, by month and by group, for each horizon (days).

    Where outcomes have no dates, months count back from the end of the data instead of the calendar.
    """
    with ThreadPoolExecutor(cores()) as pool:
        for rank in (one for one in ranks if one.separates and one.label_days in (None, *horizons)):
            on_progress(f"AUC and KS of {rank.name}")
            for horizon in (days for days in horizons if rank.label_days in (None, days)):
                usable, bad = panel.matured(horizon) & ~np.isnan(rank.risk), panel.bad(horizon)
                groups = _groups(panel, traits, usable, bad, is_dated)
                yield from pool.map(partial(_separation, judge, panel, rank, horizon, bad), groups)


def _separation(
    judge: Judge, panel: Panel, rank: Rank, horizon: int, bad: Flags, group: tuple[str, str, Flags]
) -> Separation:
    by, name, rows = group
    found = statistics.separation(rank.risk[rows], bad[rows], panel.enterprise[rows], judge.weights)
    return Separation(
        rank=rank.name, horizon_days=horizon, by=by, group=name, bad=found.bad,
        auc=figure(found.auc), ks=figure(found.ks),
    )  # fmt: skip


def _groups(
    panel: Panel, traits: Mapping[str, Trait], usable: Flags, bad: Flags, is_dated: bool
) -> Iterator[tuple[str, str, Flags]]:
    yield "all", "", usable
    months = panel.month if is_dated else 1 + (panel.left - 1) // 30
    for month in np.unique(months[usable]).tolist():
        by, group = ("month", month_text(month)) if is_dated else ("before", str(month))
        yield by, group, usable & (months == month)
    for by, trait in traits.items():
        of = trait.of[panel.enterprise]
        for number_, name in enumerate(trait.names):
            rows = usable & (of == number_)
            if by == "scenario":
                rows = usable & ((of == number_) | ~bad)  # its bad ones among all good ones
                if not (bad & rows & (of == number_)).any():
                    continue
            if rows.any():
                yield by, name, rows


def calibration_of(judge: Judge, panel: Panel, horizons: tuple[int, ...]) -> Iterator[Calibration]:
    """Yield the observed bad rate of month ends by band of probability and of score."""
    scored = ~np.isnan(panel.p)
    for by, group, rows in [("all", "", scored)] + [
        ("month", month_text(month), scored & (panel.month == month)) for month in np.unique(panel.month).tolist()
    ]:
        yield _calibration(judge, panel, panel.p, PROBABILITY_EDGES, "probability", horizons[0], by, group, rows)
    for horizon in horizons:
        score = panel.score_milli / 1000
        yield _calibration(judge, panel, score, SCORE_EDGES, "score", horizon, "all", "", scored)


def _calibration(
    judge: Judge,
    panel: Panel,
    values: Floats,
    edges: tuple[float, ...],
    of: str,
    horizon: int,
    by: str,
    group: str,
    rows: Flags,
) -> Calibration:
    rows = rows & panel.matured(horizon)
    bad, owner = panel.bad(horizon), panel.enterprise
    expects = of == "probability"
    bins = []
    for low, high in itertools.pairwise(edges):
        inside = rows & (values >= low) & ((values < high) | (high == edges[-1]))
        observed = statistics.ratio(
            sums(owner[inside], judge.n, bad[inside]), sums(owner[inside], judge.n), judge.weights
        )
        mean = float(values[inside].mean()) if expects and inside.any() else np.nan
        bins.append(CalibrationBin(low=low, high=high, expected=number(mean), observed=figure(observed)))
    ratio = None
    if expects:
        expected = sums(owner[rows], judge.n, values[rows])
        found = sums(owner[rows], judge.n, bad[rows])
        ratio = figure(statistics.ratio(expected, found, judge.weights))
    return Calibration(of=of, horizon_days=horizon, by=by, group=group, ratio=ratio, bins=bins)
