"""The names that rules may use: indicators, context, events; which of them this engine computes, and where they are.

The inputs of one evaluation are in one array: the indicators in the kernel's order, then the context. A signal that
reads a name of the catalogue which this engine does not compute yet is not evaluated; an unknown name is a mistake.
"""

from config.catalogue import indicators
from features.indicators import AT_CLOSE, INDICATORS

CONTEXT = (
    "ctx.history_days",
    "ctx.covered_months",
    "ctx.inflow_vs_low_month_ratio",
    "feed.stalled",
    "feed.loan_stalled",
    "feed.gov_connected",
    "calendar.spring_festival_window",
    "peer.offseason",
    "peer.buys_from_persons",
    "peer.cash_intensive",
    "score.points",
    "score.delta_30d",
    "score.grade_fall_30d",
    "score.coverage",
    "score.model_changed_30d",
)
CONTEXT_TO_COME = (
    "ctx.balance_months",
    "loan.five_class_worst",
    "loan.five_class_fall_90d",
    "guarantor.red_count",
)
INPUTS = (*INDICATORS, *CONTEXT)
INPUT_COUNT = len(INPUTS)
FLAGS = frozenset(name for name in CONTEXT if name.startswith(("feed.", "calendar.", "peer."))) | {
    "score.model_changed_30d"
}
SLOT_OF = {name: slot for slot, name in enumerate(INPUTS)}
(
    HISTORY_DAYS, COVERED_MONTHS, VS_LOW_MONTH, STALLED, LOAN_STALLED, GOV_CONNECTED, SPRING_FESTIVAL, OFFSEASON,
    BUYS_FROM_PERSONS, CASH_INTENSIVE, POINTS, DELTA_30D, GRADE_FALL_30D, COVERAGE, MODEL_CHANGED_30D,
) = (SLOT_OF[name] for name in CONTEXT)  # fmt: skip

# By slot, what no transaction moves: it moves with closes and days, with facts of lenders and governments, with ticks
# and models.
UNMOVED_BY_TXNS = frozenset(
    SLOT_OF[name]
    for name in (
        *AT_CLOSE, *FLAGS, "ctx.covered_months",
        "active_lenders_count", "dpd_max_days", "instalment_to_inflow_12m_ratio", "judicial_freeze_active_flag",
    )
)  # fmt: skip

# What speaks of one lender's loans alone in a signal of scope lender, and of which of it this engine can do so.
_LENDERS_OWN = (
    "active_lenders_count", "dpd_", "next_instalment_", "bal_to_next_", "limit_", "high_util_", "proceeds_", "lender_",
    "loan.", "feed.loan_stalled",
)  # fmt: skip
OVERLAID = frozenset(
    {"dpd_max_days", "active_lenders_count", "next_instalment_days", "bal_to_next_instalment_ratio",
     "feed.loan_stalled"}
)  # fmt: skip
# Of these, what moves between facts on loans and days: with the time of day, and with the balance.
AGAINST_BALANCE = "bal_to_next_instalment_ratio"
MOVING = ("next_instalment_days", AGAINST_BALANCE)


def needs_overlay(name: str) -> bool:
    """Return whether the name means something else for each lender."""
    return name.startswith(_LENDERS_OWN)


def is_known(name: str) -> bool:
    """Return whether the catalogue has this indicator or context name."""
    return name in SLOT_OF or name in CONTEXT_TO_COME or name in indicators()
