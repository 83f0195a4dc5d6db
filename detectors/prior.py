"""The model before any label: `prior-0`, the catalogue's expert weights and anchors.

Each group's points (CATALOGUE 7) go to those of its indicators that stand by now. Odds of 20:1 at 550 points that
double every 30 give the intercept and slope (scoring.md).
"""

import math
from functools import cache

from config.catalogue import anchors, indicators
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI, Snapshot, content_id
from features.indicators import CORE

GROUP_POINTS = {
    "fund_scale": 45,
    "flow_stability": 55,
    "transaction_activity": 35,
    "income_growth": 50,
    "counterparty_structure": 45,
    "repayment_capacity": 70,
}


@cache
def prior_snapshot() -> Snapshot:
    """The snapshot that scores until a `control` record activates another."""
    groups = [indicators()[name].group for name in CORE]
    weights = {
        name: GROUP_POINTS[group] * 1_000 // groups.count(group) for name, group in zip(CORE, groups, strict=True)
    }
    weights[CORE[0]] += WEIGHT_SUM_MILLI - sum(weights.values())
    slope = 300 / 30 * math.log(2)
    return Snapshot(
        parent_id=None,
        prior=True,
        weights_milli=weights,
        intercept_micro=round((slope / 2 - math.log(20)) * MICRO),
        slope_micro=round(slope * MICRO),
        anchors_micro={name: tuple(round(a * MICRO) for a in anchors()[name]) for name in CORE},  # type: ignore[misc]
    )


@cache
def prior_id() -> str:
    """Its content id."""
    return content_id(prior_snapshot().encode())
