"""The commit protocol on a Redis Cluster of three masters: the same fence on each of them."""

import asyncio

import pytest
import redis

from features.values import Value
from sinks.redis_store import (
    Fenced,
    Outbid,
    PartitionStore,
    StoreUnavailable,
    connect,
    outcome_totals,
    partition_state,
    read_stored,
    servers,
    stored_values,
)
from streams.score.owned_partition import OwnedPartition
from streams.transport.chunk import chunk_of
from tests.redis_cluster import MASTERS, RedisCluster
from tests.sinks.kit import before_transactions
from tests.streams.score.kit import log_of, no_model, state_of

PARTITIONS = 16


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, redis_kind):
    with RedisCluster(tmp_path_factory.mktemp("cluster"), redis_kind) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    """A client of the cluster, emptied for this test."""
    with connect(cluster.url, 2.0) as client:
        for server in servers(client):
            server.flushall()
        yield client


def holders(cluster, partition):
    """Return the masters that hold keys of a partition."""
    return [n for n in range(MASTERS) if cluster.client(n).keys(f"x:{{{partition}}}:*")]


def test_each_partition_lies_on_one_master_and_every_master_holds_some(cluster, client):
    for p in range(PARTITIONS):
        store = PartitionStore(client, "x", p)
        assert store.claim(1) is None
        store.write([("E1", Value(b"hot", b"cold")), ("E2", Value(b"h2", None))], b"{}")
        assert store.names() in ([b"E1", b"E2"], [b"E2", b"E1"])
        assert store.read(["E1", "E2", "E3"]) == [Value(b"hot", b"cold"), Value(b"h2", None), None]
    found = [holders(cluster, p) for p in range(PARTITIONS)]
    assert all(len(one) == 1 for one in found), found
    assert {n for one in found for n in one} == set(range(MASTERS))
    assert len(servers(client)) == MASTERS


def test_a_second_owner_fences_the_first_on_every_master(client):
    for p in range(PARTITIONS):
        first, second = PartitionStore(client, "x", p), PartitionStore(client, "x", p)
        first.claim(5)
        first.write([("E1", Value(b"one", None))], b"{}")
        assert second.claim(6) == b"{}"
        for refused in (lambda s=first: s.write([("E1", Value(b"two", None))]), lambda s=first: s.read(["E1"])):
            with pytest.raises(Fenced, match=f"partition {p}"):
                refused()
        with pytest.raises(Outbid, match="epoch 6"):
            first.claim(5)
        assert second.fetch(["E1"]) == [Value(b"one", None)]


def test_a_fence_that_moves_within_a_transaction_leaves_nothing_written(client, monkeypatch):
    store = PartitionStore(client, "x", 3)
    store.claim(1)
    before_transactions(monkeypatch, lambda: client.set("x:{3}:e", b"1 99"))
    with pytest.raises(Fenced, match="moved during a transaction"):
        store.write([("E1", Value(b"value", None))])
    assert client.get("x:{3}:h:E1") is None


def test_load_apply_flush_and_a_lazy_read_end_as_in_memory(client, seed):
    """A partition with one enterprise in memory at a time: values go out and come back from their master."""
    records = log_of(seed, enterprises=4, days=60)
    steps = []
    held = OwnedPartition(7, PartitionStore(client, "x", 7), no_model, no_model, lambda step, _: steps.append(step))
    held.own(1, is_first=True)
    held.bound(1)
    assert held.load()
    for at in range(0, len(records), 100):
        for _ in held.memory.apply(chunk_of("events.v1", 7, at, records[at : at + 100])):
            if held.memory.wants_room and not held.memory.make_room():
                asyncio.run(held.flush_values(10))
                assert held.memory.make_room()
    asyncio.run(held.flush(10))
    assert {"claim", "load", "fetch", "slice", "state"} <= set(steps)
    stored = dict(stored_values(client, "x", 7))
    assert state_of(held.memory, stored) == stored
    again = OwnedPartition(7, PartitionStore(client, "x", 7), no_model, no_model, lambda *_: None)
    again.own(2, is_first=False)
    assert again.load()
    assert again.low_offset == len(records)
    assert sum(outcome_totals(client, "x", PARTITIONS).values()) == sum(b'"type":"tick"' not in r[1] for r in records)
    with pytest.raises(Fenced):
        asyncio.run(held.flush(10))


def test_a_partition_that_moves_to_another_master_pauses_its_owner_until_it_claims_again(cluster, client):
    other = connect(cluster.url, 2.0)  # another process, with the map as it was
    store = PartitionStore(client, "x", 5)
    store.claim(1)
    store.write([("E1", Value(b"one", None))], b"{}")
    (source,) = holders(cluster, 5)
    target = (source + 1) % MASTERS
    try:
        assert cluster.move(client.keyslot("x:{5}:e"), source, target) == 4
        assert holders(cluster, 5) == [target]
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="MovedError"):
                store.write([("E1", Value(b"two", None))])
        assert store.claim(1) == b"{}", "it asks the cluster anew"
        store.write([("E1", Value(b"two", None))])
        assert store.read(["E1"]) == [Value(b"two", None)]
        assert read_stored(other, "x", {5: ["E1"]})[5].values == {"E1": Value(b"two", None)}
        assert partition_state(other, "x", 5) == b"{}"
    finally:
        cluster.move(client.keyslot("x:{5}:e"), target, source)


def test_a_cluster_that_is_away_is_named_as_any_redis_is(tmp_path, redis_kind):
    with RedisCluster(tmp_path, redis_kind) as cluster:
        client = connect(cluster.url, 1.0)
        store = PartitionStore(client, "x", 0)
        store.claim(1)
    for refused in (lambda: store.write([("E1", Value(b"v", None))]), lambda: store.claim(1)):
        with pytest.raises(StoreUnavailable, match="redis"):
            refused()
    for failed in (lambda: connect(cluster.url, 1.0), lambda: read_stored(client, "x", {0: ["E1"]})):
        with pytest.raises(redis.RedisError):
            failed()


def test_a_master_that_comes_back_serves_its_partitions_again(tmp_path, redis_kind, eventually):
    with RedisCluster(tmp_path, redis_kind) as cluster:
        client = connect(cluster.url, 1.0)
        store = PartitionStore(client, "x", 2)
        store.claim(1)
        store.write([("E1", Value(b"one", None))], b"{}")
        (n,) = holders(cluster, 2)
        cluster.servers[n].kill()
        with pytest.raises(StoreUnavailable):
            store.write([("E1", Value(b"two", None))])
        cluster.servers[n].restart()

        def claimed():
            try:
                return store.claim(1) == b"{}"
            except StoreUnavailable:
                return False

        eventually(claimed, 20, "a claim")
        assert store.read(["E1"]) == [Value(b"one", None)]
