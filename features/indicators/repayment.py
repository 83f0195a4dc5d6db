"""Repayment capacity: balances, debt service, instalments due, and overdue days.

Balances are of all accounts. `bank` is the slot of the one lender whose loans count, or EVERY_BANK.
"""

import numpy as np

from features.indicators import SLOT
from features.indicators.nulls import (
    BASE_TOO_SMALL,
    NOT_APPLICABLE,
    NOT_COVERED,
    NOT_REPORTED,
    SHORT_HISTORY,
    STALLED,
    VALUE,
)
from features.indicators.windows import (
    BASE_CNY_MIN,
    FEN,
    FEN_30D,
    FEN_90D,
    FEN_MONTHS,
    MS_PER_DAY,
    NEWEST_12M,
    NULL_OF,
    NULL_OF_MONTHS,
    OPOUT_30D,
    total,
)
from features.state import balances, buckets, coverage, instalments, loans
from features.state.classes import AMOUNT_COLUMNS, COUNT_COLUMNS
from features.state.days import day_of, first_day_of, month_of, start_ms
from features.state.instalments import EVERY_BANK
from kernels.decorators import kernel

DPD_MAX, FREEZE = SLOT["dpd_max_days"], SLOT["judicial_freeze_active_flag"]
_RUNWAY, _TO_NEXT, _NEXT_DAYS = (
    SLOT[name] for name in ("runway_30d_days", "bal_to_next_instalment_ratio", "next_instalment_days")
)
_ADB, _LOWEST_90D, _SERVICE_90D, _DSCR = (
    SLOT[name] for name in ("adb_30d_cny", "bal_min_90d_cny", "debt_service_to_op_inflow_90d_ratio", "dscr_12m_ratio")
)
_LENDERS, _TO_INFLOW_12M = SLOT["active_lenders_count"], SLOT["instalment_to_inflow_12m_ratio"]
OF_ONE_LENDER = (DPD_MAX, _TO_NEXT, _NEXT_DAYS, _LENDERS)
_OP_IN_30D, _LSV_30D, _BULLET_30D = (FEN_30D[name] for name in ("op_in", "lsv", "bullet"))
_OP_IN_90D, _LSV_90D, _BULLET_90D = (FEN_90D[name] for name in ("op_in", "lsv", "bullet"))
_OPOUT_12M, _LSV_12M, _REFINANCED_12M = (FEN_MONTHS[name, 1, 12] for name in ("OPOUT", "lsv", "refinanced"))
_NULL_30D, _NULL_90D, _NULL_12M = NULL_OF[30], NULL_OF[90], NULL_OF_MONTHS[12]
_RUNWAY_MOST = 365.0
_BALANCE_DAYS, _BALANCE_DAYS_MIN, _NOW_DAYS = 30, 24, 3
_INCOME_MONTHS, _INCOME_DAYS_MIN, _DAYS_A_MONTH = 12, 90, 30.4375
_INCOME_FEN_MIN = int(BASE_CNY_MIN * FEN)  # above all null codes
_S_OP_IN, _S_OTHER_IN = AMOUNT_COLUMNS["op_in"], (AMOUNT_COLUMNS["cash_in"][0], AMOUNT_COLUMNS["oth_in"][1])
_N_UNRATED = COUNT_COLUMNS["unrated"]


@kernel
def read(e, t_ms, history_days, sums, value, null):
    """Fill the indicators that events move, without those of loans.

    Return (balance now in CNY, whether it is known).
    """
    _serve(sums, value, null)
    value[FREEZE], null[FREEZE] = e.frozen, VALUE if e.gov_ms >= 0 else NOT_REPORTED  # where one fact came, all would
    day = day_of(t_ms - 1)
    known_now = balances.is_known_now(e, day)
    fen, days, fen_now, days_now = 0, 0, 0, 0
    lowest = balances.lowest_before(e, day - _BALANCE_DAYS + 1, known_now)
    for d in range(day - _BALANCE_DAYS + 1, day + 1):
        if balances.is_known(e, d, known_now):
            held = balances.end_of_day(e, d)
            fen, days, lowest = fen + held, days + 1, min(lowest, held)
            if d > day - _NOW_DAYS:
                fen_now, days_now = fen_now + held, days_now + 1
    if known_now and days >= _BALANCE_DAYS_MIN:
        value[_ADB], value[_LOWEST_90D] = fen / days / FEN, lowest / FEN
    else:
        null[_ADB] = null[_LOWEST_90D] = SHORT_HISTORY if history_days < _BALANCE_DAYS_MIN else NOT_REPORTED
    is_known = known_now and days_now > 0
    now = fen_now / days_now / FEN if is_known else 0.0
    burn = (sums[OPOUT_30D] + sums[_LSV_30D] - sums[_BULLET_30D] - sums[_OP_IN_30D]) / FEN / 30.0
    if sums[_NULL_30D] != VALUE:
        null[_RUNWAY] = sums[_NULL_30D]
    elif not is_known:
        null[_RUNWAY] = NOT_REPORTED
    else:
        value[_RUNWAY] = min(_RUNWAY_MOST, now / burn) if burn > 0.0 else _RUNWAY_MOST
    return now, is_known


@kernel
def _serve(sums, value, null):
    """Fill (S(lsv) - principal of bullet loans repaid or renewed in time) / S(op_in) over [s(90d),t)."""
    null[_SERVICE_90D] = sums[_NULL_90D]
    if sums[_NULL_90D] != VALUE:
        return
    if sums[_OP_IN_90D] < BASE_CNY_MIN * FEN:
        null[_SERVICE_90D] = BASE_TOO_SMALL
    else:
        value[_SERVICE_90D] = (sums[_LSV_90D] - sums[_BULLET_90D]) / sums[_OP_IN_90D]


@kernel
def read_loans(e, bank, t_ms, now, is_known, stalled, value, null):
    """Fill the indicators of loans: days past due, next instalment, lenders.

    `now`: balance in CNY, where `is_known`. Return (day of the next instalment, what is due then in CNY); the day is
    NOTHING_DUE where none is known.
    """
    today = day_of(t_ms)
    _arrears(e, bank, today, stalled, value, null)
    value[_LENDERS], null[_LENDERS] = loans.lender_count(e, bank), VALUE
    if bank == EVERY_BANK and loans.misses_lender(e, today):
        null[_LENDERS] = NOT_REPORTED
    null[_NEXT_DAYS] = null[_TO_NEXT] = NOT_APPLICABLE
    due_day, due_cny = np.int64(instalments.NOTHING_DUE), 0.0
    if instalments.is_any_scheduled(e, bank):
        due_day, fen = instalments.next_due(e, today, bank)
        due_cny = fen / FEN
        if due_day != instalments.NOTHING_DUE:
            null[_NEXT_DAYS], value[_NEXT_DAYS] = VALUE, days_to(due_day, t_ms)
            null[_TO_NEXT] = VALUE if is_known else NOT_REPORTED
            value[_TO_NEXT] = now / due_cny if is_known else value[_TO_NEXT]
        elif instalments.is_cut_short(e, bank):
            null[_NEXT_DAYS] = null[_TO_NEXT] = NOT_REPORTED
    return due_day, due_cny


@kernel
def days_to(due_day, t_ms):
    """Return the days from t_ms to the begin of a day, 0 from then on."""
    return max(0, start_ms(due_day) - t_ms) / MS_PER_DAY


@kernel
def read_burden(e, t_ms, value, null):
    """Fill a month's instalments of all open loans / mean monthly inflow without loans, the latter as of the close."""
    null[_TO_INFLOW_12M] = NOT_APPLICABLE
    if loans.open_count(e, EVERY_BANK) == 0:
        return
    today = day_of(t_ms)
    if loans.misses_loan(e, today) or instalments.is_cut_short(e, EVERY_BANK):
        null[_TO_INFLOW_12M] = NOT_REPORTED
        return
    due_fen = instalments.of_a_month(e, today)
    if due_fen > 0.0:
        known = e.income_month_fen >= _INCOME_FEN_MIN
        null[_TO_INFLOW_12M] = VALUE if known else e.income_month_fen
        value[_TO_INFLOW_12M] = due_fen / e.income_month_fen if known else 0.0


@kernel
def _arrears(e, bank, today, stalled, value, null):
    dpd = loans.dpd_max(e, bank)
    null[DPD_MAX], value[DPD_MAX] = VALUE, max(0, dpd)
    if loans.open_count(e, bank) == 0:
        null[DPD_MAX] = NOT_APPLICABLE
    elif stalled:
        null[DPD_MAX] = STALLED
    elif dpd < 0 or (bank == EVERY_BANK and loans.misses_arrears(e, today, dpd)):
        null[DPD_MAX] = NOT_REPORTED


@kernel
def close(e, null_90d, history_days, sums, value, null):
    """Fill sum (S(op_in) - S(OPOUT)) / (sum S(lsv) less what was refinanced) of twelve months; keep the monthly inflow.

    Null without debt service.
    """
    e.income_month_fen = _income_of_a_month(e, null_90d, history_days)
    null[_DSCR] = sums[_NULL_12M]
    if sums[_NULL_12M] != VALUE:
        return
    served = sums[_LSV_12M] - sums[_REFINANCED_12M]
    if served < BASE_CNY_MIN * FEN:
        null[_DSCR] = NOT_APPLICABLE
    else:
        value[_DSCR] = (total(sums, NEWEST_12M) - sums[_OPOUT_12M]) / served


@kernel
def _income_of_a_month(e, null_90d, history_days):
    """Return the mean inflow of a month in whole fen, or the null code of what is missing.

    That is S(op_in) + S(cash_in) + S(oth_in), so that no loan counts as income, over the known days up to the last
    closed one: from the first transaction, or from the first of the most complete months in a row, twelve at most, that
    were covered.
    """
    if history_days < _INCOME_DAYS_MIN:
        return SHORT_HISTORY
    if null_90d != VALUE:
        return null_90d
    last = np.int64(e.closed_day)
    running = month_of(last + 1)
    first = running - _INCOME_MONTHS
    begin = max(first_day_of(first), np.int64(e.first_day))
    complete = running - month_of(begin - 1) - 1
    for k in range(1, complete + 1):
        if not coverage.months_are_covered(e, k, k):
            first = running - k + 1
            begin = first_day_of(first)
            break
    if last + 1 - begin < _INCOME_DAYS_MIN:
        return NOT_COVERED
    if e.unrated_day >= begin and buckets.month_count(e, first, running, _N_UNRATED) > 0:
        return NOT_COVERED
    fen = buckets.month_amount_to(e, first, last, _S_OP_IN) + buckets.month_amount_to(e, first, last, _S_OTHER_IN)
    of_a_month = np.int64(fen / (last + 1 - begin) * _DAYS_A_MONTH)
    return of_a_month if of_a_month >= _INCOME_FEN_MIN else BASE_TOO_SMALL
