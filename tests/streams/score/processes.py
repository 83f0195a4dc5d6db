"""Score workers as processes on a real broker: their log, their outputs, and those of a run without faults."""

import collections
import os
import sys

import msgspec
from confluent_kafka import OFFSET_INVALID

from domain import topics
from embedded import Child
from replay.ledger import take_stock
from sinks.redis_store import outcome_totals, partition_state, stored_values
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests import brokers, reading
from tests.streams.score.kit import BANK, HEADERS, no_model, said, state_of

PARTITIONS = 2
OUTPUTS = (topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.bank_alerts(BANK))


def write_log(settings, records, first=0):
    """Each enterprise to one partition, each tick to all; returns the records by partition."""
    producer = brokers.producer(settings.kafka.bootstrap, linger_ms=5)
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


def worker(settings, tmp_path, name="one", engine=None):
    """A process of its own with the score role; `name` is its instance in the group.

    `engine`: the engine version that it goes by in place of its own.
    """
    kafka, redis_, score = settings.kafka, settings.redis, settings.score
    path = tmp_path / f"{name}.toml"
    path.write_text(
        f'[kafka]\nbootstrap = "{kafka.bootstrap}"\nlog_partitions = {PARTITIONS}\nsession_timeout_s = 6.0\n'
        f'instance_id = "{name}"\n[redis]\ntimeout_s = {redis_.timeout_s}\nurl = "{redis_.url}"\n'
        f"[score]\nflush_interval_ms = {score.flush_interval_ms}\n"
        f"flush_slice_values_max = {score.flush_slice_values_max}\nbatch_records_max = {score.batch_records_max}\n"
        f"enterprises_resident_max = {score.enterprises_resident_max}\ndelayed_s = {score.delayed_s}\n"
        + "".join(f'[[banks]]\nbank_id = "{b.bank_id}"\nname_zh = "x"\n' for b in settings.banks)
    )
    program = ["cli.main"] if engine is None else ["tests.streams.score.another_engine", engine]
    argv = [sys.executable, "-m", *program, "--config", str(path), "worker", "score"]
    return Child(name, argv, log=tmp_path / f"{name}.log", env=dict(os.environ))


def low_offsets(client):
    """As Redis has them, by partition."""
    stored = [partition_state(client, "x", p) for p in range(PARTITIONS)]
    return [msgspec.json.decode(s)["low_offset"] if s else 0 for s in stored]


def clean_run(by_partition):
    """The outputs of a run without a fault: messages by (topic, key), in their order, and the values."""
    messages, values = collections.defaultdict(list), {}
    for p, rows in by_partition.items():
        partition = Partition(p, no_model)
        for m in said(partition, chunk_of(topics.EVENTS, p, 0, rows)):
            messages[m.topic, m.key].append(m.value)
        values |= state_of(partition)
    return messages, values


def without_repeats(records):
    """Return by key the values in the order of first arrival, as a subscriber keeps them that drops repeats."""
    said = collections.defaultdict(dict)
    for record in records:
        said[record.key].setdefault(record.value)
    return {key: list(values) for key, values in said.items()}


def committed(settings):
    """Return the group's committed offsets, by partition."""
    found = reading.committed(settings.kafka.bootstrap, "xinliu-score", topics.EVENTS, PARTITIONS)
    return [found.get(p, OFFSET_INVALID) for p in range(PARTITIONS)]


def judge(settings, client, by_partition, outputs=OUTPUTS):
    """Assert that outputs without repeats, values and ledger are those of a run without faults; return the totals.

    Each topic of `outputs` must have records.
    """
    clean, values = clean_run(by_partition)
    for topic in outputs:
        got = without_repeats(reading.read(settings.kafka.bootstrap, topic))
        assert got == {key: value for (t, key), value in clean.items() if t == topic}, topic
        assert got, topic
    assert {name: value for p in by_partition for name, value in stored_values(client, "x", p)} == values
    totals = outcome_totals(client, "x", PARTITIONS)
    assert sum(totals.values()) == sum(b'"type":"tick"' not in row[1] for rows in by_partition.values() for row in rows)
    ledger = take_stock(settings, client)  # as `xinliu ledger check`
    assert ledger.checks
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
    return totals
