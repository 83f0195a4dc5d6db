"""Returns and reversals: amounts taken out, counts, and a bank's error that must not stop the partition."""

import pytest

from domain.calendar import day_start_ms
from features.state.classes import AMOUNTS, COUNTS
from streams.score.partition import Partition
from tests.streams.score.kit import FIRST_DAY, applied, no_model, record, tick, txn


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


def undoing(event_id, day, status, original_day, **fields):
    ref = {"status": status, "ref_event_id": "x", "ref_event_time": day_start_ms(FIRST_DAY + original_day)}
    return record(txn(event_id, "E1", day, **fields, **ref))


def by_day(partition, ring="day"):
    """Return the buckets as {(column, position): value}."""
    found = {}
    for names, field in ((AMOUNTS, f"{ring}_amount"), (COUNTS, f"{ring}_count")):
        prefix = "S" if names is AMOUNTS else "N"
        for column, position in zip(*partition.state[field][0].nonzero(), strict=True):
            found[f"{prefix}({names[column]})", int(position)] = int(partition.state[field][0][column, position])
    return found


@pytest.mark.parametrize(("direction", "name"), [("C", "ret_c"), ("D", "ret_d")])
def test_a_return_takes_its_original_out_and_counts_on_its_own_day(direction, name):
    fields = {"direction": direction, "counterparty_kind": "personal", "purpose": "purchase", "fen": 700}
    events = [record(txn("t", "E1", 0, **fields)), undoing("r", 4, "returned", 0, **fields)]
    partition = Partition(0, no_model)
    list(applied(partition, events, 10))
    day = (FIRST_DAY + 4) % 35
    assert by_day(partition) == {(f"S({name})", day): 700, (f"N({name})", day): 1}


def test_a_reversal_counts_nowhere_and_reaches_back_into_a_closed_month():
    first = [record(txn("t", "E1", 0, fen=700)), record(txn("u", "E1", 0, 1, fen=5)), record(tick(40))]
    partition = Partition(0, no_model)
    list(applied(partition, [*first, undoing("r", 41, "reversed", 0, fen=700)], 10))
    for ring in ("day", "week", "month"):
        values = by_day(partition, ring)
        assert {name: value for (name, _), value in values.items()} == {"S(op_in)": 5, "N(op_in)": 1}


def test_a_return_without_a_rate_leaves_its_own_day_uncovered_and_its_originals_covered():
    def unrated(event):
        _, value, headers, at = record(event)
        return None, value.replace(b',"amount_cny_minor":100000', b""), headers, at

    ref = {"status": "returned", "ref_event_id": "x", "ref_event_time": day_start_ms(FIRST_DAY)}
    events = [unrated(txn("t", "E1", 0)), unrated(txn("r", "E1", 3, **ref))]
    partition = Partition(0, no_model)
    list(applied(partition, events, 10))
    day = (FIRST_DAY + 3) % 35
    assert by_day(partition) == {("N(ret_c)", day): 1, ("N(unrated)", day): 1}
