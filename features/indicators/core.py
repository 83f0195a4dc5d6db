"""The six core indicators that stand by now, computed from one enterprise's state at its time t.

Each value comes with a null code: VALUE, NOT_APPLICABLE (there is nothing to measure) or one of the not-computable
codes that say what is missing. Formulas: `config/indicators.csv`.
"""

from numba import njit

from features.state import buckets, decay, loans
from features.state.classes import AMOUNT_COLUMNS, COUNT_COLUMNS

VALUE, NOT_APPLICABLE, SHORT_HISTORY, NEVER_SEEN, BASE_TOO_SMALL, NOT_REPORTED, NOT_COVERED = range(7)
NULL_NAMES = ("", "not_applicable", "history", "never_seen", "base_too_small", "not_reported", "not_covered")

OP_INFLOW_30D, DAYS_SINCE_OP_CREDIT, OP_CREDIT_30D, OP_INFLOW_30D_VS_PRIOR90D, PAYER_TOP1, DPD_MAX = range(6)
_FEN = 100.0
_S_OP_IN, _N_OP_IN, _N_UNRATED = AMOUNT_COLUMNS["op_in"], COUNT_COLUMNS["op_in"], COUNT_COLUMNS["unrated"]
_MS_PER_DAY = 86_400_000.0


@njit(cache=True)
def read(e, t_ms, history_days, value, null):
    """Fill value and null (CORE_COUNT) of enterprise e at its time t."""
    day = buckets.day_of(t_ms - 1)
    for i in range(value.shape[0]):
        value[i], null[i] = 0.0, VALUE
    inflow_30d = buckets.day_amount(e, day - 29, day, _S_OP_IN) / _FEN
    first_week = buckets.week_of(buckets.day_of(t_ms) - 120)
    null[OP_INFLOW_30D] = null[OP_CREDIT_30D] = _window_null(e, history_days, 30, day - 29, day)
    value[OP_INFLOW_30D] = inflow_30d
    value[OP_CREDIT_30D] = buckets.day_count(e, day - 29, day, _N_OP_IN)
    if e.last_op_in_ms < 0:
        null[DAYS_SINCE_OP_CREDIT] = NEVER_SEEN
    else:
        value[DAYS_SINCE_OP_CREDIT] = max(0, t_ms - e.last_op_in_ms) / _MS_PER_DAY
    null[OP_INFLOW_30D_VS_PRIOR90D] = _window_null(e, history_days, 120, buckets.monday_of(first_week), day)
    if null[OP_INFLOW_30D_VS_PRIOR90D] == VALUE:
        _growth(e, first_week, day, inflow_30d, value, null)
    _concentration(e, day, value, null)
    dpd = loans.dpd_max(e)
    if loans.open_count(e) == 0:
        null[DPD_MAX] = NOT_APPLICABLE
    elif dpd < 0 or e.loan_overflow > 0:
        null[DPD_MAX] = NOT_REPORTED
    else:
        value[DPD_MAX] = dpd


@njit(cache=True)
def _window_null(e, history_days, days, first_day, last_day):
    """Why the window of `days` from first_day to last_day is null: too young, or not covered; else VALUE.

    Covered are at least nine tenths of its closed days; no amount in it lacks its rate; and its daily buckets are still
    there, which they are not where an event has come five days past a day that closes late.
    """
    enough = (9 * days + 9) // 10
    if history_days < enough:
        return SHORT_HISTORY
    if e.covered_days[0 if days == 30 else 3] < enough or not buckets.holds_days_from(e, last_day - 29):
        return NOT_COVERED
    if buckets.week_count(e, buckets.week_of(first_day), last_day, _N_UNRATED) > 0:
        return NOT_COVERED
    return VALUE


@njit(cache=True)
def _growth(e, first_week, day, inflow_30d, value, null):
    """[S(op_in,[t-30d,t))/30] / [S(op_in,[s(120d),t-30d))/days] - 1."""
    days = (day - 29) - buckets.monday_of(first_week)
    since = buckets.week_amount(e, first_week, day, _S_OP_IN) / _FEN
    prior_per_day = (since - inflow_30d) / days
    if prior_per_day < 100.0:
        null[OP_INFLOW_30D_VS_PRIOR90D] = BASE_TOO_SMALL
    else:
        value[OP_INFLOW_30D_VS_PRIOR90D] = (inflow_30d / 30.0) / prior_per_day - 1.0


@njit(cache=True)
def _concentration(e, day, value, null):
    """max w_i / W over decayed payers; null under half of the inflow named, or under ten decayed credits.

    Null too where nothing is left of it: reversals may take out more than came in.
    """
    now = decay.weight(day)
    if e.payer_credits < 10.0 * now or e.payer_named < 0.5 * e.payer_all or e.payer_named <= 0.0:
        null[PAYER_TOP1] = BASE_TOO_SMALL
    else:
        value[PAYER_TOP1] = e.payer_weight.max() / e.payer_named
