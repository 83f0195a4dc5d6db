"""The monotone scorecard: indicators to utilities in [0, 1], to integer millipoints that add up, to 400-700.

`score = 400,000 + sum(round_half_even(w_i * u_i)) + cap` millipoints. A utility is linear between the levels at its
anchors, which never fall towards the better side, so that a better indicator never lowers the score. Nulls are resolved
only here: not applicable counts as its level, anything else as min(level of its kind, its last computable utility,
rounded down to a millionth), so that hiding an input never pays (docs/scoring.md).
"""

import math
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import indicators
from detectors.prior import core_snapshot
from detectors.snapshot import ANCHORS_MAX, MICRO, Calibration, Snapshot, SnapshotError
from domain.outputs import GROUPS
from features.indicators import CORE, CORE_COUNT
from features.indicators.activity import counts_provisional_days
from features.indicators.nulls import NOT_APPLICABLE, NULL_NAMES, SHORT_HISTORY, VALUE
from features.indicators.repayment import DPD_MAX
from kernels import ieee
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
# Known of an enterprise that does nothing at all.
SILENCE = ("days_since_op_credit_days", "days_since_any_txn_days", "top3_payer_silence_max_days")
_REPAYMENT = GROUPS.index("repayment_capacity")
_PPM = 1_000_000.0
BAND_MILLI, GRADE_MARGIN_MILLI, CLOSES_OVER_BAND = 50_000, 5_000, 3


assert ANCHORS_MAX % 4 == 0  # `utility` searches in fours
CARD_ROW = np.dtype(
    [
        ("weight_milli", "<i8"),
        ("median_milli", "<i8"),  # points at the population's median, rounded down: what reasons compare with
        ("median_micro", "<i8"),  # that median
        ("group", "<i8"),  # index into GROUPS
        ("logarithmic", "<i8"),
        ("falling", "<i8"),  # higher is riskier
        ("silence", "<i8"),  # does not tell that an enterprise is more than silent
        ("null_ppm", "<i8", (len(NULL_NAMES),)),  # level of each kind of null, by its code
        ("anchor", "<f8", (ANCHORS_MAX,)),  # in log10(1 + x) where `logarithmic`; infinite after the last
        ("level", "<f8", (ANCHORS_MAX + 1,)),  # rising: one less the utility where `falling`; after the last as there
        ("slope", "<f8", (ANCHORS_MAX,)),  # up to the next anchor; 0 from the last one on
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
    """Return the card of a snapshot. An indicator that it does not name weighs nothing, on the catalogue's anchors.

    So an engine that has learned to compute more gives the scores of before under a model of before. Raise
    SnapshotError where the snapshot scores an indicator that this engine does not compute, or where its anchors are
    too close together for floating point.
    """
    if odd := sorted(set(snapshot.weights_milli) - set(CORE)):
        raise SnapshotError(f"it scores {', '.join(odd)}, which this engine does not compute")
    rows = np.zeros(CORE_COUNT, CARD_ROW)
    for row, name in zip(rows, CORE, strict=True):
        is_named = name in snapshot.weights_milli
        _fill(row, name, snapshot if is_named else core_snapshot())
        row["weight_milli"] = snapshot.weights_milli.get(name, 0)
        row["silence"] = name in SILENCE or not is_named
        _check_nulls(row, name, snapshot)
        row["median_milli"] = math.floor(row["weight_milli"] * utility(row, row["median_micro"] / MICRO))
    cache = np.zeros(CORE_COUNT, CARD_CACHE)
    cache["x"] = np.nan  # equal to no value
    return Scorecard(rows, cache)


def _fill(row: np.void, name: str, says: Snapshot) -> None:
    """Fill the row of an indicator, but for its weight. Raise SnapshotError where two anchors are one as floats."""
    of_catalogue = indicators()[name]
    row["group"], row["falling"] = GROUPS.index(of_catalogue.group), of_catalogue.higher_is_riskier
    row["logarithmic"], row["median_micro"] = of_catalogue.unit == "cny", says.medians_micro[name]
    row["null_ppm"] = [0, *(says.null_levels_micro[name][null] for null in NULL_NAMES[1:])]
    anchor = np.array(says.anchors_micro[name], np.float64) / MICRO
    if row["logarithmic"]:
        anchor = np.array([log10_1p(x) for x in anchor])
    if (np.diff(anchor) <= 0).any():
        raise SnapshotError(f"anchors of {name} are too close together")
    levels = np.array(says.levels_micro[name])
    level = (MICRO - levels if row["falling"] else levels) / MICRO
    count = len(anchor)
    row["anchor"], row["level"] = np.inf, level[-1]
    row["anchor"][:count], row["level"][:count] = anchor, level
    # Scaled like this, quarters give the bits that format 1 has always given: a power of two is exact.
    row["slope"][: count - 1] = 1.0 / np.diff(anchor) * np.diff(level)


def _check_nulls(row: np.void, name: str, says: Snapshot) -> None:
    """Raise SnapshotError where it would pay to hide an indicator, by what a snapshot of format 2 says of its nulls."""
    at_micro = says.unknown_at_micro.get(name)
    if at_micro is None:
        return
    most = utility(row, at_micro / MICRO)
    if most > utility(row, row["median_micro"] / MICRO):
        raise SnapshotError(
            f"{name} counts as {at_micro / MICRO:g} where it is not computable: that is over its median"
        )
    for null, ppm in says.null_levels_micro[name].items():
        if null != NULL_NAMES[NOT_APPLICABLE] and ppm / MICRO > most:
            raise SnapshotError(f"the level of {name} for {null} pays: it is over that of {at_micro / MICRO:g}")


def probabilities_ppm(calibration: Snapshot | Calibration) -> tuple[int, ...]:
    """Return the probability in ppm for the displayed scores 400..700: of a snapshot, p_overdue30_90d.

    It is computed in decimal arithmetic, so that it is equal on every machine.
    """
    return _probabilities_ppm(calibration.intercept_micro, calibration.slope_micro)


@lru_cache(64)
def _probabilities_ppm(intercept_micro: int, slope_micro: int) -> tuple[int, ...]:
    with localcontext() as context:
        context.prec = 30
        intercept, slope = Decimal(intercept_micro) / MICRO, Decimal(slope_micro) / MICRO
        return tuple(
            int((MICRO / (1 + (slope * points / 300 - intercept).exp())).to_integral_value()) for points in range(301)
        )


def value_at(card: Scorecard, i: int, x: float, best: float, points_milli: int) -> float:
    """Return the value nearest to x at which indicator i earns at least so many points, to a millionth.

    x: a value that earns less. best: one that earns them, on the better side. Where the utility is flat, that is the
    near end of the flat piece.
    """
    row = card.rows[i]
    while abs(best - x) > 0.5 / MICRO:
        middle = x + (best - x) / 2
        if middle in (x, best):
            break
        if row["weight_milli"] * utility(row, middle) >= points_milli:
            best = middle
        else:
            x = middle
    return best


@kernel
def log10_1p(x):
    """Return log10(1 + x), signed for negative x, by IEEE operations alone: libm's last bit differs between CPUs."""
    result = ieee.log(1.0 + abs(x)) / 2.302585092994046
    return result if x >= 0 else -result


@kernel
def utility(row, x):
    """Return the utility in [0, 1] of value x of the indicator in a card's row."""
    if row.logarithmic:
        x = log10_1p(x)
    anchor, k = row.anchor, 0
    for j in range(4, ANCHORS_MAX, 4):  # every fourth, then the three after it: without a branch to mispredict
        k += 4 * (x >= anchor[j])
    first = k
    for j in range(1, 4):
        k += x >= anchor[first + j]
    u = min(row.level[k + 1], row.level[k] + max(0.0, (x - anchor[k]) * row.slope[k]))
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
            u[i] = utility_of_null(rows[i], null[i], np.int64(last_ppm[i]))
            points[i] = points_milli_of(rows[i], u[i])
        total += points[i]
    if x.null[DPD_MAX] == VALUE:
        e.dpd_latched = x.value[DPD_MAX]
    elif x.null[DPD_MAX] == NOT_APPLICABLE:
        e.dpd_latched = 0
    x.cap_milli = min(0, most_milli(e.dpd_latched, e.frozen) - total)
    x.score_milli = total + x.cap_milli


@kernel
def utility_of_null(row, code, last_ppm):
    """Return the utility of an indicator without a value. last_ppm: its last computable one, in ppm."""
    ppm = row.null_ppm[code]
    return (ppm if code == NOT_APPLICABLE else min(ppm, last_ppm)) / _PPM


@kernel
def most_milli(dpd, frozen):
    """Return the highest score that days past due and a judicial freeze leave."""
    return 449_000 if dpd > 90 else 499_000 if dpd > 30 or frozen else CEILING_MILLI


@kernel
def _evaluate(row, x, cache):
    cache.x, cache.u = x, utility(row, x)
    cache.ppm = np.int64(cache.u * _PPM)
    cache.milli = points_milli_of(row, cache.u)


@kernel
def points_milli_of(row, u):
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
            only_silence &= rows[i].silence != 0
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
    """Fill order (REASONS_MAX,) with the indicators furthest below the median, worst first; -1 after the last."""
    rows = card.rows
    for k in range(REASONS_MAX):
        order[k] = -1
    worst = np.int64(0)  # the last place's shortfall, once all are taken
    for i in range(CORE_COUNT):
        below = points_milli[i] - rows[i].median_milli
        if below >= worst:
            continue
        k = REASONS_MAX
        while k > 0 and (order[k - 1] < 0 or below < points_milli[order[k - 1]] - rows[order[k - 1]].median_milli):
            k -= 1
            if k + 1 < REASONS_MAX:
                order[k + 1] = order[k]
        if k < REASONS_MAX:
            order[k] = i
        if order[REASONS_MAX - 1] >= 0:
            last = order[REASONS_MAX - 1]
            worst = points_milli[last] - rows[last].median_milli
