"""The commit protocol's scenarios on a Redis Cluster: the same results on every master."""

import msgspec
import pytest

from config.settings import RedisSettings
from sinks.redis_store import connect
from tests.redis_cluster import MASTERS, RedisCluster
from tests.streams.score.kit import log_of
from tests.streams.score.processes import PARTITIONS, judge, low_offsets, worker, write_log
from tests.streams.score.protocol import World, run
from tests.streams.score.test_protocol import SCENARIOS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, redis_kind):
    with RedisCluster(tmp_path_factory.mktemp("cluster"), redis_kind) as cluster:
        yield cluster


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda f: f.__name__)
def test_the_engine_comes_through_on_a_cluster_as_a_clean_run(score_outbox, cluster, scenario):
    world = World(score_outbox[0], cluster.url, score_outbox[1])
    run(world, scenario)
    assert world.injected or scenario is SCENARIOS[0]


def test_fault_21_38_the_partition_moves_to_another_master_and_comes_back_older(score_outbox, cluster, caplog, fault):
    """An operator moves its slot under the running worker; later that master is restored from a backup."""
    world = World(score_outbox[0], cluster.url, score_outbox[1])
    slot = world.redis.keyslot(f"{world.base}:e")
    holder = next(n for n in range(MASTERS) if slot in range(16_384 * n // MASTERS, 16_384 * (n + 1) // MASTERS))
    target = (holder + 1) % MASTERS

    async def scenario(world):
        await world.one.join()
        await world.one.apply(8)
        await world.one.flush()
        backup = world.copy()
        cluster.move(slot, holder, target)
        world.injected += 1
        await world.one.apply(5)
        for _ in range(2):
            await world.one.flush()
        assert "MovedError" in caplog.text, "the master of before was asked, and refused"
        assert world.one.runs, "the cluster was asked where the partition is now"
        await world.one.apply(5)
        await world.one.flush()
        world.restore(backup)
        world.injected += 1
        await world.settle(world.one)

    try:
        run(world, scenario)
    finally:
        cluster.move(slot, target, holder)
    fault(injected=world.injected, observed="paused, claimed on the other master, replayed; values of a clean run")


def test_fault_22_26_a_worker_and_then_a_master_are_killed(stack, tmp_path, redis_kind, eventually, seed, fault):
    """Processes as operators run them, by the setting's URL alone: a kill of each, and the end is a clean run's."""
    with RedisCluster(tmp_path / "redis", redis_kind) as cluster:
        settings = msgspec.structs.replace(stack, redis=RedisSettings(url=cluster.url, timeout_s=1.0))
        records, client = log_of(seed, enterprises=10, days=160), connect(cluster.url, 5.0)
        by_partition = write_log(settings, records)
        ends = [len(by_partition[p]) for p in range(PARTITIONS)]
        child = worker(settings, tmp_path)
        child.launch()
        eventually(lambda: sum(low_offsets(client)) > 100 or not child.running, 120, "the first flushes")
        fault.inject(child.kill)
        killed_at = low_offsets(client)
        assert sum(killed_at) < sum(ends)
        slot = client.keyslot("x:{0}:e")
        holder = next(n for n in range(MASTERS) if slot < 16_384 * (n + 1) // MASTERS)
        child = worker(settings, tmp_path)
        child.launch()
        eventually(lambda: low_offsets(client) != killed_at or not child.running, 60, "a flush after the restart")
        fault.inject(cluster.servers[holder].kill)
        eventually(lambda: "is not ready" in child.log_tail(400) or not child.running, 30, "the worker to notice")
        cluster.servers[holder].restart()
        cluster.wait_whole()
        client = connect(cluster.url, 5.0)
        eventually(lambda: low_offsets(client) == ends or not child.running, 120, "the end of the log")
        assert child.running, child.log_tail()
        attempts = child.log_tail(400).count("is not ready")
        child.stop()
        assert child.returncode == 0, child.log_tail()
        totals = judge(settings, client, by_partition)
    fault(observed=f"killed at {killed_at} of {ends}, {attempts} attempts without the master; {totals}")
