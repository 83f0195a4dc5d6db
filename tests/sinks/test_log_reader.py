"""Topics are read whole, in order, and to the end that they had: also past markers, and never in silence."""

import random
from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition

from sinks.log_reader import ReadTimeout, assigned_consumer, poll, read, read_topic
from sinks.retriable import bounds


def _fill(bootstrap: str, topic: str, count: int, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for i in range(count):
        producer.produce(topic, b"%d" % i, partition=partition)
    producer.flush(20)


def _in_transaction(bootstrap: str, topic: str, *, commit: bool) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-{commit}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"committed" if commit else b"aborted", partition=0)
    producer.flush(20)
    (producer.commit_transaction if commit else producer.abort_transaction)()


def test_spans_of_several_partitions_are_read_in_order(kafka: str, make_topic: Callable[..., str], seed: int) -> None:
    rng = random.Random(seed)
    topic = make_topic("spans", partitions=3)
    spans = {}
    for partition in range(3):
        count = rng.randint(1, 6_000)
        _fill(kafka, topic, count, partition)
        begin = rng.randint(0, count)
        spans[topic, partition] = begin, rng.randint(begin, count)
    found: dict[int, list[int]] = {partition: [] for partition in range(3)}
    with closing(assigned_consumer(kafka)) as consumer:
        for message in read(consumer, spans):
            found[message.partition()].append(message.offset())
    assert found == {partition: list(range(*spans[topic, partition])) for partition in range(3)}, f"seed {seed}"


@pytest.mark.parametrize("commit", [True, False])
def test_a_topic_that_ends_in_a_marker_is_read_to_its_end(
    kafka: str, make_topic: Callable[..., str], eventually: Callable[..., None], commit: bool
) -> None:
    topic = make_topic("marked")
    _fill(kafka, topic, 3)
    _in_transaction(kafka, topic, commit=commit)
    with closing(assigned_consumer(kafka)) as consumer:  # the marker comes a moment after the answer
        eventually(lambda: bounds(consumer, topic, 0)[1] == 5, 20, "three records, one of the transaction, its marker")
    values = [message.value() for message in read_topic(kafka, topic, timeout_s=20)]
    assert values == [b"0", b"1", b"2", *([b"committed"] if commit else [])]


def test_it_begins_at_the_first_offset_that_is_left(kafka: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic("begins")
    _fill(kafka, topic, 10)
    assert [message.offset() for message in read_topic(kafka, topic, begin=7)] == [7, 8, 9]
    assert list(read_topic(kafka, topic, begin=10)) == []


def test_missing_records_are_reported_with_the_offset_reached(kafka: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic("silent")
    _fill(kafka, topic, 2)
    with (
        closing(assigned_consumer(kafka)) as consumer,
        pytest.raises(ReadTimeout, match=rf"{topic}\[0\] read to 2 of 9"),
    ):
        list(read(consumer, {(topic, 0): (0, 9)}, timeout_s=1.0))


def test_an_offset_outside_the_log_is_an_error_and_no_silence(kafka: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic("outside")
    _fill(kafka, topic, 2)
    with closing(assigned_consumer(kafka)) as consumer, pytest.raises(KafkaException):
        list(read(consumer, {(topic, 0): (50, 60)}, timeout_s=20))


def test_a_listener_gets_what_has_come_and_no_ends(
    kafka: str, make_topic: Callable[..., str], eventually: Callable[..., None]
) -> None:
    topic = make_topic("listens")
    with closing(assigned_consumer(kafka)) as consumer:
        consumer.assign([TopicPartition(topic, 0, bounds(consumer, topic, 0)[1])])
        assert poll(consumer) == []
        _fill(kafka, topic, 3)
        heard: list[bytes] = []
        eventually(lambda: heard.extend(m.value() for m in poll(consumer)) or len(heard) == 3, 20, "three records")
        assert heard == [b"0", b"1", b"2"]
