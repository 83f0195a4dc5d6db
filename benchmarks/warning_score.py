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
            "per_1000": sum(each.per_1000_borrowers.value or 0.0 for each in one.load if each.level == "orange_red"),
            "caught": msgspec.to_builtins(one.cases[0].warned[CASES_LEAD]),
            "right": msgspec.to_builtins(one.cases[0].precision[str(LONG_DAYS)]),
        },
        "learned": None if one.learned is None else msgspec.to_builtins(one.learned),
        "models": len(one.provenance.models),
    }


def _together(worlds: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the scalar figures of all worlds together; None where a world is too small for them."""
    found: dict[str, float | None] = {}
    shares: list[float | None] = []
    for budget in COMPARED_BUDGETS:
        offline = [_caught(worlds, "prior", name, budget) for name in OFFLINE]
        best = None if None in offline else max(caught for caught in offline if caught is not None)
        found[f"offline_caught_{budget}"] = best
        for name, way in MODELS.items():
            found[f"{name}_caught_{budget}"] = _caught(worlds, way, "probability", budget)
        ours = found[f"champion_caught_{budget}"]
        shares.append(round(ours / best, 4) if ours is not None and best else None)
    for days in (SHORT_DAYS, LONG_DAYS):
        for name, way in MODELS.items():
            found[f"{name}_auc_{days}"] = _mean_auc(worlds, way, f"probability, {days} days")
        found[f"offline_auc_{days}"] = _mean_auc(worlds, "prior", f"{OFFLINE[0]}_{days}, {days} days")
    for name, way in MODELS.items():
        cases = [world[way]["cases"] for world in worlds]
        found[f"{name}_cases"] = round(sum(one["per_1000"] for one in cases) / len(cases), 2)
        found[f"{name}_cases_caught"] = _pooled([one["caught"] for one in cases])
        found[f"{name}_cases_right"] = _pooled([one["right"] for one in cases])
    known = [share for share in shares if share is not None]
    found["caught_against_offline_least"] = min(known) if len(known) == len(shares) else None
    return found


def _caught(worlds: list[dict[str, Any]], way: str, rank: str, budget: int) -> float | None:
    by_world = [world[way]["caught"].get(f"{rank}, {budget}") for world in worlds]
    return None if None in by_world else _pooled([one[LEAD] for one in by_world])


def _pooled(shares: list[dict[str, Any]]) -> float | None:
    """Return the share of all observations together, of shares with their numbers; None where there are none."""
    total = sum(one["n"] for one in shares)
    return round(sum(one["value"] * one["n"] for one in shares if one["n"]) / total, 4) if total else None


def _mean_auc(worlds: list[dict[str, Any]], way: str, at: str) -> float | None:
    aucs = [(world[way]["auc"].get(at) or {}).get("value") for world in worlds]
    return None if None in aucs else round(sum(aucs) / len(aucs), 4)
