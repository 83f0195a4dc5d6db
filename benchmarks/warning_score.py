"""The score that learns, in the simulated province: champion, prior, and offline models on the same month ends.

Each world is judged three times as `xinliu backtest` does: by the prior alone, with boosted models trained on the same
month ends (ceilings: they see the outcomes of other borrowers of the same time), and with the learner in the loop, once
with the guard and once with each candidate accepted. One more world drifts in its second year. A learner makes a
candidate each month of each world, so the worlds are smaller than those of warning.py; shares are of all their defaults
together.
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

ENTERPRISES = 2_000  # of each world
DRIFT_SEED, DRIFT = 15, 1.0
SHARE_LEAST = 0.9  # of what the best offline model catches, at each budget
COMPARED_BUDGETS = BUDGETS[1:]
LEAD = "30"  # days before: a default counts as caught when a rank named it so early
CASES_LEAD = "60"  # and when a case did
OFFLINE = ("lightgbm", "stumps")
WAYS = {
    "prior": Options(without=frozenset({"timelines"}), processes=1),
    "guarded": Options(without=frozenset({"timelines", "ceilings"}), learn=LearnSettings(), processes=1),
    "accepted": Options(
        without=frozenset({"timelines", "ceilings"}), learn=LearnSettings(), accepts_all=True, processes=1
    ),
}
MODELS = {"prior": "prior", "guarded": "guarded", "champion": "accepted"}  # how figures name a way
BOUNDS = {"caught_against_offline_least": results.Bound(least=SHARE_LEAST)}


def options_of(way: str, truth: Path) -> Options:
    """Return the options of a backtest of one of WAYS."""
    return dataclasses.replace(WAYS[way], truth=truth)


def figures(reports: dict[str, Report]) -> dict[str, Any]:
    """Return the figures of a world, from a report by each of WAYS."""
    return {way: _figures(report) for way, report in reports.items()}


def report(worlds: list[dict[str, Any]], args: argparse.Namespace) -> int:
    """Write the result; return 1 where the accepted champion falls short of a bound."""
    return results.report("warning_score", args, {"worlds": worlds, **_together(worlds)}, BOUNDS)


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
        "cases": {
            "per_1000": sum(one.per_1000_borrowers.value or 0.0 for one in one.load if one.level == "orange_red"),
            "caught": msgspec.to_builtins(one.cases[0].warned[CASES_LEAD]),
            "right": msgspec.to_builtins(one.cases[0].precision[str(LONG_DAYS)]),
        },
        "learned": None if one.learned is None else msgspec.to_builtins(one.learned),
        "models": len(one.provenance.models),
    }


def _together(worlds: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the scalar figures of all worlds together."""
    found: dict[str, float | None] = {}
    shares = []
    for budget in COMPARED_BUDGETS:
        best = max(_caught(worlds, "prior", name, budget) for name in OFFLINE)
        found[f"offline_caught_{budget}"] = round(best, 4)
        for name, way in MODELS.items():
            caught = _caught(worlds, way, "probability", budget)
            found[f"{name}_caught_{budget}"] = round(caught, 4)
            if way == "accepted":
                shares.append(caught / best)
    for name, way, rank in (*((name, way, "probability") for name, way in MODELS.items()), ("offline", "prior", None)):
        for days in (SHORT_DAYS, LONG_DAYS):
            at = f"{rank or f'{OFFLINE[0]}_{days}'}, {days} days"
            aucs = [world[way]["auc"][at]["value"] for world in worlds if at in world[way]["auc"]]
            known = [auc for auc in aucs if auc is not None]
            found[f"{name}_auc_{days}"] = round(sum(known) / len(known), 4) if known else None
    for name, way in MODELS.items():
        found[f"{name}_cases"] = round(sum(world[way]["cases"]["per_1000"] for world in worlds) / len(worlds), 2)
        found[f"{name}_cases_caught"] = round(_pooled([world[way]["cases"]["caught"] for world in worlds]), 4)
        found[f"{name}_cases_right"] = round(_pooled([world[way]["cases"]["right"] for world in worlds]), 4)
    found["caught_against_offline_least"] = round(min(shares), 4)
    return found


def _caught(worlds: list[dict[str, Any]], way: str, rank: str, budget: int) -> float:
    return _pooled([world[way]["caught"][f"{rank}, {budget}"][LEAD] for world in worlds])


def _pooled(shares: list[dict[str, Any]]) -> float:
    """Return the share of all observations together, of shares with their numbers; 0 where there are none."""
    total = sum(one["n"] for one in shares)
    return sum(one["value"] * one["n"] for one in shares if one["n"]) / total if total else 0.0
