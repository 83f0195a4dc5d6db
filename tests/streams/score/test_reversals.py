"""Reversals take out more than ever came in: a bank's mistake must not stop the partition."""

from domain.calendar import day_start_ms
from streams.score.partition import Partition
from tests.streams.score.kit import FIRST_DAY, applied, no_model, record, txn


def test_reversals_of_more_than_all_named_inflow_leave_the_share_not_computable():
    events = [txn(f"t{n}", "E1", 0, n, 1) for n in range(20)]
    undone = {"status": "reversed", "ref_event_id": "x", "ref_event_time": day_start_ms(FIRST_DAY)}
    events.append(txn("r", "E1", 1, 5, 10**9, **undone))
    partition = Partition(0, no_model)
    messages = list(applied(partition, [record(event) for event in events], 100))
    assert int(partition.state["applied_count"][0]) == 21
    assert float(partition.state["payer_named"][0]) == 0.0
    assert float(partition.state["payer_credits"][0]) > 0.0
    assert messages
