"""From a world and its truth to the figures of the report, in the order in which they are computed."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.case_table import CaseTable
from detectors.learning import statistics
from detectors.learning.statistics import Floats
from domain.calendar import date_of
from replay.backtest.dispositions import dispositions_of
from replay.backtest.load import load_of
from replay.backtest.naming import LOOKBACK_DAYS, REPEAT_DAYS
from replay.backtest.panel import (
    LONG_DAYS,
    SHORT_DAYS,
    Panel,
    Window,
    panel_of,
    standing,
    sums,
    window_of,
)
from replay.backtest.ranks import (
    Rank,
    budgets_of,
    calibration_of,
    case_rank,
    separation_of,
    signal_rank,
    usual_ranks,
)
from replay.backtest.report import Counts, GroupWorth, Parameters, Worth, figure, number
from replay.backtest.signal_worth import WARNED_DAYS, BySignal, by_signal, signal_worths
from replay.backtest.truth import Truth
from replay.backtest.world import Trait, World, trait
from replay.backtest.worth import Judge, judge, urgent

PARTS = ("ceilings", "ranks", "timelines")  # that may be left out; without ranks no ceilings either
Progress = Callable[[str], None]
Ceilings = Callable[[Panel, World, tuple[int, ...], Progress], list[Rank]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """The options of a backtest that its figures depend on."""

    warm_up_days: int
    seed: int
    resamples: int
    without: frozenset[str] = frozenset()  # of PARTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures, and the data that timelines need."""

    parameters: Parameters
    counts: Counts
    judge: Judge
    panel: Panel
    figures: dict[str, Any]


def measure(
    world: World,
    truth: Truth,
    options: MeasureOptions,
    ceilings: Ceilings,
    table: CaseTable | None,
    on_progress: Progress,
) -> Measured:
    """Return the figures. `ceilings` returns the ranks of models trained on the same month ends.

    table: what the claim of a case is made of; None: cases are as high as their highest signal.
    """
    window = window_of(world, truth, options.warm_up_days)
    stands = standing(world, truth, window)
    weights = statistics.poisson_weights(options.resamples, len(world.ids), options.seed)
    one, panel = judge(world, window, stands, weights), panel_of(world, window, stands)
    traits: dict[str, Trait] = {"scenario": trait(truth.scenario), **world.traits}
    if len(traits["scenario"].names) < 2:
        del traits["scenario"]
    horizons = (SHORT_DAYS, LONG_DAYS) if truth.is_dated else (LONG_DAYS,)
    on_progress(f"{len(panel):,} month ends of borrowers at risk, {int(stands.goes_bad.sum()):,} of them go bad")
    on_progress("measuring the load on desks")
    found = by_signal(one, panel, table)
    figures: dict[str, Any] = {
        "load": load_of(one, panel),
        "cases": _cases(one),
        "signals": list(signal_worths(one, found)),
        "groups": _groups(one, traits),
        "dispositions": dispositions_of(one),
        "budgets": [],
        "separation": [],
        "calibration": [],
    }
    if "ranks" not in options.without:
        lot = _lots(world)[panel.enterprise]
        ranks = usual_ranks(one, panel, lot)
        if "ceilings" not in options.without:
            on_progress("training the ceilings")
            ranks += ceilings(panel, world, horizons, on_progress)
        on_progress("evaluating the ranks")
        figures["budgets"] = [*budgets_of(one, panel, ranks), *_signal_budgets(one, panel, lot, found, on_progress)]
        figures["separation"] = list(
            separation_of(one, panel, ranks, traits, horizons, on_progress, is_dated=truth.is_dated)
        )
        figures["calibration"] = list(calibration_of(one, panel, horizons))
    return Measured(
        parameters=_parameters(world, truth, window, options),
        counts=_counts(one, panel, truth),
        judge=one,
        panel=panel,
        figures=figures,
    )


def _lots(world: World) -> Floats:
    """Return a number in [0, 1) for each enterprise, float64: CRC-32 of its id, the same in every world."""
    return np.array([zlib.crc32(name.encode()) / 2**32 for name in world.ids])


def _cases(one: Judge) -> list[Worth]:
    found = one.everything
    worths = []
    for name, steps in (("orange_red", urgent(found)), ("all", found)):
        counted = sums(steps.owner[one.at_risk(steps.owner, steps.day)], one.n)
        worths.append(one.worth(name, one.named(steps.owner, steps.day), count=counted))
    return worths


def _signal_budgets(one: Judge, panel: Panel, lot: Floats, found: BySignal, on_progress: Progress) -> list[Worth]:
    worths = list[Worth]()
    for signal in found.signals:
        on_progress(f"signal {signal.name} alone and left out")
        alone = signal_rank(panel, lot, f"alone {signal.name}", signal.alone)
        without = case_rank(panel, lot, f"without {signal.name}", signal.without)
        worths += budgets_of(one, panel, [alone, without])
    return worths


def _groups(one: Judge, traits: Mapping[str, Trait]) -> list[GroupWorth]:
    steps = urgent(one.everything)
    counted = sums(steps.owner[one.at_risk(steps.owner, steps.day)], one.n)
    named = one.named(steps.owner, steps.day)
    warned, could = one.warned(named, WARNED_DAYS)
    right, matured, _ = one.right(named, LONG_DAYS)
    found = []
    for by, group in traits.items():
        for number_, name in enumerate(group.names):
            inside = (group.of == number_).astype(np.float64)
            exposure = one.exposure * inside
            if not exposure.sum():
                continue
            n = round(float((counted * inside).sum()))
            found.append(
                GroupWorth(
                    by=by,
                    group=name,
                    borrower_months=number(float(exposure.sum())) or 0.0,
                    per_1000_borrowers=figure(statistics.ratio(counted * inside, exposure, one.weights, n), 1000),
                    bad=int((one.standing.goes_bad & (group.of == number_)).sum()),
                    warned_60=figure(statistics.ratio(warned * inside, could * inside, one.weights)),
                    precision_year=figure(statistics.ratio(right * inside, matured * inside, one.weights)),
                )
            )
    return found


def _parameters(world: World, truth: Truth, window: Window, options: MeasureOptions) -> Parameters:
    return Parameters(
        log_first=date_of(world.first_day).isoformat(),
        log_last=date_of(world.last_day).isoformat(),
        judged_first=date_of(window.first).isoformat(),
        judged_last=date_of(window.last).isoformat(),
        outcomes_known_until=date_of(window.known_until if truth.is_dated else world.last_day).isoformat(),
        warm_up_days=options.warm_up_days,
        lookback_days=LOOKBACK_DAYS,
        repeat_days=REPEAT_DAYS,
        seed=options.seed,
        resamples=options.resamples,
        without=sorted(options.without),
        truth="labels" if not truth.is_dated else "file" if truth.source else "log",
    )


def _counts(one: Judge, panel: Panel, truth: Truth) -> Counts:
    stands = one.standing
    has_row = np.zeros(one.n, np.bool_)
    has_row[panel.enterprise] = True
    borrower = one.exposure > 0
    bad = sums(np.flatnonzero(stands.goes_bad & borrower), one.n)
    borrowed = one.exposure if truth.is_dated else np.zeros(one.n)  # a label is of no time
    rate = statistics.ratio(bad, borrowed, one.weights, round(float(bad.sum())))
    return Counts(
        records=0,
        enterprises=one.n,
        borrowers=int(borrower.sum()),
        borrower_months=number(float(one.exposure.sum())) or 0.0,
        without_truth=int((~truth.known).sum()),
        bad_at_start=int(stands.bad_at_start.sum()),
        bad=int(stands.goes_bad.sum()),
        defaulted=int((stands.goes_bad & (stands.default_day <= one.window.known_until)).sum()),
        bad_without_row=int((stands.goes_bad & ~has_row).sum()),
        month_rows=len(panel),
        month_rows_without_score=int(np.isnan(panel.score_milli).sum()),
        censored_short=int((~panel.matured(SHORT_DAYS)).sum()),
        censored_long=int((~panel.matured(LONG_DAYS)).sum()),
        bad_rate_year=figure(rate, 12),
    )
