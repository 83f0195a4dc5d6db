"""The indicators of the catalogue that are implemented, read from the state.

`CORE` names those that score, in the order in which the kernel keeps them; `EXTENDED` those that only explain and
trigger signals. Formulas, windows and reasons for null: `config/indicators.csv`.
"""

import numpy as np

from config.catalogue import indicators

CORE = (
    # scale of funds
    "op_inflow_30d_cny",
    "op_inflow_12m_cny",
    "net_op_margin_12m_ratio",
    "adb_30d_cny",
    "bal_min_90d_cny",
    "sales_routed_12m_ratio",
    "non_op_inflow_share_90d_ratio",
    # stability of flow
    "weekly_inflow_cv_13w_ratio",
    "monthly_inflow_cv_12m_ratio",
    "days_since_op_credit_days",
    "low_balance_days_30d_ratio",
    "returned_debits_30d_count",
    # transaction activity
    "op_credit_30d_count",
    "op_credit_count_60d_vs_prior60d_ratio",
    "active_days_30d_ratio",
    "days_since_any_txn_days",
    "cash_withdrawal_share_30d_ratio",
    "corp_to_personal_share_30d_ratio",
    # growth of income
    "op_inflow_30d_vs_prior90d_ratio",
    "op_inflow_13w_vs_prior13w_ratio",
    "op_inflow_6m_vs_prior6m_ratio",
    "op_inflow_yoy_2m_ratio",
    "op_inflow_falling_months_count",
    # counterparties
    "payer_hhi_90d_ratio",
    "payer_top1_share_90d_ratio",
    "top3_payer_silence_max_days",
    "payer_tenure_wavg_days",
    # repayment capacity
    "runway_30d_days",
    "bal_to_next_instalment_ratio",
    "instalment_to_inflow_12m_ratio",
    "debt_service_to_op_inflow_90d_ratio",
    "dscr_12m_ratio",
    "dpd_max_days",
)
EXTENDED = (
    "payer_top5_share_90d_ratio",
    "weekly_inflow_cv_13w_vs_prior13w_ratio",
    "next_instalment_days",
    "active_lenders_count",
    "judicial_freeze_active_flag",
)
INDICATORS = CORE + EXTENDED
CORE_COUNT, INDICATOR_COUNT = len(CORE), len(INDICATORS)
SLOT = {name: np.int64(slot) for slot, name in enumerate(INDICATORS)}  # of a literal, numba compiles a function anew
# Those that move at closes alone: they are computed there, and kept in the row as they stood.
AT_CLOSE = tuple(name for name in INDICATORS if indicators()[name].update == "day_close")
