"""The monotone scorecard: indicators to utilities in [0, 1], to integer millipoints that add up, to 400-700.

`score = 400,000 + sum(round_half_even(w_i * u_i)) + cap` millipoints. A utility is piecewise linear on five anchors, so
a better indicator never lowers the score; nulls are resolved here and nowhere else: not applicable is neutral (0.5),
not computable is min(0.35, its last computable utility), so that hiding an input never pays (CATALOGUE 7).
"""

from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from config.catalogue import indicators
from detectors.snapshot import MICRO, Snapshot, SnapshotError
from domain.outputs import GROUPS
from features.indicators import CORE, CORE_COUNT
from features.indicators.core import DPD_MAX, NOT_APPLICABLE, SHORT_HISTORY, VALUE

FLOOR_MILLI, CEILING_MILLI = 400_000, 700_000
GRADES = ("A", "B", "C", "D", "E", "F")
PUBLISHED, PROVISIONAL, WITHHELD = range(3)
STATUS_NAMES = ("published", "provisional", "withheld")
NO_REASON, LOW_COVERAGE, LOW_REPAYMENT_COVERAGE, YOUNG, FEW_TXNS = range(5)
STATUS_REASONS = ("", "coverage", "repayment_coverage", "history_under_28_days", "under_20_transactions")
REASONS_MAX = 5
_REPAYMENT = GROUPS.index("repayment_capacity")
_NEUTRAL, _UNKNOWN_MOST = 0.5, 0.35
_BAND_MILLI, _GRADE_MARGIN_MILLI, _CLOSES_OVER_BAND = 50_000, 5_000, 3


class Scorecard(NamedTuple):
    """A snapshot as arrays for the kernel. Shapes: (CORE_COUNT,), anchors (CORE_COUNT, 5)."""

    weight_milli: npt.NDArray[np.int64]
    anchor: npt.NDArray[np.float64]  # in log10(1 + x) where `logarithmic`
    logarithmic: npt.NDArray[np.uint8]
    falling: npt.NDArray[np.uint8]  # higher is riskier
    group: npt.NDArray[np.int64]  # index into GROUPS


def scorecard(snapshot: Snapshot) -> Scorecard:
    """The arrays of a snapshot. SnapshotError where it scores other indicators than this engine computes."""
    if odd := sorted(set(snapshot.weights_milli) ^ set(CORE)):
        raise SnapshotError(f"the model and this engine differ in the indicators {', '.join(odd)}")
    rows = [indicators()[name] for name in CORE]
    logarithmic = np.array([row.unit == "cny" for row in rows], np.uint8)
    anchor = np.array([snapshot.anchors_micro[name] for name in CORE], np.float64) / MICRO
    for i in np.flatnonzero(logarithmic):
        anchor[i] = [log10_1p(x) for x in anchor[i]]
    return Scorecard(
        weight_milli=np.array([snapshot.weights_milli.get(name, 0) for name in CORE], np.int64),
        anchor=anchor,
        logarithmic=logarithmic,
        falling=np.array([row.higher_is_riskier for row in rows], np.uint8),
        group=np.array([GROUPS.index(row.group) for row in rows], np.int64),
    )


def probabilities_ppm(snapshot: Snapshot) -> tuple[int, ...]:
    """p_overdue30_90d in ppm for the displayed scores 400..700, by decimal arithmetic: equal on every machine."""
    with localcontext() as context:
        context.prec = 30
        intercept, slope = Decimal(snapshot.intercept_micro) / MICRO, Decimal(snapshot.slope_micro) / MICRO
        return tuple(
            int((MICRO / (1 + (slope * points / 300 - intercept).exp())).to_integral_value()) for points in range(301)
        )


@njit(cache=True)
def log10_1p(x):
    """log10(1 + x), signed for negative x, by IEEE operations alone: libm's differs in the last bit between CPUs."""
    y = 1.0 + abs(x)
    exponent = 0
    while y >= 1.4142135623730951:
        y *= 0.5
        exponent += 1
    z = (y - 1.0) / (y + 1.0)  # ln y = 2 artanh z, |z| < 0.172
    square, power, total = z * z, z, 0.0
    for k in range(1, 22, 2):
        total += power / k
        power *= square
    result = (2.0 * total + exponent * 0.6931471805599453) / 2.302585092994046
    return result if x >= 0 else -result


@njit(cache=True)
def utility(card, i, x):
    """u_i in [0, 1]."""
    if card.logarithmic[i]:
        x = log10_1p(x)
    anchor = card.anchor[i]
    if x <= anchor[0]:
        u = 0.0
    elif x >= anchor[4]:
        u = 1.0
    else:
        k = 0
        while x >= anchor[k + 1]:
            k += 1
        u = (k + (x - anchor[k]) / (anchor[k + 1] - anchor[k])) * 0.25
    return 1.0 - u if card.falling[i] else u


@njit(cache=True)
def assess(card, e, x, closing):
    """Fill in what the indicators x.value and x.null say of enterprise e: utilities, points, score, status, grade."""
    _score(card, e, x)
    _status(card, e, x)
    _publish(e, x, closing)
    _rank_reasons(card, x.points_milli, x.reasons)
    e.score_milli = x.score_milli


@njit(cache=True)
def _score(card, e, x):
    total = FLOOR_MILLI
    for i in range(CORE_COUNT):
        if x.null[i] == VALUE:
            x.u[i] = utility(card, i, x.value[i])
            e.utility_last[i] = x.u[i]
        elif x.null[i] == NOT_APPLICABLE:
            x.u[i] = _NEUTRAL
        else:
            x.u[i] = min(_UNKNOWN_MOST, e.utility_last[i])
        x.points_milli[i] = np.int64(np.rint(card.weight_milli[i] * x.u[i]))  # half to even
        total += x.points_milli[i]
    if x.null[DPD_MAX] == VALUE:
        e.dpd_latched = x.value[DPD_MAX]
    elif x.null[DPD_MAX] == NOT_APPLICABLE:
        e.dpd_latched = 0
    most = 449_000 if e.dpd_latched > 90 else 499_000 if e.dpd_latched > 30 or e.frozen else CEILING_MILLI
    x.cap_milli = min(0, most - total)
    x.score_milli = total + x.cap_milli


@njit(cache=True)
def _status(card, e, x):
    """Coverage is computable over applicable weight, leaving out what the enterprise's age alone forbids."""
    applicable, computable, of_repayment, known_of_repayment = 0, 0, 0, 0
    for i in range(CORE_COUNT):
        if x.null[i] == NOT_APPLICABLE or x.null[i] == SHORT_HISTORY:
            continue
        weight = card.weight_milli[i]
        applicable += weight
        of_repayment += weight * (card.group[i] == _REPAYMENT)
        if x.null[i] == VALUE:
            computable += weight
            known_of_repayment += weight * (card.group[i] == _REPAYMENT)
    x.coverage_ppm = computable * 1_000_000 // applicable if applicable else 0
    if x.coverage_ppm < 300_000:
        x.status, x.status_reason = WITHHELD, LOW_COVERAGE
    elif x.coverage_ppm < 600_000:
        x.status, x.status_reason = PROVISIONAL, LOW_COVERAGE
    elif 2 * known_of_repayment < of_repayment:
        x.status, x.status_reason = PROVISIONAL, LOW_REPAYMENT_COVERAGE
    elif x.history_days < 28:
        x.status, x.status_reason = PROVISIONAL, YOUNG
    elif e.txn_count < 20:
        x.status, x.status_reason = PROVISIONAL, FEW_TXNS
    else:
        x.status, x.status_reason = PUBLISHED, NO_REASON


@njit(cache=True)
def displayed(score_milli):
    """Millipoints as the integer that people see, half to even."""
    whole, rest = score_milli // 1000, score_milli % 1000
    return whole + 1 if rest > 500 or (rest == 500 and whole % 2 == 1) else whole


@njit(cache=True)
def grade_of(score_milli):
    """0 (A, 650 and over) to 5 (F, under 450)."""
    return min(5, max(0, 5 - (score_milli - FLOOR_MILLI) // _BAND_MILLI))


@njit(cache=True)
def _publish(e, x, closing):
    """The published grade moves five points past its band, or after three closes over it."""
    raw, published = grade_of(x.score_milli), e.published_grade
    if raw == published:
        e.closes_over_band = 0
    elif published < 0:
        e.published_grade = raw
    else:
        low = FLOOR_MILLI + (5 - published) * _BAND_MILLI
        high = low + _BAND_MILLI
        e.closes_over_band += 1 if closing else 0
        far = x.score_milli < low - _GRADE_MARGIN_MILLI or x.score_milli >= high + _GRADE_MARGIN_MILLI
        if far or e.closes_over_band >= _CLOSES_OVER_BAND:
            e.published_grade, e.closes_over_band = raw, 0
    x.published_grade = e.published_grade


@njit(cache=True)
def _rank_reasons(card, points_milli, order):
    """Fill order (REASONS_MAX) with the indicators furthest below the peer median, worst first; -1 past the last."""
    order[:] = -1
    for i in range(CORE_COUNT):
        below = points_milli[i] - card.weight_milli[i] // 2
        if below >= 0:
            continue
        k = REASONS_MAX
        while k > 0 and (order[k - 1] < 0 or below < points_milli[order[k - 1]] - card.weight_milli[order[k - 1]] // 2):
            k -= 1
            if k + 1 < REASONS_MAX:
                order[k + 1] = order[k]
        if k < REASONS_MAX:
            order[k] = i
