"""The fence of a partition's values in Redis."""

import pytest
import redis

from features.values import Value
from sinks.redis_store import Fenced, Outbid, PartitionStore, StoreUnavailable, connect, stored_values
from tests.sinks.kit import before_transactions


def test_a_second_owner_fences_the_first(redis_url):
    client = redis.Redis.from_url(redis_url)
    first, second = PartitionStore(client, "x", 0), PartitionStore(client, "x", 0)
    assert first.claim(5) is None
    first.write([("E1", Value(b"one", None))], b"{}")
    assert second.claim(6) == b"{}"
    with pytest.raises(Fenced, match="partition 0"):
        first.write([("E1", Value(b"two", None))])
    with pytest.raises(Fenced):
        first.names()
    with pytest.raises(Outbid, match="epoch 6"):
        first.claim(5)
    assert second.names() == [b"E1"]
    assert second.fetch(["E1"]) == [Value(b"one", None)]


def test_a_flush_number_that_moved_under_a_transaction_fences_it(redis_url, monkeypatch):
    client = redis.Redis.from_url(redis_url)
    store = PartitionStore(client, "x", 0)
    store.claim(1)
    fence = client.get("x:{0}:e")
    before_transactions(monkeypatch, lambda: client.set("x:{0}:e", b"1 99"))
    with pytest.raises(Fenced, match="moved during a transaction"):
        store.write([("E1", Value(b"value", None))])
    assert client.get("x:{0}:h:E1") is None
    assert fence != client.get("x:{0}:e")


def test_a_redis_that_is_away_is_named(redis_factory):
    server = redis_factory()
    store = PartitionStore(connect(server.url, 1.0), "x", 0)
    store.claim(1)
    server.kill()
    with pytest.raises(StoreUnavailable, match="redis"):
        store.write([("E1", Value(b"value", None))])


def test_a_connection_that_broke_after_watch_writes_nothing(redis_url, monkeypatch):
    """A client that reconnects has no watch any more: it must not send the transaction on the new connection."""
    client, own = redis.Redis.from_url(redis_url), connect(redis_url, 2.0)
    store = PartitionStore(own, "x", 0)
    store.claim(1)
    killed, mine = [], own.client_id()  # the pool has this one connection

    def cut_off():
        killed.append(client.client_kill_filter(_id=str(mine)))
        client.set("x:{0}:e", b"2 1")  # the next owner, seen by nobody's watch

    before_transactions(monkeypatch, cut_off)
    with pytest.raises((Fenced, StoreUnavailable)):
        store.write([("E1", Value(b"value", None))])
    assert killed == [1]
    assert client.get("x:{0}:h:E1") is None
    assert client.get("x:{0}:e") == b"2 1"


def test_after_a_failure_only_a_new_claim_helps(redis_url, monkeypatch):
    client = redis.Redis.from_url(redis_url)
    store = PartitionStore(client, "x", 0)
    store.claim(1)

    execute = redis.client.Pipeline.execute

    def reply_lost(pipe):
        execute(pipe)
        raise redis.ConnectionError("reply lost")

    with monkeypatch.context() as patch:
        patch.setattr(redis.client.Pipeline, "execute", reply_lost)
        with pytest.raises(StoreUnavailable):
            store.write([("E1", Value(b"one", None))])
    for refused in (lambda: store.write([("E1", Value(b"two", None))]), store.check, store.names):
        with pytest.raises(Fenced):
            refused()
    client.set("x:{0}:e", b"1 1")  # Redis has lost that write
    client.delete("x:{0}:h:E1", "x:{0}:i")
    store.claim(1)
    assert client.get("x:{0}:e") == b"1 3", "above the number that was tried, not above the one read back"
    assert store.names() == []


def test_fault_44_a_read_from_an_older_redis_is_refused(redis_url, fault):
    """Redis lost its tail, and the next event reads a value that was flushed before and is not in memory."""
    client = redis.Redis.from_url(redis_url)
    store = PartitionStore(client, "x", 0)
    store.claim(1)
    store.write([("E1", Value(b"old", None))])
    older = {key: client.dump(key) for key in client.keys("x:*")}
    store.write([("E1", Value(b"new", None))], b"{}")
    assert store.read(["E1", "E2"]) == [Value(b"new", None), None]
    fault.inject(client.flushall)
    for key, value in older.items():
        client.restore(key, 0, value)
    with pytest.raises(Fenced, match="partition 0"):
        store.read(["E1"])
    fault(observed="the stale value was refused, with the fence that came in the same read")


def test_a_listed_enterprise_without_a_value_is_named(redis_url):
    client = redis.Redis.from_url(redis_url)
    store = PartitionStore(client, "x", 0)
    store.claim(1)
    client.sadd("x:{0}:i", "E1")
    with pytest.raises(StoreUnavailable, match="E1 is listed"):
        store.fetch([name.decode() for name in store.names()])


def test_the_cold_part_stays_where_only_the_hot_one_is_written(redis_url):
    client = redis.Redis.from_url(redis_url)
    store = PartitionStore(client, "x", 0)
    store.claim(1)
    store.write([("E1", Value(b"h1", b"c1")), ("E2", Value(b"h2", None))])
    store.write([("E1", Value(b"h3", None))])
    assert store.read(["E1", "E2", "E3"]) == [Value(b"h3", b"c1"), Value(b"h2", None), None]
    client.sadd("x:{0}:i", "E3")
    assert list(stored_values(client, "x", 0)) == [("E1", (b"h3", b"c1")), ("E2", (b"h2", None)), ("E3", None)]
