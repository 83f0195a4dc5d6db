"""A full disk: a value that Redis cannot keep is not committed, and a broker that cannot write loses nothing."""

import contextlib
import logging
import signal

import pytest

from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from embedded import Kafka, RedisServer
from embedded.kafka import java_binary
from embedded.redis import server_binary
from sinks.redis_store import connect
from sinks.telemetry import Readiness
from streams.topics import create_topics
from tests import small_disk
from tests.small_disk import SmallDisk
from tests.streams.score.kit import BANK, OTHER_BANK, log_of
from tests.streams.score.processes import PARTITIONS, judge, low_offsets, worker, write_log
from tests.streams.score.protocol import World, run


@pytest.fixture
def make_small_disk(tmp_path, not_shown):
    """`make_small_disk(folder, 2)`: 2 MiB at that folder, for programs that are started on it."""
    if not small_disk.is_possible(tmp_path):
        not_shown("fault 28, a full disk", "this machine lets nobody mount a tmpfs of his own")
    with contextlib.ExitStack() as stack:
        yield lambda at, megabytes: stack.enter_context(SmallDisk(at, megabytes, tmp_path / f"{at.name}.log"))


@pytest.fixture
def small_disk_redis(make_small_disk, tmp_path, redis_kind):
    """Return a Redis whose files are on a disk of 2 MiB, and that disk."""
    at = tmp_path / "redis" / "disk"
    disk = make_small_disk(at, 2)
    program = disk.wrapped(server_binary(redis_kind), tmp_path / "redis-on-small-disk")
    with RedisServer(tmp_path / "redis", binary=program, more={"dir": f'"{at}"'}) as server:
        yield server, disk


def test_fault_28_the_disk_of_redis_is_full(score_outbox, small_disk_redis, eventually, caplog, fault):
    """Redis refuses writes that it cannot append: not ready, nothing committed, nothing lost; with room it goes on."""
    server, disk = small_disk_redis
    world = World(score_outbox[0], server.url, score_outbox[1])
    ready = []

    def readiness():
        said = [reading for reading in world.one.role.readings() if isinstance(reading, Readiness)]
        return said[-1].why_not if said else ""

    async def scenario(world):
        await world.one.join()
        await world.one.apply(6)
        await world.one.flush()
        assert readiness() == ""
        world.injected += disk.fill() > 0
        # What Redis had in its buffer it may still take; from the first append that fails on it refuses.
        while world.one.runs:
            assert await world.one.apply(2), "the log ended before a write was refused"
            await world.one.flush()
        before = world.stored()
        for _ in range(3):
            await world.one.flush()
            assert not world.one.runs
            assert world.one.role.low_offset(world.one.tp) is None, "there is nothing to commit"
            assert not await world.one.apply(2)
        ready.append(readiness())
        assert world.stored() == before
        disk.empty()
        eventually(lambda: world.redis.info("persistence")["aof_last_write_status"] == "ok", 20, "an append")
        await world.settle(world.one)
        ready.append(readiness())

    with caplog.at_level(logging.WARNING, "xinliu.score"):
        run(world, scenario)
    refusals = [r.message for r in caplog.records if "MISCONF" in r.message]
    assert refusals
    assert "partitions [0] wait for Redis" in ready[0]
    assert ready[1] == ""
    fault(injected=world.injected, observed=f"not ready, no commit, then on in the same process: {refusals[0][:120]}")


def test_fault_28_the_disk_of_the_broker_is_full(make_small_disk, redis_url, tmp_path, eventually, seed, fault):
    """The broker ends at the first append that finds no room, and with it outputs and commits: what it did not
    acknowledge is in no value, and with room again all of it is said."""
    disk = make_small_disk(tmp_path / "kafka" / "log", 96)
    java = disk.wrapped(java_binary(), tmp_path / "java-on-small-disk")
    client, records = connect(redis_url, 5.0), log_of(seed, enterprises=10, days=160)
    with Kafka(tmp_path / "kafka", java=java, heap="256m") as broker:
        settings = Settings(
            kafka=KafkaSettings(bootstrap=broker.address, log_partitions=PARTITIONS, session_timeout_s=6.0),
            redis=RedisSettings(url=redis_url),
            score=ScoreSettings(flush_interval_ms=50, flush_slice_values_max=3, batch_records_max=64),
            banks=tuple(Bank(bank_id=b, name_zh=b) for b in (BANK, OTHER_BANK)),
        )
        create_topics(settings)
        half = len(records) // 2
        by_partition = write_log(settings, records[:half])
        child = worker(settings, tmp_path)
        child.launch()

        def is_low():
            return low_offsets(client) == [len(by_partition[p]) for p in range(PARTITIONS)]

        eventually(lambda: is_low() or not child.running, 120, "the first half")
        child.signal(signal.SIGSTOP)
        for p, rows in write_log(settings, records[half:]).items():
            by_partition[p] += rows
        before = low_offsets(client)
        assert fault.inject(disk.fill) > 0
        child.signal(signal.SIGCONT)
        eventually(lambda: not broker.child.running, 60, "the broker's end")
        assert not is_low()
        held = low_offsets(client)
        disk.empty()
        (tmp_path / "kafka" / "log" / "meta.properties").touch()  # which is seen from within alone: it is formatted
        broker.restart()

        def is_low_under_a_supervisor():
            if not child.running:
                child.launch()
            return is_low()

        eventually(is_low_under_a_supervisor, 180, "the second half")
        child.stop()
        totals = judge(settings, client, by_partition)
    fault(
        observed=f"the broker ended; Redis went from {before} to {held} of what it had acknowledged, then on: {totals}",
    )
