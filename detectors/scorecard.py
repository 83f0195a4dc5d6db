"""The monotone scorecard: indicators to utilities in [0, 1], to integer millipoints that add up, to 400-700.

`score = 400,000 + sum(round_half_even(w_i * u_i)) + cap` millipoints. A utility is piecewise linear on five anchors, so
that a better indicator never lowers the score. Nulls are resolved only here: not applicable is neutral (0.5), not
computable is min(0.35, its last computable utility, rounded down to a millionth), so that hiding an input never pays
(docs/scoring.md).
"""

import math
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import indicators
from detectors.snapshot import MICRO, Snapshot, SnapshotError
from domain.outputs import GROUPS
from features.fields import UTILITY_PPM_MOST
from features.indicators import CORE, CORE_COUNT
from features.indicators.activity import counts_provisional_days
from features.indicators.nulls import NOT_APPLICABLE, SHORT_HISTORY, VALUE
from features.indicators.repayment import DPD_MAX
from kernels.decorators import kernel

FLOOR_MILLI, CEILING_MILLI = 400_000, 700_000
GRADES = ("A", "B", "C", "D", "E", "F")
PUBLISHED, PROVISIONAL, WITHHELD = range(3)
STATUS_NAMES = ("published", "provisional", "withheld")
NO_REASON, LOW_COVERAGE, LOW_REPAYMENT_COVERAGE, YOUNG, FEW_TXNS, ONLY_SILENCE = range(6)
STATUS_REASONS = (
    "",
    "coverage",
    "repayment_coverage",
    "history_under_28_days",
    "under_20_transactions",
    "only_silence",
)
REASONS_MAX = 5
SILENCE = ("days_since_op_credit_days", "days_since_any_txn_days", "top3_payer_silence_max_days")
_REPAYMENT = GROUPS.index("repayment_capacity")
_NEUTRAL, _PPM = 0.5, 1_000_000.0
BAND_MILLI, GRADE_MARGIN_MILLI, CLOSES_OVER_BAND = 50_000, 5_000, 3


_ARTANH = np.array([1.0 / k for k in range(21, 0, -2)])  # artanh z = z * (1 + z^2/3 + z^4/5 + ...)
_ARTANH.setflags(write=False)
_IS_SILENCE = np.array([name in SILENCE for name in CORE])  # known of an enterprise that does nothing at all
_IS_SILENCE.setflags(write=False)


CARD_ROW = np.dtype(
    [
        ("weight_milli", "<i8"),
        ("anchor", "<f8", (5,)),  # in log10(1 + x) where `logarithmic`
        ("inverse", "<f8", (4,)),  # of the distance of two anchors
        ("group", "<i8"),  # index into GROUPS
        ("logarithmic", "<i8"),
        ("falling", "<i8"),  # higher is riskier
    ]
)


CARD_CACHE = np.dtype([("x", "<f8"), ("u", "<f8"), ("milli", "<i8"), ("ppm", "<i8")])


class Scorecard(NamedTuple):
    """A snapshot for the kernel: rows CARD_ROW (CORE_COUNT,), and a cache, CARD_CACHE (CORE_COUNT,).

    The cache holds the last value of each indicator and its result, since most are as at the enterprise's record
    before. So one thread at a time may use a card.
    """

    rows: npt.NDArray[np.void]
    cache: npt.NDArray[np.void]

    def own(self) -> "Scorecard":
        """Return the same card for a thread of its own."""
        return self._replace(cache=self.cache.copy())

    @property
    def weight_milli(self) -> npt.NDArray[np.int64]:
        """Weights in millipoints, int64 (CORE_COUNT,)."""
        weights: npt.NDArray[np.int64] = self.rows["weight_milli"]
        return weights


def scorecard(snapshot: Snapshot) -> Scorecard:
    """Return the card of a snapshot.

    Raise SnapshotError where the snapshot scores other indicators than this engine computes.
    """
    if odd := sorted(set(snapshot.weights_milli) ^ set(CORE)):
        raise SnapshotError(f"the model and this engine differ in the indicators {', '.join(odd)}")
    rows = np.zeros(CORE_COUNT, CARD_ROW)
    for row, name in zip(rows, CORE, strict=True):
        says = indicators()[name]
        anchor = np.array(snapshot.anchors_micro[name], np.float64) / MICRO
        if says.unit == "cny":
            anchor = np.array([log10_1p(x) for x in anchor])
        row["weight_milli"], row["group"] = snapshot.weights_milli[name], GROUPS.index(says.group)
        row["anchor"], row["inverse"] = anchor, 1.0 / np.diff(anchor)
        row["logarithmic"], row["falling"] = says.unit == "cny", says.higher_is_riskier
    cache = np.zeros(CORE_COUNT, CARD_CACHE)
    cache["x"] = np.nan  # equal to no value
    return Scorecard(rows, cache)


def probabilities_ppm(snapshot: Snapshot) -> tuple[int, ...]:
    """Return p_overdue30_90d in ppm for the displayed scores 400..700.

    It is computed in decimal arithmetic, so that it is equal on every machine.
    """
    with localcontext() as context:
        context.prec = 30
        intercept, slope = Decimal(snapshot.intercept_micro) / MICRO, Decimal(snapshot.slope_micro) / MICRO
        return tuple(
            int((MICRO / (1 + (slope * points / 300 - intercept).exp())).to_integral_value()) for points in range(301)
        )


def value_at(card: Scorecard, i: int, u: float) -> float:
    """Return the value of indicator i at which its utility is u: the inverse of `utility` between the outer anchors."""
    row = card.rows[i]
    x = float(np.interp(1.0 - u if row["falling"] else u, (0.0, 0.25, 0.5, 0.75, 1.0), row["anchor"]))
    return math.copysign(10.0 ** abs(x) - 1.0, x) if row["logarithmic"] else x


@kernel
def log10_1p(x):
    """Return log10(1 + x), signed for negative x, by IEEE operations alone: libm's last bit differs between CPUs."""
    y, exponent = math.frexp(1.0 + abs(x))
    if y < 0.7071067811865476:
        y, exponent = 2.0 * y, exponent - 1
    z = (y - 1.0) / (y + 1.0)  # ln y = 2 artanh z, |z| < 0.172
    square, total = z * z, 0.0
    for k in range(_ARTANH.shape[0]):
        total = total * square + _ARTANH[k]
    result = (2.0 * z * total + exponent * 0.6931471805599453) / 2.302585092994046
    return result if x >= 0 else -result


@kernel
def utility(row, x):
    """Return the utility in [0, 1] of value x of the indicator in a card's row."""
    if row.logarithmic:
        x = log10_1p(x)
    anchor = row.anchor
    k = np.int64(x >= anchor[1]) + np.int64(x >= anchor[2]) + np.int64(x >= anchor[3])
    u = (k + min(1.0, max(0.0, (x - anchor[k]) * row.inverse[k]))) * 0.25
    return 1.0 - u if row.falling else u


@kernel
def assess(card, e, x, closing):
    """Fill x with utilities, points, score, status and grade of enterprise e, from indicators x.value and x.null."""
    _score(card, e, x)
    _status(card, e, x)
    _publish(e, x, closing)
    x.provisional_calendar = counts_provisional_days(e)
    _rank_reasons(card, x.points_milli, x.reasons)
    e.score_milli = x.score_milli


@kernel
def _score(card, e, x):
    rows, value, null, u, points, last_ppm = card.rows, x.value, x.null, x.u, x.points_milli, e.utility_ppm
    total = np.int64(FLOOR_MILLI)
    for i in range(CORE_COUNT):
        if null[i] == VALUE:
            cache = card.cache[i]
            if cache.x != value[i]:
                _evaluate(rows[i], value[i], cache)
            u[i], last_ppm[i], points[i] = cache.u, cache.ppm, cache.milli
        else:
            u[i] = _NEUTRAL if null[i] == NOT_APPLICABLE else last_ppm[i] / _PPM
            points[i] = _points_milli(rows[i], u[i])
        total += points[i]
    if x.null[DPD_MAX] == VALUE:
        e.dpd_latched = x.value[DPD_MAX]
    elif x.null[DPD_MAX] == NOT_APPLICABLE:
        e.dpd_latched = 0
    most = 449_000 if e.dpd_latched > 90 else 499_000 if e.dpd_latched > 30 or e.frozen else CEILING_MILLI
    x.cap_milli = min(0, most - total)
    x.score_milli = total + x.cap_milli


@kernel
def _evaluate(row, x, cache):
    cache.x, cache.u = x, utility(row, x)
    cache.ppm = min(UTILITY_PPM_MOST, np.int64(cache.u * _PPM))
    cache.milli = _points_milli(row, cache.u)


@kernel
def _points_milli(row, u):
    return np.int64(np.rint(row.weight_milli * u))  # half to even


@kernel
def _status(card, e, x):
    """Set the status by coverage: computable over applicable weight, without what an enterprise's age alone forbids."""
    rows, null = card.rows, x.null
    applicable, computable, of_repayment, known_of_repayment, only_silence = 0, 0, 0, 0, True
    for i in range(CORE_COUNT):
        if null[i] == NOT_APPLICABLE or null[i] == SHORT_HISTORY:
            continue
        weight, is_repayment = rows[i].weight_milli, rows[i].group == _REPAYMENT
        applicable += weight
        of_repayment += weight * is_repayment
        if null[i] == VALUE:
            computable += weight
            only_silence &= _IS_SILENCE[i]
            known_of_repayment += weight * is_repayment
    x.coverage_ppm = computable * 1_000_000 // applicable if applicable else 0
    if x.coverage_ppm < 300_000:
        x.status, x.status_reason = WITHHELD, LOW_COVERAGE
    elif only_silence:
        x.status, x.status_reason = WITHHELD, ONLY_SILENCE
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


@kernel
def displayed(score_milli):
    """Return millipoints as the integer that people see, rounded half to even."""
    whole, rest = score_milli // 1000, score_milli % 1000
    return whole + 1 if rest > 500 or (rest == 500 and whole % 2 == 1) else whole


@kernel
def grade_of(score_milli):
    """Return the grade of a score in millipoints, from 0 (A, 650 and over) to 5 (F, under 450)."""
    return min(5, max(0, 5 - (score_milli - FLOOR_MILLI) // BAND_MILLI))


@kernel
def _publish(e, x, closing):
    """Move the published grade where the score is five points past its band, or has left it for three closes."""
    raw, published = grade_of(x.score_milli), e.published_grade
    if raw == published:
        e.closes_over_band = 0
    elif published < 0:
        e.published_grade = raw
    else:
        low = FLOOR_MILLI + (5 - published) * BAND_MILLI
        high = low + BAND_MILLI
        e.closes_over_band += 1 if closing else 0
        far = x.score_milli < low - GRADE_MARGIN_MILLI or x.score_milli >= high + GRADE_MARGIN_MILLI
        if far or e.closes_over_band >= CLOSES_OVER_BAND:
            e.published_grade, e.closes_over_band = raw, 0
    x.published_grade = e.published_grade


@kernel
def _rank_reasons(card, points_milli, order):
    """Fill order (REASONS_MAX,) with the indicators furthest below the peer median, worst first; -1 after the last."""
    rows = card.rows
    for k in range(REASONS_MAX):
        order[k] = -1
    worst = np.int64(0)  # the last place's shortfall, once all are taken
    for i in range(CORE_COUNT):
        below = points_milli[i] - rows[i].weight_milli // 2
        if below >= worst:
            continue
        k = REASONS_MAX
        while k > 0 and (order[k - 1] < 0 or below < points_milli[order[k - 1]] - rows[order[k - 1]].weight_milli // 2):
            k -= 1
            if k + 1 < REASONS_MAX:
                order[k + 1] = order[k]
        if k < REASONS_MAX:
            order[k] = i
        if order[REASONS_MAX - 1] >= 0:
            last = order[REASONS_MAX - 1]
            worst = points_milli[last] - rows[last].weight_milli // 2
