"""The score that learns, in the simulated province: champion, prior, and offline models on the same month ends.

Each world is judged three times as `xinliu backtest` does: by the prior alone, with boosted models trained on the same
month ends (ceilings: they see the outcomes of other borrowers of the same time), and with the learner in the loop, once
with the guard and once with each candidate accepted. One more world drifts in its second year.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import results
from config.settings import LearnSettings
from replay.backtest.panel import BUDGETS, LONG_DAYS, SHORT_DAYS
from replay.backtest.report import Report
from replay.backtest.run import Options

DRIFT_SEED, DRIFT = 15, 1.0
SHARE_LEAST = 0.9  # of what the best offline model catches, at each budget
COMPARED_BUDGETS = BUDGETS[1:]
LEAD = "30"  # days before: a default counts as caught when it was named so early
OFFLINE = ("lightgbm", "stumps")
WAYS = {
    "prior": Options(without=frozenset({"timelines"}), processes=1),
    "guarded": Options(without=frozenset({"timelines", "ceilings"}), learn=LearnSettings(), processes=1),
    "accepted": Options(
        without=frozenset({"timelines", "ceilings"}), learn=LearnSettings(), accepts_all=True, processes=1
    ),
}
BOUNDS = {"caught_against_offline_least": results.Bound(least=SHARE_LEAST)}


def options_of(way: str, truth: Path) -> Options:
    """Return the options of a backtest of one of WAYS."""
    return dataclasses.replace(WAYS[way], truth=truth)


def figures(reports: dict[str, Report]) -> dict[str, Any]:
    """Return the figures of a world, from a report by each of WAYS."""
    found = {way: _figures(report) for way, report in reports.items()}
    return {**found, "caught_against_offline": _against_offline(found)}


def report(worlds: list[dict[str, Any]], args: argparse.Namespace) -> int:
    """Write the result; return 1 where the accepted champion falls short of a bound in any world."""
    least = min((share for one in worlds for share in one["caught_against_offline"].values()), default=None)
    return results.report("warning_score", args, {"worlds": worlds, "caught_against_offline_least": least}, BOUNDS)


def _figures(one: Report) -> dict[str, Any]:
    ranks = ("probability", *OFFLINE, *(f"{name}_{days}" for name in OFFLINE for days in (SHORT_DAYS, LONG_DAYS)))
    return {
        "auc": {
            f"{each.rank}, {each.horizon_days} days": msgspec.to_builtins(each.auc)
            for each in one.separation
            if each.by == "all" and each.rank in ranks
        },
        "caught": {
            f"{each.policy}, {each.budget}": msgspec.to_builtins(each.warned)
            for each in one.budgets
            if each.policy in ranks
        },
        "calibration": [
            msgspec.to_builtins(each) for each in one.calibration if each.of == "probability" and each.by == "all"
        ],
        "learned": None if one.learned is None else msgspec.to_builtins(one.learned),
        "models": len(one.provenance.models),
    }


def _against_offline(found: dict[str, Any]) -> dict[str, float]:
    """Return by budget what the accepted champion catches against the best offline model."""
    shares = {}
    for budget in COMPARED_BUDGETS:
        ours = _caught(found["accepted"], "probability", budget)
        best = max((_caught(found["prior"], name, budget) or 0.0 for name in OFFLINE), default=0.0)
        if ours is not None and best:
            shares[str(budget)] = round(ours / best, 4)
    return shares


def _caught(way: dict[str, Any], rank: str, budget: int) -> float | None:
    worth = way["caught"].get(f"{rank}, {budget}")
    return None if worth is None else worth[LEAD]["value"]
