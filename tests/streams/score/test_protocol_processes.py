"""The commit protocol with real processes: rebalances, a paused worker, a Redis with exchanged files."""

import collections
import shutil
import signal

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from config.settings import RedisSettings
from domain import topics
from sinks.redis_store import connect
from tests.streams.score.kit import log_of, record, txn
from tests.streams.score.processes import PARTITIONS, judge, low_offsets, worker, write_log


class Log:
    """Everything written so far, by partition."""

    def __init__(self, settings):
        self._settings = settings
        self.rows = collections.defaultdict(list)

    def write(self, records):
        for p, rows in write_log(self._settings, records).items():
            self.rows[p] += rows

    @property
    def ends(self):
        return [len(self.rows[p]) for p in range(PARTITIONS)]


@pytest.fixture
def launch(tmp_path):
    """`launch(settings, "a")` starts a worker; those that still run end with the test."""
    children = []

    def start(settings, name):
        children.append(worker(settings, tmp_path, name))
        children[-1].launch()
        return children[-1]

    yield start
    for child in children:
        if child.running:
            child.signal(signal.SIGCONT)
            child.kill()


def test_fault_21_23_workers_join_pause_and_leave_in_mid_log(stack, launch, eventually, seed, fault):
    client = connect(stack.redis.url, 5.0)
    records = log_of(seed, enterprises=10, days=160)
    fifth = -(-len(records) // 5)
    parts = [records[i : i + fifth] for i in range(0, len(records), fifth)]
    log = Log(stack)

    def all_is_low(what, *children):
        eventually(lambda: low_offsets(client) == log.ends or not all(c.running for c in children), 90, what)
        assert all(c.running for c in children), [c.log_tail() for c in children]

    log.write(parts[0])
    a = launch(stack, "a")
    eventually(lambda: sum(low_offsets(client)) > 100 or not a.running, 90, "a's first flush")
    b = fault.inject(launch, stack, "b")
    log.write(parts[1])
    eventually(lambda: " runs: " in b.log_tail(400) or not b.running, 60, "b's first partition")
    all_is_low("the second part, by both", a, b)
    # Else a slow machine pauses it while it asks Kafka for the ends of the log, which it may ask for 10 s.
    eventually(lambda: a.log_tail(400).count("Worker ready") >= 2 or not a.running, 60, "a's own part of both")
    fault.inject(a.signal, signal.SIGSTOP)
    log.write(parts[2])
    all_is_low("the third part, by b alone", b)
    fault.inject(a.signal, signal.SIGCONT)
    log.write(parts[3])
    eventually(lambda: a.log_tail(400).count(" runs: ") >= 4 or not a.running, 60, "a's return")
    all_is_low("the fourth part", a, b)
    fault.inject(b.stop)
    log.write(parts[4])
    all_is_low("the last part, by a alone", a)
    a.stop()
    assert (a.returncode, b.returncode) == (0, 0), (a.log_tail(), b.log_tail())
    totals = judge(stack, client, log.rows)
    claims = a.log_tail(400).count(" runs: ") + b.log_tail(400).count(" runs: ")
    fault(observed=f"join, pause past the session, return, leave: {claims} claims; {totals}")


def test_fault_43_redis_restarted_from_an_older_file_under_a_running_worker_which_is_then_killed(
    stack, launch, eventually, redis_factory, seed, fault
):
    server = redis_factory("own")
    settings = msgspec.structs.replace(stack, redis=RedisSettings(url=server.url, timeout_s=1.0))
    records = log_of(seed, enterprises=10, days=160)
    log = Log(settings)

    def stored():
        with connect(server.url, 5.0) as client:
            return low_offsets(client)

    log.write(records[: len(records) // 2])
    a = launch(settings, "a")
    eventually(lambda: stored() == log.ends or not a.running, 90, "the first half")
    server.stop()
    files, older = server.directory / "appendonlydir", server.directory / "older"
    shutil.copytree(files, older)
    server.start()
    half = log.ends
    log.write(records[len(records) // 2 :])
    eventually(lambda: stored() == log.ends or not a.running, 90, "the second half")
    server.kill()
    shutil.rmtree(files)
    fault.inject(shutil.copytree, older, files)
    server.start()
    assert a.running, a.log_tail()
    back = stored()
    eventually(lambda: "the fence is" in a.log_tail(400) or stored() != back, 30, "the worker to notice")
    fault.inject(a.kill)
    b = launch(settings, "a")
    eventually(lambda: stored() == log.ends or not b.running, 90, "the log's end again")
    b.stop()
    assert b.returncode == 0, b.log_tail()
    with connect(server.url, 5.0) as client:
        totals = judge(settings, client, log.rows)
    assert sum(back) < sum(log.ends)
    fault(observed=f"back from {sum(log.ends)} to {sum(half)}, then killed; {totals}")


def test_fault_38_20_an_empty_redis_and_a_log_that_does_not_reach_back_stop_the_worker(
    stack, launch, eventually, fault
):
    client = connect(stack.redis.url, 5.0)
    log = Log(stack)
    log.write([record(txn(f"t{i}", f"E{i % 4}", i // 50, i)) for i in range(200)])
    a = launch(stack, "a")
    eventually(lambda: low_offsets(client) == log.ends or not a.running, 60, "the log's end")
    admin = AdminClient({"bootstrap.servers": stack.kafka.bootstrap})
    for future in admin.delete_records([TopicPartition(topics.EVENTS, p, 10) for p in range(PARTITIONS)]).values():
        future.result(timeout=20)
    fault.inject(client.flushall)
    eventually(lambda: not a.running, 40, "the worker's end")
    assert a.returncode == 1
    assert "stored offset 0 is outside the log, which starts at 10" in a.log_tail(400)
    assert "has had an owner" in a.log_tail(400) or "is not ready" in a.log_tail(400)
    fault(observed="stopped, naming the offset and the log's start; nothing was reset")
