"""The banks of the live benchmarks: which records they send together, and when."""

from aiokafka.record.default_records import DefaultRecordBatch

from benchmarks.sender import LINGER_S, batches_of
from benchmarks.world.feed import Sent
from benchmarks.world.log import HEADERS


def test_a_bank_waits_for_more_from_its_first_record_on():
    made = [(0.00, "a", 0), (0.01, "b", 1), (0.09, "a", 2), (0.10, "a", 3), (0.105, "b", 4), (0.35, "a", 5)]
    records = [(at_s, Sent(bank, b"k", b"%d" % i), [f"event {i}"] * (i == 3)) for at_s, bank, i in made]
    found = batches_of(records)
    batches = {
        bank: [(round(one.due_s - LINGER_S, 3), read(one), one.bad_news) for one in of_bank]
        for bank, of_bank in found.items()
    }
    assert batches == {
        "a": [(0.0, [b"0", b"2"], []), (0.1, [b"3"], ["event 3"]), (0.35, [b"5"], [])],
        "b": [(0.01, [b"1", b"4"], [])],
    }


def read(batch):
    records = list(DefaultRecordBatch(bytes(batch.builder.build())))
    assert [(record.key, tuple(record.headers)) for record in records] == [(b"k", HEADERS)] * len(records)
    assert [record.offset for record in records] == list(range(batch.records))
    return [record.value for record in records]
