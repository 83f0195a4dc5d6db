"""Stability of flow: how evenly operating inflow comes, by week and by month, and how often money runs low."""

import math

import numpy as np

from features.indicators import SLOT
from features.indicators.days import in_festival_window
from features.indicators.nulls import BASE_TOO_SMALL, FESTIVAL, NOT_COVERED, NOT_REPORTED, SHORT_HISTORY, VALUE
from features.indicators.windows import BASE_CNY_MIN, FEN, FIRST_MONTH, N_30D, NULL_OF, NULL_OF_MONTHS, lack_rates
from features.state import balances, buckets, coverage
from features.state.classes import COUNT_COLUMNS
from features.state.days import monday_of, month_of, week_of
from kernels.decorators import kernel

_CV_13W, _CV_13W_VS_PRIOR = SLOT["weekly_inflow_cv_13w_ratio"], SLOT["weekly_inflow_cv_13w_vs_prior13w_ratio"]
_CV_12M, _LOW_DAYS_30D = SLOT["monthly_inflow_cv_12m_ratio"], SLOT["low_balance_days_30d_ratio"]
_RETURNED_30D, _N_UNRATED = SLOT["returned_debits_30d_count"], COUNT_COLUMNS["unrated"]
_RET_30D, _NULL_30D, _NULL_12M = N_30D["ret_d"], NULL_OF[30], NULL_OF_MONTHS[12]
_CV_WEEKS, _WEEKS_USABLE_MIN, _CV_BASE_MIN = 13, 10, 0.05
_LOW_DAYS_OF_OUTFLOW, _BALANCE_DAYS_MIN = 3, 24
_NO = np.bool_(False)


@kernel
def read(sums, value, null):
    """Fill N(ret_d,[t-30d,t))."""
    null[_RETURNED_30D], value[_RETURNED_30D] = sums[_NULL_30D], sums[_RET_30D]


@kernel
def close(e, history_days, outflow_fen, sums, value, null):
    """Fill the indicators of weeks, months and the last thirty days."""
    _weekly(e, sums, value, null)
    null[_CV_12M] = sums[_NULL_12M]
    if sums[_NULL_12M] == VALUE:
        mean, deviation = _monthly(month_of(np.int64(e.closed_day) + 1), sums)
        if mean < BASE_CNY_MIN * FEN:
            null[_CV_12M] = BASE_TOO_SMALL
        else:
            value[_CV_12M] = deviation / mean
    _low_balance(e, history_days, outflow_fen, value, null)


@kernel
def _weekly(e, sums, value, null):
    """Fill sd(S(op_in,wk(k)), n-1) / mean over thirteen weeks, and its ratio to the thirteen before.

    The weeks of the Spring Festival are left out. One pass by Welford (Technometrics 1962) avoids differences of large
    squares.
    """
    newer, why_newer = 0.0, VALUE
    for half in range(2):
        weeks, festive, mean, squares = 0, 0, 0.0, 0.0
        for k in range(half * _CV_WEEKS + 1, half * _CV_WEEKS + _CV_WEEKS + 1):
            if _is_festive(e, k):
                festive += 1
            elif _is_usable(e, k):
                weeks += 1
                change = sums[k - 1] - mean
                mean += change / weeks
                squares += change * (sums[k - 1] - mean)
        why, cv = _why_no_cv(e, half, weeks, festive, mean), 0.0
        if why == VALUE:
            cv = math.sqrt(squares / (weeks - 1)) / mean
        if half == 0:
            newer, why_newer = cv, why
            value[_CV_13W], null[_CV_13W] = cv, why
        elif why_newer != VALUE or why != VALUE:
            null[_CV_13W_VS_PRIOR] = why if why_newer == VALUE else why_newer
        elif cv < _CV_BASE_MIN:
            null[_CV_13W_VS_PRIOR] = BASE_TOO_SMALL
        else:
            value[_CV_13W_VS_PRIOR] = newer / cv - 1.0


@kernel
def _why_no_cv(e, half, weeks, festive, mean):
    if weeks < _WEEKS_USABLE_MIN:
        first_whole_week = week_of(np.int64(e.first_day) + 6)
        lived = week_of(np.int64(e.closed_day) + 1) - half * _CV_WEEKS - first_whole_week
        if lived < _WEEKS_USABLE_MIN:
            return SHORT_HISTORY
        return FESTIVAL if weeks + festive >= _WEEKS_USABLE_MIN else NOT_COVERED
    if not buckets.holds_days_from(e, e.closed_day - 29):
        return NOT_COVERED
    return BASE_TOO_SMALL if mean < BASE_CNY_MIN * FEN else VALUE


@kernel
def _is_festive(e, k):
    """Return whether a day of wk(k) is in the Spring Festival window."""
    monday = monday_of(week_of(np.int64(e.closed_day) + 1) - k)
    return in_festival_window(monday) or in_festival_window(monday + 6)


@kernel
def _is_usable(e, k):
    """Return whether all days of wk(k) were covered, and no amount in it lacks a rate."""
    week = week_of(np.int64(e.closed_day) + 1) - k
    monday = monday_of(week)
    back = np.int64(e.closed_day) - monday
    if coverage.between(e.covered, back - 6, back) < 7:
        return False
    return e.unrated_day < monday or buckets.week_count(e, week, monday + 6, _N_UNRATED) == 0


@kernel
def _monthly(running, sums):
    """Return (mean, standard deviation) of twelve months in fen.

    January and February each count as the mean of both.
    """
    pooled = 0.0
    for k in range(1, 13):
        if (running - k) % 12 < 2:
            pooled += sums[FIRST_MONTH + k - 1] / 2.0
    mean, squares = 0.0, 0.0
    for k in range(1, 13):
        x = pooled if (running - k) % 12 < 2 else np.float64(sums[FIRST_MONTH + k - 1])
        change = x - mean
        mean += change / k
        squares += change * (x - mean)
    return mean, math.sqrt(squares / 11)


@kernel
def _low_balance(e, history_days, outflow_fen, value, null):
    """Fill days with bal_eod < 3 * S(OUT,30d)/30 / days with known bal_eod."""
    last = np.int64(e.closed_day)
    limit_fen = _LOW_DAYS_OF_OUTFLOW * outflow_fen / 30.0
    known, low = 0, 0
    for day in range(last - 29, last + 1):
        if balances.is_known(e, day, _NO):
            known += 1
            low += balances.end_of_day(e, day) < limit_fen
    if known < _BALANCE_DAYS_MIN:
        null[_LOW_DAYS_30D] = SHORT_HISTORY if history_days < _BALANCE_DAYS_MIN else NOT_REPORTED
    elif not buckets.holds_days_from(e, last - 29) or lack_rates(e, last - 29, last):
        null[_LOW_DAYS_30D] = NOT_COVERED
    elif outflow_fen < BASE_CNY_MIN * FEN:
        null[_LOW_DAYS_30D] = BASE_TOO_SMALL
    else:
        value[_LOW_DAYS_30D] = low / known
