"""The score role as a process, on real Kafka and Redis: what a kill interrupts, a restart completes, to the byte."""

import collections
import os
import random
import signal
import sys

import msgspec
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from features.redis_store import Fenced, PartitionStore, StoreUnavailable, connect, outcome_totals, partition_state
from streams.embedded import Child
from streams.score.partition import Partition
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import BANK, HEADERS, OTHER_BANK, log_of, no_model, record, tick, txn

PARTITIONS = 2
OUTPUTS = (topics.SCORE, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.bank_alerts(BANK))


@pytest.fixture
def stack(kafka_factory, redis_url):
    """Settings of a broker of this test's own, with its topics."""
    settings = Settings(
        kafka=KafkaSettings(bootstrap=kafka_factory().address, log_partitions=PARTITIONS, session_timeout_s=6.0),
        redis=RedisSettings(url=redis_url),
        score=ScoreSettings(flush_interval_ms=1, flush_slice_values_max=3, batch_records_max=64),
        banks=tuple(Bank(bank_id=b, name_zh=b) for b in (BANK, OTHER_BANK)),
    )
    create_topics(settings)
    return settings


def write_log(settings, records, first=0):
    """Each enterprise to one partition, each tick to all; returns the records by partition."""
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap, "enable.idempotence": True, "linger.ms": 5})
    by_partition = collections.defaultdict(list)
    for row in records:
        event = msgspec.json.decode(row[1])["event"]
        tick_ = event["type"] == "tick"
        for p in range(PARTITIONS) if tick_ else [int(event["enterprise_id"][1:]) % PARTITIONS]:
            by_partition[p].append(row)
            producer.produce(topics.EVENTS, row[1], partition=p, headers=HEADERS)
            producer.poll(0)
    assert producer.flush(30) == 0
    return by_partition


def read(settings, topic):
    """All records of a topic as (partition, key, value)."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    rows = []
    try:
        for p in consumer.list_topics(topic).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)
            consumer.assign([TopicPartition(topic, p, low)])
            while low < high:
                message = consumer.poll(10)
                assert message is not None, f"{topic}: read to {low} of {high}"
                low = message.offset() + 1
                rows.append((p, message.key(), message.value()))
    finally:
        consumer.close()
    return rows


def worker(settings, tmp_path):
    kafka, redis_, score = settings.kafka, settings.redis, settings.score
    path = tmp_path / "xinliu.toml"
    path.write_text(
        f'[kafka]\nbootstrap = "{kafka.bootstrap}"\nlog_partitions = {PARTITIONS}\nsession_timeout_s = 6.0\n'
        f'instance_id = "one"\n[redis]\nurl = "{redis_.url}"\n'
        f"[score]\nflush_interval_ms = {score.flush_interval_ms}\n"
        f"flush_slice_values_max = {score.flush_slice_values_max}\nbatch_records_max = {score.batch_records_max}\n"
        + "".join(f'[[banks]]\nbank_id = "{b.bank_id}"\nname_zh = "x"\n' for b in settings.banks)
    )
    argv = [sys.executable, "-m", "cli.main", "--config", str(path), "worker", "score"]
    return Child("score", argv, log=tmp_path / "score.log", env=dict(os.environ))


def low_offsets(client):
    stored = [partition_state(client, "x", p) for p in range(PARTITIONS)]
    return [msgspec.json.decode(s)["low_offset"] if s else 0 for s in stored]


def clean_run(by_partition):
    """What a run without a fault says: messages by (topic, key), in their order, and the values."""
    said, values = collections.defaultdict(list), {}
    for p, rows in by_partition.items():
        partition = Partition(p, no_model)
        for m in partition.apply(chunk_of(topics.EVENTS, p, 0, rows)):
            said[m.topic, m.key].append(m.value)
        import numpy as np

        values |= dict(partition.values(np.arange(partition.used)))
    return said, values


def without_repeats(rows):
    """Per key, in the order of first arrival: what a subscriber holds that drops what it has seen."""
    said = collections.defaultdict(dict)
    for _, key, value in rows:
        said[key].setdefault(value)
    return {key: list(values) for key, values in said.items()}


def test_kill_minus_nine_at_any_time_loses_and_repeats_nothing(stack, tmp_path, eventually, seed):
    rnd = random.Random(seed)
    by_partition = write_log(stack, log_of(seed, enterprises=10, days=160))
    ends = [len(by_partition[p]) for p in range(PARTITIONS)]
    client = connect(stack.redis.url, 5.0)
    kills = 0
    for stop_at in sorted(rnd.sample(range(50, sum(ends) - 50), 3)):
        child = worker(stack, tmp_path)
        child.launch()
        eventually(lambda at=stop_at, c=child: sum(low_offsets(client)) >= at or not c.running, 150, f"offset {stop_at}")
        assert child.running, child.log_tail()
        kills += sum(low_offsets(client)) < sum(ends)
        child.kill()
    child = worker(stack, tmp_path)
    child.launch()
    eventually(lambda: low_offsets(client) == ends or not child.running, 60, "the end of the log")
    assert child.running, child.log_tail()
    child.stop()
    assert child.returncode in (0, -signal.SIGTERM), child.log_tail()  # the last one may still have been starting
    said, values = clean_run(by_partition)
    for topic in OUTPUTS:
        got = without_repeats(read(stack, topic))
        assert got == {key: value for (t, key), value in said.items() if t == topic}, topic
        assert got, topic
    stored = {name: client.get(f"x:{{{int(name[1:]) % PARTITIONS}}}:h:{name}") for name in values}
    assert stored == values
    totals = outcome_totals(client, "x", PARTITIONS)
    assert sum(totals.values()) == sum(b'"type":"tick"' not in row[1] for rows in by_partition.values() for row in rows)
    print(f"kills before the end: {kills}, outcomes {totals}")
    assert kills >= 1


def test_a_second_owner_fences_the_first(redis_url):
    client = redis.Redis.from_url(redis_url)
    first, second = PartitionStore(client, "x", 0), PartitionStore(client, "x", 0)
    assert first.claim(5) is None
    first.write([("E1", b"one")], b"{}")
    assert second.claim(6) == b"{}"
    with pytest.raises(Fenced, match="partition 0"):
        first.write([("E1", b"two")])
    with pytest.raises(Fenced):
        list(first.load())
    with pytest.raises(Fenced, match="epoch 6"):
        first.claim(5)
    assert list(second.load()) == [("E1", b"one")]


def test_a_flush_number_that_moved_under_a_transaction_fences_it(redis_url, monkeypatch):
    client = redis.Redis.from_url(redis_url)
    store = PartitionStore(client, "x", 0)
    store.claim(1)
    fence = client.get("x:{0}:e")
    execute = store._execute

    def moved_meanwhile(pipe):
        client.set("x:{0}:e", b"1 99")
        return execute(pipe)

    monkeypatch.setattr(store, "_execute", moved_meanwhile)
    with pytest.raises(Fenced, match="moved during a transaction"):
        store.write([("E1", b"value")])
    assert client.get("x:{0}:h:E1") is None
    assert fence != client.get("x:{0}:e")


def test_a_redis_that_is_away_is_named(redis_factory):
    server = redis_factory()
    store = PartitionStore(connect(server.url, 1.0), "x", 0)
    store.claim(1)
    server.kill()
    with pytest.raises(StoreUnavailable, match="redis"):
        store.write([("E1", b"value")])


def test_redis_away_stops_the_worker_and_nothing_is_committed(stack, tmp_path, eventually, redis_factory):
    own = redis_factory("own")
    settings = msgspec.structs.replace(stack, redis=RedisSettings(url=own.url, timeout_s=1.0))
    by_partition = write_log(settings, [record(txn(f"t{i}", f"E{i % 4}", i // 50, i)) for i in range(400)])
    ends = [len(by_partition[p]) for p in range(PARTITIONS)]
    client = connect(own.url, 5.0)
    child = worker(settings, tmp_path)
    child.launch()
    eventually(lambda: low_offsets(client) == ends or not child.running, 60, "the first log")
    own.kill()
    more = write_log(settings, [record(tick(9)), record(txn("last", "E1", 10))])
    eventually(lambda: not child.running, 40, "the worker's end")
    assert child.returncode == 1
    assert "redis" in child.log_tail().lower()
    own.start()
    child = worker(settings, tmp_path)
    child.launch()
    wanted = [end + len(more[p]) for p, end in enumerate(ends)]
    client = connect(own.url, 5.0)
    eventually(lambda: low_offsets(client) == wanted or not child.running, 60, "the rest")
    child.stop()
    assert outcome_totals(client, "x", PARTITIONS)["applied"] == 401
