"""The windows that indicators read: their sums, from tables, and why one of them cannot be read.

t is exclusive. `day` is the last day of a window, day(t - 1 ms). A window of W > 35 days begins on the Monday of the
week that holds t - W; wk(k) and mo(k) are complete weeks and months before that of t (docs/indicators.md).

Sums come from few loops over columns into one array, so that a call to the buckets, which LLVM inlines, is in the
machine code a few times and not once an indicator. Indicators are arithmetic on that array.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from features.indicators.nulls import NOT_COVERED, SHORT_HISTORY, VALUE
from features.state import buckets, coverage
from features.state.classes import AMOUNT_COLUMNS, COUNT_COLUMNS
from features.state.coverage import WINDOWS
from features.state.days import day_of, first_day_of, monday_of, month_of, week_of
from kernels.decorators import copy, kernel

FEN = 100.0  # in a CNY
MS_PER_DAY = 86_400_000.0
BASE_CNY_MIN = 1_000.0
_DAYS_OF_BUCKETS = 29  # before `day`, that the day ring must still hold
_AMOUNTS, _COUNTS = AMOUNT_COLUMNS, COUNT_COLUMNS

# At t, by column: fen and transactions of 30 days, and of weeks from s(Wd) on; then what is added up of them.
_FEN_30D = ("op_in", "op_out", "pay", "tax", "lsv", "cash_out", "oth_out", "pers_out", "bullet")
_FEN_90D = ("op_in", "fin_in", "cash_in", "oth_in", "lsv", "bullet")
_N_30D = ("op_in", "ret_d")
_OF_ONE = ("op_in",)
_MADE = ("OPOUT 30d", "OUT 30d", "non_op 90d", "IN 90d")
_NULLS = (30, 90, 120, 180)
# At a close: fen of op_in in wk(1)..wk(26), and by column and months of mo(first)..mo(last).
WEEKS = 26
_FEN_MONTHS = (
    *(("op_in", k, k) for k in range(1, 15)), ("OPOUT", 1, 12), ("lsv", 1, 12), ("refinanced", 1, 12),
)  # fmt: skip
_MONTHS_NULLS = (4, 9, 12, 14)


def _places(first: int, *tables: tuple[object, ...]) -> list[dict[object, np.int64]]:
    """Return the places of the sums of tables, one table after the other from `first` on."""
    found = []
    for table in tables:
        found.append({row: np.int64(first + i) for i, row in enumerate(table)})
        first += len(table)
    return found


FEN_30D, FEN_90D, _FEN_120D, N_30D, _N_60D, _N_120D, MADE, NULL_OF = _places(
    0, _FEN_30D, _FEN_90D, _OF_ONE, _N_30D, _OF_ONE, _OF_ONE, _MADE, _NULLS
)
OP_IN_120D, N_OP_IN_60D, N_OP_IN_120D = _FEN_120D["op_in"], _N_60D["op_in"], _N_120D["op_in"]
OPOUT_30D, OUT_30D, NON_OP_90D, IN_90D = MADE.values()
FEN_MONTHS, NULL_OF_MONTHS = _places(WEEKS, _FEN_MONTHS, _MONTHS_NULLS)
FIRST_MONTH = FEN_MONTHS["op_in", 1, 1]  # mo(k) of op_in stands k - 1 behind


def _months(first: int, last: int) -> tuple[int, int]:
    """Return the places of op_in of mo(first)..mo(last), (first, after the last)."""
    return int(FIRST_MONTH) + first - 1, int(FIRST_MONTH) + last


NEWEST_12M, NEWEST_6M, PRIOR_6M, NEWEST_2M, YEAR_BEFORE_2M = (
    _months(1, 12), _months(1, 6), _months(7, 12), _months(1, 2), _months(13, 14)
)  # fmt: skip
NEWEST_13W, PRIOR_13W = (0, 13), (13, 26)
PAST_SUMS = int(min(MADE.values()))  # what is added up stands first
SUMS_MAX = 64
# Sums are a field of a row, as all is that kernels are handed for the way.
SCRATCH = np.dtype([("sums", "<i8", (SUMS_MAX,))])
assert max(*NULL_OF.values(), *NULL_OF_MONTHS.values()) < SUMS_MAX


def _table(rows: list[Any]) -> npt.NDArray[np.int64]:
    table = np.array(rows, np.int64)
    table.setflags(write=False)
    return table


def _columns(names: tuple[str, ...], of: Mapping[str, tuple[Any, Any]]) -> npt.NDArray[np.int64]:
    return _table([of[name][0] for name in names])


_C_FEN_30D, _C_FEN_90D, _C_FEN_120D = (_columns(names, _AMOUNTS) for names in (_FEN_30D, _FEN_90D, _OF_ONE))
_C_N_30D, _C_N_WEEKS = _columns(_N_30D, _COUNTS), _columns(_OF_ONE, _COUNTS)
_T_FEN_MONTHS = _table([(*_AMOUNTS[name], first, last) for name, first, last in _FEN_MONTHS])
_T_MONTHS_NULLS = _table([(months,) for months in _MONTHS_NULLS])
# days, their place in coverage.WINDOWS, and the H that the catalogue asks for beside the coverage
_T_NULLS = _table([(30, WINDOWS.index(30), 0), (90, WINDOWS.index(90), 60), (120, WINDOWS.index(120), 120),
                   (180, WINDOWS.index(180), 182)])  # fmt: skip
_AT_30D, _AT_90D, _AT_N_30D, _AT_NULLS = (min(places.values()) for places in (FEN_30D, FEN_90D, N_30D, NULL_OF))
_OP_OUT, _PAY, _TAX, _LSV, _CASH_OUT, _OTH_OUT = (FEN_30D[name] for name in _FEN_30D[1:7])
_OP_IN_90D, _FIN_IN_90D, _CASH_IN_90D, _OTH_IN_90D = (FEN_90D[name] for name in _FEN_90D[:4])
_AT_MONTHS, _AT_MONTHS_NULLS = int(FIRST_MONTH), int(min(NULL_OF_MONTHS.values()))
_S_OP_IN, _N_UNRATED, N_ANY = _AMOUNTS["op_in"], _COUNTS["unrated"], (_COUNTS["IN"][0], _COUNTS["OUT"][1])


@kernel
def read(e, t_ms, history_days, sums):
    """Fill sums, int64 (SUMS_MAX,), with what events move, in fen and counts, and with the windows' null codes.

    An event moves only its own day of a window. The sum of the days before is computed once a day, and kept in the row
    until one of them changes (state/buckets.py).
    """
    day, t_day = day_of(t_ms - 1), day_of(t_ms)
    key = buckets.past_key(t_day, day)
    if e.past_key != key:
        _add_up_past(e, t_day, day - 29, e.past_sums)
        e.past_key = key
    copy(e.past_sums, sums[:PAST_SUMS])
    if t_day == day:
        _add_day(e, day, sums)
    sums[OPOUT_30D] = sums[_OP_OUT] + sums[_PAY] + sums[_TAX]
    sums[OUT_30D] = sums[OPOUT_30D] + sums[_LSV] + sums[_CASH_OUT] + sums[_OTH_OUT]
    sums[NON_OP_90D] = sums[_FIN_IN_90D] + sums[_CASH_IN_90D] + sums[_OTH_IN_90D]
    sums[IN_90D] = sums[_OP_IN_90D] + sums[NON_OP_90D]
    for i in range(_T_NULLS.shape[0]):
        days = _T_NULLS[i, 0]
        first = day - 29
        if days == 180:
            first = monday_of(week_of(t_day) - WEEKS)
        elif days > 30:
            first = monday_of(week_of(t_day - days))
        sums[_AT_NULLS + i] = _null(e, history_days, days, _T_NULLS[i, 1], _T_NULLS[i, 2], first, day)


@kernel
def _add_up_past(e, t_day, first, sums):
    """Fill sums[:PAST_SUMS] with the days before t_day; windows of 30 days begin with the day `first`."""
    last = t_day - 1
    week_60d, week_90d, week_120d = (
        week_of(t_day - 60), week_of(t_day - 90), week_of(t_day - 120)
    )  # fmt: skip
    buckets.day_sums(e, e.day_amount, first, last, _C_FEN_30D, sums, _AT_30D)
    buckets.day_sums(e, e.day_count, first, last, _C_N_30D, sums, _AT_N_30D)
    buckets.week_sums(e, e.week_amount, e.day_amount, week_90d, last, _C_FEN_90D, sums, _AT_90D)
    buckets.week_sums(e, e.week_amount, e.day_amount, week_120d, last, _C_FEN_120D, sums, OP_IN_120D)
    buckets.week_sums(e, e.week_count, e.day_count, week_60d, last, _C_N_WEEKS, sums, N_OP_IN_60D)
    buckets.week_sums(e, e.week_count, e.day_count, week_120d, last, _C_N_WEEKS, sums, N_OP_IN_120D)


@kernel
def _add_day(e, day, sums):
    """Add one day to the sums of all windows."""
    buckets.add_day(e, e.day_amount, day, _C_FEN_30D, sums, _AT_30D)
    buckets.add_day(e, e.day_count, day, _C_N_30D, sums, _AT_N_30D)
    buckets.add_day(e, e.day_amount, day, _C_FEN_90D, sums, _AT_90D)
    buckets.add_day(e, e.day_amount, day, _C_FEN_120D, sums, OP_IN_120D)
    buckets.add_day(e, e.day_count, day, _C_N_WEEKS, sums, N_OP_IN_60D)
    buckets.add_day(e, e.day_count, day, _C_N_WEEKS, sums, N_OP_IN_120D)


@kernel
def _null(e, history_days, days, window, age_days_min, first_day, day):
    """Return the null code of a window that cannot be read (too young, not covered), else VALUE.

    A window is covered where at least nine tenths of its closed days are, no amount in it lacks a rate, and its daily
    buckets still exist. They do not where an event came five days after a day that closes late.
    """
    enough = (9 * days + 9) // 10
    if history_days < max(enough, age_days_min):
        return SHORT_HISTORY
    if e.covered_days[window] < enough or not buckets.holds_days_from(e, day - _DAYS_OF_BUCKETS):
        return NOT_COVERED
    return NOT_COVERED if lack_rates(e, first_day, day) else VALUE


@kernel
def lack_rates(e, first_day, last_day):
    """Return whether any of these days has an unrated amount. The first is a Monday, or no older than the day ring."""
    if e.unrated_day < first_day:
        return False
    if last_day - first_day < buckets.DAYS:
        return buckets.day_count(e, first_day, last_day, _N_UNRATED) > 0
    return buckets.week_count(e, week_of(first_day), last_day, _N_UNRATED) > 0


@kernel
def total(sums, places):
    """Return the sum of sums[places[0] : places[1]]."""
    fen = 0
    for i in range(places[0], places[1]):
        fen += sums[i]
    return fen


@kernel
def read_closed(e, sums):
    """Fill sums at a close with the sums of complete weeks and months, and with the null codes of the months."""
    running = week_of(np.int64(e.closed_day) + 1)
    for k in range(1, WEEKS + 1):
        sums[k - 1] = buckets.week_amount(e, running - k, monday_of(running - k) + 6, _S_OP_IN)
    month = month_of(np.int64(e.closed_day) + 1)
    for i in range(_T_FEN_MONTHS.shape[0]):
        first, last = month - _T_FEN_MONTHS[i, 3], month - _T_FEN_MONTHS[i, 2]
        sums[_AT_MONTHS + i] = buckets.month_amount(e, first, last, (_T_FEN_MONTHS[i, 0], _T_FEN_MONTHS[i, 1]))
    for i in range(_T_MONTHS_NULLS.shape[0]):
        sums[_AT_MONTHS_NULLS + i] = _months_null(e, month, _T_MONTHS_NULLS[i, 0])


@kernel
def _months_null(e, running, months):
    """Return the null code of mo(1)..mo(months) that cannot be read (too young, one not covered), else VALUE."""
    begin = first_day_of(running - months)
    if not coverage.months_are_covered(e, 1, months):
        end = first_day_of(running - months + 1)
        lived = end - max(begin, e.first_day)  # days of the oldest month
        return SHORT_HISTORY if 10 * lived < 9 * (end - begin) else NOT_COVERED
    if not buckets.holds_days_from(e, e.closed_day - _DAYS_OF_BUCKETS):
        return NOT_COVERED
    if e.unrated_day >= begin and buckets.month_count(e, running - months, running - 1, _N_UNRATED) > 0:
        return NOT_COVERED
    return VALUE
