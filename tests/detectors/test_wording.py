"""What people read: each count in the measure word of what it counts."""

import pytest

from config.catalogue import indicators
from detectors.wording import value_zh

COUNTED = {
    "个月": {"neg_net_op_months_12m_count", "op_inflow_falling_months_count", "op_inflow_below_avg_months_6m_count",
            "months_since_peak_inflow_count", "limit_violation_months_6m_count"},
    "周": {"zero_op_weeks_26w_count"},
    "天": {"near_zero_balance_days_30d_count", "op_credit_days_30d_count"},
    "家": {"active_banks_90d_count", "active_lenders_count", "payers_3m_count", "payees_3m_count",
          "reciprocal_parties_90d_count"},
    "笔": {"returned_debits_30d_count", "txn_30d_count", "op_credit_30d_count", "op_debit_30d_count"},
    "件": {"adverse_gov_12m_count"},
    "次": {"month_end_spike_6m_count", "transit_events_30d_count", "circular_paths_30d_count",
          "overdue_events_12m_count", "new_lender_inflows_90d_count", "shadow_lender_repay_90d_count",
          "tax_social_missed_3m_count"},
}  # fmt: skip


def test_every_count_of_the_catalogue_stands_here():
    assert set().union(*COUNTED.values()) == {name for name, row in indicators().items() if row.unit == "count"}


@pytest.mark.parametrize(("word", "name"), [(word, name) for word, names in COUNTED.items() for name in sorted(names)])
def test_a_count_is_said_in_its_measure_word(word, name):
    assert value_zh(name, 3.0) == f"3{word}"
