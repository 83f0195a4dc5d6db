"""The world of the benchmarks: its records are those of banks and ingest, and its parts equal the whole."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer

from benchmarks import drains
from benchmarks.world import feed, history, mixed, population
from benchmarks.world.log import HEADERS, TICK_DELAY_MS, PartitionLog, World, partitions_of
from benchmarks.world.population import enterprise_id
from config.credentials import forbidden
from domain.calendar import day_start_ms
from domain.events import LogRecord, Receipt, Txn
from domain.reject import Rejected
from domain.validate import Validator, source_of
from features.state.record_columns import RECORD
from streams.score import reader

WORLD = World(seed=11, enterprises=60, partitions=3, warm_days=60, timed_days=2)


@pytest.fixture(scope="module")
def log():
    return PartitionLog(WORLD, 1)


def values_of(log, *, timed):
    return [block.value(i) for block in log.blocks(timed=timed) for i in range(len(block))]


def test_log_records_are_the_bytes_that_ingest_encodes(log):
    for value in values_of(log, timed=True):
        assert msgspec.json.encode(msgspec.json.decode(value, type=LogRecord)) == value


def test_the_compiled_reader_takes_every_transaction_of_the_log(log):
    transactions = 0
    for chunk in log.chunks(timed=True):
        rows, taken = np.zeros(len(chunk), RECORD), np.zeros(len(chunk), np.uint8)
        reader.read(chunk.buffer, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end, rows, taken)
        for i in range(len(chunk)):
            is_transaction = chunk.value(i).startswith(b'{"event":{"type":"txn"')
            assert taken[i] == is_transaction
            transactions += is_transaction
    assert transactions > 20 * 2 * 15


def test_banks_send_what_ingest_accepts():
    found = feed.transactions(WORLD, 500)
    accepted = Counter()
    for sent in feed.feed(found):
        validator = Validator(source=source_of(sent.topic), forbidden=forbidden(), future_tolerance_ms=0)
        event = validator.accept(sent.value, dict(HEADERS)["schema"], 2**45)
        assert isinstance(event, Txn | Receipt), event
        accepted[type(event)] += 1
    assert accepted[Txn] == 500


def test_a_world_is_the_same_in_parts_and_whole():
    numbers = np.arange(60)
    whole = population.profiles(11, numbers, 62)
    part = population.profiles(11, numbers[20:30], 62)
    assert whole[20:30].tobytes() == part.tobytes()
    rows = {size: history.history(11, population.profiles(11, numbers[:size], 62), plain_shape()) for size in (10, 60)}
    of_first = rows[60][rows[60]["enterprise"] < 10]
    assert sorted(of_first.tolist()) == sorted(rows[10].tolist())


def test_warm_and_timed_part_are_one_log_without_gap_or_overlap(log):
    ticks = [
        msgspec.json.decode(value, type=LogRecord).event.up_to
        for timed in (False, True)
        for value in values_of(log, timed=timed)
        if value.startswith(b'{"event":{"type":"tick"')
    ]
    assert len(ticks) == len(set(ticks)) == WORLD.warm_days + WORLD.timed_days
    assert ticks == sorted(ticks)
    whole = history.history(WORLD.seed, log.profiles, WORLD.shape)["arrival_ms"]
    sent = [
        sum(value.startswith(b'{"event":{"type":"txn"') for value in values_of(log, timed=timed))
        for timed in (False, True)
    ]
    assert sent[0] == (whole < WORLD.timed_from_ms).sum()
    assert sum(sent) == (whole <= ticks[-1] + TICK_DELAY_MS).sum()


def test_amounts_keep_the_level_of_days_when_transactions_grow_many():
    profiles = population.profiles(5, np.arange(400), 10**6)
    events = history.history(5, profiles, history.Shape(first_day=20_000, days=120, dense_from=60, twice_share=0.0))
    sales = events[events["kind"] == 0]
    day = (sales["event_ms"] - day_start_ms(20_000)) // 86_400_000
    early, late = (sales["amount"][cut].sum() / 60 for cut in (day < 60, day >= 60))
    assert abs(late / early - 1.0) < 0.15
    assert len(events[(events["event_ms"] - day_start_ms(20_000)) // 86_400_000 == 100]) == 400 * 20


def test_keys_go_to_the_partition_where_producers_put_them(kafka):
    numbers = [*range(50), 900_000_000]
    drains.make_topic(kafka, "keys", 7)
    placed = {}
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for number in numbers:
        producer.produce(
            "keys", b"", enterprise_id(number).encode(),
            on_delivery=lambda error, message: placed.__setitem__(message.key(), message.partition()),
        )  # fmt: skip
    producer.flush(30)
    expected = dict(zip((enterprise_id(n).encode() for n in numbers), partitions_of(numbers, 7).tolist(), strict=True))
    assert placed == expected


def plain_shape():
    return history.Shape(first_day=20_000, days=62, dense_from=55, twice_share=0.0)


def test_a_tenth_of_mixed_records_is_bad_and_each_has_its_expected_outcome():
    found = mixed.transactions(WORLD, 2_001)
    sent = list(mixed.records(found, 2_000, mixed=True))
    outcomes = Counter(outcome for _, outcome in sent)
    at_score = ("applied", "duplicate", "conflict", "late")
    assert len(sent) == 2_000
    assert 0.09 < 1 - sum(outcomes[name] for name in at_score) / len(sent) < 0.11
    assert all(outcomes[name] for name in at_score)
    for record, expected in sent:
        validator = Validator(source=source_of(record.topic), forbidden=forbidden(), future_tolerance_ms=300_000)
        outcome = validator.accept(record.value, dict(record.headers).get("schema"), WORLD.timed_from_ms + 10**9)
        assert expected == outcome.reason if isinstance(outcome, Rejected) else expected in at_score
    clean = [outcome for _, outcome in mixed.records(found, 2_000, mixed=False)]
    assert clean == ["applied"] * 2_000
