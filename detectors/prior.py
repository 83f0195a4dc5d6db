"""The model before any label: `prior-0`, the catalogue's expert weights and anchors.

Each group's points (docs/scoring.md) are divided over those of its indicators that are implemented, in proportion to
their own points (`config/anchors.csv`). One of 0 points has no expert weight: learning alone weighs it. Odds of 20:1 at
550 points that double every 30 give the intercept and slope.
"""

import math
from functools import cache

from config.catalogue import anchors, expert_points, indicators
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI, Snapshot, content_id, of_format_1
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
    """Return the snapshot that scores until a control record activates another."""
    return _over(tuple(name for name in CORE if expert_points()[name] > 0))


@cache
def core_snapshot() -> Snapshot:
    """Return the prior over all core indicators: those without points weigh nothing.

    It gives an indicator that a snapshot does not name its anchors.
    """
    return _over(CORE)


def _over(names: tuple[str, ...]) -> Snapshot:
    weights = {name: milli for group in GROUP_POINTS for name, milli in _weights_milli(group).items()}
    assert sum(weights.values()) == WEIGHT_SUM_MILLI
    slope = 300 / 30 * math.log(2)
    return of_format_1(
        parent_id=None,
        prior=True,
        weights_milli={name: weights[name] for name in names},
        intercept_micro=round((slope / 2 - math.log(20)) * MICRO),
        slope_micro=round(slope * MICRO),
        anchors_micro={name: tuple(round(a * MICRO) for a in anchors()[name]) for name in names},
    )


def _weights_milli(group: str) -> dict[str, int]:
    """Return the millipoints of a group's indicators, which sum to the group's, by largest remainder.

    Ties in their order.
    """
    points = {name: expert_points()[name] for name in CORE if indicators()[name].group == group}
    wanted, among = GROUP_POINTS[group] * 1_000, sum(points.values())
    weights = {name: wanted * its // among for name, its in points.items()}
    by_remainder = sorted(points, key=lambda name: -(wanted * points[name] % among))
    for name in by_remainder[: wanted - sum(weights.values())]:
        weights[name] += 1
    return weights


@cache
def prior_id() -> str:
    """Return the content id of the prior."""
    return content_id(prior_snapshot().encode())
