"""Cut-offs of a case's levels that follow from a budget, and the curve of what more or fewer cases would catch."""

import msgspec
import numpy as np

from config.case_table import Budget
from replay.backtest.cases import ORANGE, RED, YELLOW
from replay.case_points.claim import NEVER_CUT, Claim
from replay.case_points.worlds import Judged, rate, worth

KEPT = 0.93  # of a budget: the same cut-offs bring some 6% more or fewer cases in another world
RED_SHARE = 1 / 12  # of the orange and red cases: the worst, to be called within a day
STEP_MILLI = 20
LEAST_MILLI, MOST_MILLI = -6_000, 4_000
CURVE = (3, 6, 9, 12, 18, 24, 36)  # orange and red cases of 1,000 borrowers a month


def with_cutoffs(worlds: list[Judged], claim: Claim, budget: Budget) -> Claim:
    """Return the claim with the lowest cut-offs that keep the budget: red first, then orange, then yellow."""
    claim = _with_high(worlds, claim, budget.orange_red_per_1000_month)
    return _lowest(worlds, claim, YELLOW, YELLOW, KEPT * budget.yellow_per_1000_month, int(claim.cut[ORANGE]) - 1)


def with_orange_of(worlds: list[Judged], claim: Claim, cases: float) -> Claim:
    """Return the claim with the lowest orange cut-off that brings at most so many cases to orange and red.

    cases: of 1,000 borrowers a month. The other cut-offs stay.
    """
    own = int(claim.cut[ORANGE])
    high = own if rate(worlds, claim, ORANGE) <= cases else int(claim.cut[RED]) - 1
    return _lowest(worlds, claim, ORANGE, RED, cases, high)


def curve(worlds: list[Judged], claim: Claim, budget: Budget) -> tuple[tuple[int, ...], ...]:
    """Return what other budgets of orange and red cases bring: points of the curve of a case table, with cut-offs.

    The budget of yellow cases stays. A cut-off never rises with the number of cases.
    """
    found, cut = [], np.full_like(claim.cut, NEVER_CUT)
    for cases in CURVE:
        at = with_cutoffs(worlds, claim, msgspec.structs.replace(budget, orange_red_per_1000_month=cases))
        cut = np.minimum(cut, at.cut)
        brings = worth(worlds, at._replace(cut=cut))
        found.append((cases, _ppm(brings.caught), _ppm(brings.precision), *map(int, cut[1:])))
    return tuple(found)


def _with_high(worlds: list[Judged], claim: Claim, cases: float) -> Claim:
    claim = claim._replace(cut=np.array([-NEVER_CUT, NEVER_CUT, NEVER_CUT, NEVER_CUT], np.int32))
    claim = _lowest(worlds, claim, RED, RED, KEPT * cases * RED_SHARE, MOST_MILLI)
    return _lowest(worlds, claim, ORANGE, RED, KEPT * cases, int(claim.cut[RED]) - 1)


def _lowest(worlds: list[Judged], claim: Claim, level: int, most: int, budget: float, high: int) -> Claim:
    """Return the claim with the lowest cut-off of a level with which steps to `level` … `most` stay in the budget."""
    low = LEAST_MILLI
    cut = claim.cut.copy()
    while high - low > STEP_MILLI:
        cut[level] = middle = (low + high) // 2
        if rate(worlds, claim._replace(cut=cut.copy()), level, most) <= budget:
            high = middle
        else:
            low = middle
    cut[level] = high
    return claim._replace(cut=cut)


def _ppm(share: float) -> int:
    return 0 if np.isnan(share) else round(share * 1e6)
