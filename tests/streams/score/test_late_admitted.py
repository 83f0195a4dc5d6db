"""Records past the allowed lateness that an operator lets in."""

import pytest

from domain import topics
from features.state import buckets
from features.state.classes import AMOUNT_COLUMNS
from streams.score.partition import Partition
from tests.streams.score.kit import FIRST_DAY, applied, no_model, record, tick, txn

LATE_FEN, DAYS = 7_000_000, 60


def run(records):
    partition = Partition(0, no_model)
    return partition, list(applied(partition, records, 1_000))


def days_of_trade(**fields):
    return [
        record(event)
        for day in range(DAYS)
        for event in (txn(f"s{day}", "E1", day, 5, **fields), tick(day))
    ]  # fmt: skip


def late(seq=None, fen=LATE_FEN):
    return txn("late", "E1", 30, 9, fen, seq=seq)


def inflow_of_day(e, day):
    return buckets.day_amount(e, FIRST_DAY + day, FIRST_DAY + day, AMOUNT_COLUMNS["op_in"])


@pytest.mark.parametrize("seq", [None, 5])
def test_a_late_record_counts_on_its_day_once_it_is_admitted(seq):
    """Without admission it goes to late.v1; with it, its day, week and month count it as if it had been in time."""
    refused, said = run([*days_of_trade(), record(late(seq))])
    assert [m.topic for m in said if m.topic in (topics.LATE, topics.DEAD_LETTERS)] == [topics.LATE]
    admitted, said = run([*days_of_trade(), record(late(seq)), record(late(seq), admitted=True)])
    assert [m.topic for m in said if m.topic in (topics.LATE, topics.DEAD_LETTERS)] == [topics.LATE]
    in_time, _ = run(sorted_into([*days_of_trade()], record(late(seq)), 30))
    one, other, wanted = refused.state[0], admitted.state[0], in_time.state[0]
    assert inflow_of_day(other, 30) == inflow_of_day(one, 30) + LATE_FEN == inflow_of_day(wanted, 30)
    for name in ("week_amount", "week_count", "month_amount", "month_count"):
        assert (other[name] == wanted[name]).all(), name
    assert (other["applied_count"], other["late_count"]) == (DAYS + 1, 1)


@pytest.mark.parametrize("seq", [None, 5])
def test_an_admitted_record_that_comes_twice_is_applied_once(seq):
    """Ingest delivers at least once: the second is a duplicate, another body under its id a conflict."""
    word = record(late(seq), admitted=True)
    partition, said = run([*days_of_trade(), word, word, record(late(seq, fen=1), admitted=True)])
    e = partition.state[0]
    assert inflow_of_day(e, 30) == 100_000 + LATE_FEN
    assert (e["applied_count"], e["duplicate_count"], e["conflict_count"], e["late_count"]) == (DAYS + 1, 1, 1, 0)
    assert [m.topic for m in said if m.topic in (topics.LATE, topics.DEAD_LETTERS)] == [topics.DEAD_LETTERS]


def test_days_out_of_reach_are_counted_and_change_no_bucket():
    partition, _ = run([*days_of_trade(), record(txn("old", "E1", -800, 9, LATE_FEN), admitted=True)])
    e = partition.state[0]
    assert e["applied_count"] == DAYS + 1
    assert LATE_FEN not in e["month_amount"].ravel().tolist()


def sorted_into(records, one, day):
    """`one` right behind the trade of `day`."""
    return [*records[: 2 * day + 1], one, *records[2 * day + 1 :]]
