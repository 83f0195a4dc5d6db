"""The commit protocol's scenarios on a Redis Cluster: whichever master holds the partition, the same comes of them."""

import pytest

from tests.redis_cluster import MASTERS, RedisCluster
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
