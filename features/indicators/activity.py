"""Transaction activity: how often, on how many days, and through which channels money leaves.

`value` is float64 and `null` uint8 (INDICATOR_COUNT or more,), `sums` int64 (SUMS_MAX,) as windows.py fills it.
Formulas stand in the notation of docs/indicators.md.
"""

import numpy as np

from features.indicators import AT_CLOSE, SLOT
from features.indicators.days import DECIDED_UNTIL, is_business_day
from features.indicators.nulls import BASE_TOO_SMALL, NEVER_SEEN, NOT_REPORTED, SHORT_HISTORY, STALLED, VALUE
from features.indicators.windows import (
    BASE_CNY_MIN,
    FEN,
    FEN_30D,
    MS_PER_DAY,
    N_30D,
    N_ANY,
    N_OP_IN_60D,
    N_OP_IN_120D,
    NULL_OF,
    OUT_30D,
)
from features.state import buckets, decay
from features.state.days import day_of, monday_of, week_of
from kernels.decorators import kernel

_SINCE_OP_CREDIT, _SINCE_ANY_TXN = SLOT["days_since_op_credit_days"], SLOT["days_since_any_txn_days"]
_OP_CREDITS_30D, _OP_CREDITS_60D = SLOT["op_credit_30d_count"], SLOT["op_credit_count_60d_vs_prior60d_ratio"]
_CASH_30D, _PERSONAL_30D = SLOT["cash_withdrawal_share_30d_ratio"], SLOT["corp_to_personal_share_30d_ratio"]
COUNTS_BUSINESS_DAYS = "active_days_30d_ratio"  # the one indicator that does
ACTIVE_30D, _KEPT_ACTIVE_30D = SLOT[COUNTS_BUSINESS_DAYS], np.int64(AT_CLOSE.index(COUNTS_BUSINESS_DAYS))
_N_OP_IN_30D = N_30D["op_in"]
_CASH_OUT_30D, _PERS_OUT_30D = FEN_30D["cash_out"], FEN_30D["pers_out"]
_NULL_30D, _NULL_120D = NULL_OF[30], NULL_OF[120]
_PRIOR_CREDITS_MIN, _BUSINESS_DAYS_MIN = 8, 10
_TXNS_MIN, _UNNAMED_MOST = 20.0, 0.5


@kernel
def read(e, t_ms, sums, value, null):
    """Fill the indicators that events move."""
    _since(e, t_ms, e.last_op_in_ms, _SINCE_OP_CREDIT, value, null)
    _since(e, t_ms, e.last_txn_ms, _SINCE_ANY_TXN, value, null)
    null[_OP_CREDITS_30D], value[_OP_CREDITS_30D] = sums[_NULL_30D], sums[_N_OP_IN_30D]
    day = day_of(t_ms - 1)
    null[_OP_CREDITS_60D] = sums[_NULL_120D]
    if sums[_NULL_120D] == VALUE:
        _compare_60d(day, day_of(t_ms), sums, value, null)
    why = sums[_NULL_30D]
    if why == VALUE and sums[OUT_30D] < BASE_CNY_MIN * FEN:
        why = BASE_TOO_SMALL
    null[_CASH_30D] = null[_PERSONAL_30D] = why
    if why == VALUE:
        value[_CASH_30D] = sums[_CASH_OUT_30D] / sums[OUT_30D]
        value[_PERSONAL_30D] = sums[_PERS_OUT_30D] / sums[OUT_30D]
        if _is_unnamed(e, day):
            null[_PERSONAL_30D] = NOT_REPORTED


@kernel
def _since(e, t_ms, last_ms, slot, value, null):
    if last_ms < 0:
        null[slot] = NEVER_SEEN
    elif e.stalled:
        null[slot] = STALLED
    else:
        value[slot] = max(0, t_ms - last_ms) / MS_PER_DAY


@kernel
def _compare_60d(day, t_day, sums, value, null):
    """Fill [N(op_in,[s(60d),t))/L(60d)] / [N(op_in,[s(120d),s(60d)))/days] - 1."""
    week_60d, week_120d = week_of(t_day - 60), week_of(t_day - 120)
    newer, prior = sums[N_OP_IN_60D], sums[N_OP_IN_120D] - sums[N_OP_IN_60D]
    if prior < _PRIOR_CREDITS_MIN:
        null[_OP_CREDITS_60D] = BASE_TOO_SMALL
    else:
        a_day, prior_a_day = newer / (day + 1 - monday_of(week_60d)), prior / (7 * (week_60d - week_120d))
        value[_OP_CREDITS_60D] = a_day / prior_a_day - 1.0


@kernel
def _is_unnamed(e, day):
    """Return whether unnamed_counterparty_share_hl90_ratio > 0.5.

    False under twenty decayed transactions, where it is null.
    """
    return e.flow_unnamed > _UNNAMED_MOST * e.flow_all and e.flow_count >= _TXNS_MIN * decay.weight(day)


@kernel
def close(e, sums, value, null):
    """Fill business days with a transaction / business days; other days count for the next business day."""
    null[ACTIVE_30D] = sums[_NULL_30D]
    if sums[_NULL_30D] != VALUE:
        return
    days, active, came = 0, 0, False
    for day in range(e.closed_day - 29, e.closed_day + 1):
        came |= buckets.day_count(e, day, day, N_ANY) > 0
        if is_business_day(day):
            days += 1
            active += came
            came = False
    if days < _BUSINESS_DAYS_MIN:
        null[ACTIVE_30D] = BASE_TOO_SMALL
    else:
        value[ACTIVE_30D] = active / days


@kernel
def counts_provisional_days(e):
    """Return whether the score of enterprise e counts business days of a year whose holidays are not published yet.

    It does from the first close of such a year on. Where active days are null by then, their last utility scores, which
    may have counted such days; only an enterprise that was always too young for a value is left out.
    """
    return e.closed_day > DECIDED_UNTIL and e.close_null[_KEPT_ACTIVE_30D] != SHORT_HISTORY
