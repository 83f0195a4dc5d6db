"""The context of an evaluation: what rules may read beside the indicators (docs/signals.md), from state and engine."""

from detectors.rules import vocabulary as v
from detectors.scorecard import displayed
from features.indicators import INDICATOR_COUNT, SLOT, core, growth
from features.indicators.activity import counts_provisional_days
from features.indicators.days import in_festival_window
from features.indicators.nulls import BASE_TOO_SMALL, NOT_REPORTED, SHORT_HISTORY, VALUE
from features.indicators.windows import BASE_CNY_MIN, FEN
from features.state import coverage, past_scores
from features.state.days import day_of
from features.state.transitions import is_watched
from kernels.decorators import kernel

_FIRST = INDICATOR_COUNT
_INFLOW = SLOT["op_inflow_30d_cny"]


@kernel
def read(e, engine, x):
    """Fill x.value and x.null after the indicators with the context of enterprise e at x.as_of_ms.

    Its score comes before.
    """
    today = day_of(x.as_of_ms - 1)
    x.null[_FIRST:] = VALUE
    x.value[v.HISTORY_DAYS] = max(x.history_days, 1 if is_watched(e) else 0)
    x.value[v.COVERED_MONTHS] = coverage.months_covered(e)
    x.value[v.STALLED] = e.stalled
    x.value[v.GOV_CONNECTED] = e.gov_ms >= 0  # where one government fact came, others would come too
    x.value[v.SPRING_FESTIVAL] = in_festival_window(today)
    x.value[v.LOAN_STALLED] = e.loan_stalled
    _against_low_month(e, x)
    x.null[v.OFFSEASON] = x.null[v.BUYS_FROM_PERSONS] = x.null[v.CASH_INTENSIVE] = NOT_REPORTED  # no peer tables yet
    points = displayed(x.score_milli)
    x.value[v.POINTS] = points
    x.value[v.COVERAGE] = x.coverage_ppm / 1e6
    x.value[v.MODEL_CHANGED_30D] = today - engine.model_changed_day < past_scores.DAYS
    before, grade_before = past_scores.thirty_days_before(e, today)
    if before == past_scores.NONE:
        x.null[v.DELTA_30D] = x.null[v.GRADE_FALL_30D] = SHORT_HISTORY
    else:
        x.value[v.DELTA_30D] = points - before
        x.value[v.GRADE_FALL_30D] = max(0, x.published_grade - grade_before)


@kernel
def stand(e, engine, x, sums, t_ms, history_days):
    """Fill x.value and x.null of enterprise e at t_ms with its score as it stands, and nothing scored anew.

    history_days: int64; sums: int64 (SUMS_MAX,), scratch.
    """
    x.as_of_ms, x.score_milli, x.score_before_milli = t_ms, e.score_milli, e.score_milli
    x.history_days, x.published_grade, x.coverage_ppm = history_days, e.published_grade, 0
    x.provisional_calendar = counts_provisional_days(e)
    x.balance_now_cny, x.balance_known = core.read(e, t_ms, history_days, x.value, x.null, sums)
    read(e, engine, x)
    x.null[v.COVERAGE] = NOT_REPORTED  # it is not read anew


@kernel
def _against_low_month(e, x):
    """Fill in S(op_in,30d) / the second lowest month of twelve - 1: how unusual it is for this enterprise itself."""
    x.null[v.VS_LOW_MONTH] = x.null[_INFLOW]
    if e.low_month_fen == growth.NO_LOW_MONTH:
        x.null[v.VS_LOW_MONTH] = SHORT_HISTORY
    elif e.low_month_fen < BASE_CNY_MIN * FEN:
        x.null[v.VS_LOW_MONTH] = BASE_TOO_SMALL
    elif x.null[_INFLOW] == VALUE:
        x.value[v.VS_LOW_MONTH] = x.value[_INFLOW] / (e.low_month_fen / FEN) - 1.0
