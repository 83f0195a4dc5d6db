"""Growth of income: operating inflow against its own past. Without peer tables seasons are not removed: SI = 1.

`value` is float64 and `null` uint8 (INDICATOR_COUNT or more,), `sums` int64 (SUMS_MAX,) as windows.py fills it.
Formulas stand in the notation of docs/indicators.md.
"""

import numpy as np

from features.indicators import SLOT
from features.indicators.nulls import BASE_TOO_SMALL, VALUE
from features.indicators.windows import (
    BASE_CNY_MIN,
    FEN,
    FEN_30D,
    FIRST_MONTH,
    NEWEST_2M,
    NEWEST_6M,
    NEWEST_13W,
    NULL_OF,
    NULL_OF_MONTHS,
    OP_IN_120D,
    PRIOR_6M,
    PRIOR_13W,
    YEAR_BEFORE_2M,
    total,
)
from features.state import buckets, coverage
from features.state.classes import COUNT_COLUMNS
from features.state.days import day_of, monday_of, month_of, week_of
from kernels.decorators import kernel

_30D, _13W = SLOT["op_inflow_30d_vs_prior90d_ratio"], SLOT["op_inflow_13w_vs_prior13w_ratio"]
_6M, YOY_2M = SLOT["op_inflow_6m_vs_prior6m_ratio"], SLOT["op_inflow_yoy_2m_ratio"]
_FALLING, _N_UNRATED = SLOT["op_inflow_falling_months_count"], COUNT_COLUMNS["unrated"]
_OP_IN_30D = FEN_30D["op_in"]
_NULL_120D, _NULL_26W = NULL_OF[120], NULL_OF[180]
_NULL_4M, _NULL_9M, _NULL_12M, _NULL_14M = (NULL_OF_MONTHS[months] for months in (4, 9, 12, 14))
_PRIOR_CNY_PER_DAY_MIN = 100.0
_JANUARY, _FEBRUARY, _MARCH = 0, 1, 2  # a month number mod 12
_FALLING_MOST, _MONTHS_OF_FALLING = 11, 12
_LOW_MONTHS = 12
NO_LOW_MONTH = -1


@kernel
def read(t_ms, sums, value, null):
    """Fill [S(op_in,[t-30d,t))/30] / [S(op_in,[s(120d),t-30d))/days] - 1."""
    null[_30D] = sums[_NULL_120D]
    if sums[_NULL_120D] != VALUE:
        return
    days = day_of(t_ms - 1) - 29 - monday_of(week_of(day_of(t_ms) - 120))
    prior_per_day = (sums[OP_IN_120D] - sums[_OP_IN_30D]) / FEN / days
    if prior_per_day < _PRIOR_CNY_PER_DAY_MIN:
        null[_30D] = BASE_TOO_SMALL
    else:
        value[_30D] = (sums[_OP_IN_30D] / FEN / 30.0) / prior_per_day - 1.0


@kernel
def close(e, null_26w, sums, value, null):
    """Fill the indicators of complete weeks and months."""
    null[_13W], null[_6M], null[_FALLING] = null_26w, sums[_NULL_12M], sums[_NULL_4M]
    if null_26w == VALUE:
        _grow(total(sums, NEWEST_13W), total(sums, PRIOR_13W), _13W, value, null)
    if sums[_NULL_12M] == VALUE:
        _grow(total(sums, NEWEST_6M), total(sums, PRIOR_6M), _6M, value, null)
    if sums[_NULL_4M] == VALUE:
        value[_FALLING] = _falling_months(e, sums)
    _compare_years(e, sums, value, null)
    e.low_month_fen = _low_month(e, sums)


@kernel
def _low_month(e, sums):
    """Return the second lowest S(op_in,mo(k)) of the last twelve months, in fen; NO_LOW_MONTH before nine are covered.

    A tenth of all months are no higher: what lies below is low for this enterprise at any season of the year.
    """
    if sums[_NULL_9M] != VALUE:
        return NO_LOW_MONTH
    lowest = second = np.int64(np.iinfo(np.int64).max)
    for k in range(1, _LOW_MONTHS + 1):
        if coverage.months_are_covered(e, 1, k):
            fen = sums[FIRST_MONTH + k - 1]
            second = min(second, max(lowest, fen))
            lowest = min(lowest, fen)
    return second


@kernel
def _compare_years(e, sums, value, null):
    """Compare two months with the same two a year before, at the close of a month's last day.

    The result stands for a month. January and March are skipped, so that January and February are compared as a pair.
    Where fourteen months were not covered, the earlier result stays; where there was none, the reason is the present
    one.
    """
    day = np.int64(e.closed_day)
    ended = month_of(day)
    if month_of(day + 1) == ended or ended % 12 == _JANUARY or ended % 12 == _MARCH:
        return
    if sums[_NULL_14M] == VALUE:
        null[YOY_2M], value[YOY_2M] = VALUE, 0.0
        _grow(total(sums, NEWEST_2M), total(sums, YEAR_BEFORE_2M), YOY_2M, value, null)
    elif null[YOY_2M] != VALUE and null[YOY_2M] != BASE_TOO_SMALL:
        null[YOY_2M] = sums[_NULL_14M]


@kernel
def _grow(now_fen, base_fen, slot, value, null):
    if base_fen < BASE_CNY_MIN * FEN:
        null[slot] = BASE_TOO_SMALL
    else:
        value[slot] = now_fen / base_fen - 1.0


@kernel
def _falling_months(e, sums):
    """Return the largest n with y_1 < y_2 < ... < y_(n+1), January and February as one step, of covered months."""
    running = month_of(np.int64(e.closed_day) + 1)
    falling, newer, k = -1, 0.0, 1
    if (running - 1) % 12 == _JANUARY:
        k = 2  # its pair is not complete
    while k <= _MONTHS_OF_FALLING and falling < _FALLING_MOST:
        last = k + 1 if (running - k) % 12 == _FEBRUARY else k
        if last > _MONTHS_OF_FALLING or not coverage.months_are_covered(e, k, last):
            break
        if buckets.month_count(e, running - last, running - k, _N_UNRATED) > 0:
            break
        older = (sums[FIRST_MONTH + k - 1] + sums[FIRST_MONTH + last - 1]) / 2.0
        if falling >= 0 and newer >= older:
            break
        falling, newer, k = falling + 1, older, last + 1
    return max(0, falling)
