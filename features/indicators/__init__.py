"""The indicators of the catalogue, read from the state.

`CORE` names those that score by now, in the order in which the kernel keeps them; issue by issue it grows towards the
sixty of `config/indicators.csv`.
"""

CORE = (
    "op_inflow_30d_cny",
    "days_since_op_credit_days",
    "op_credit_30d_count",
    "op_inflow_30d_vs_prior90d_ratio",
    "payer_top1_share_90d_ratio",
    "dpd_max_days",
)
CORE_COUNT = len(CORE)
