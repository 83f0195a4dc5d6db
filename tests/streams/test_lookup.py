"""Readers beside the workers: a thousand enterprises in one round trip, as the partitions have them in memory."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest
import redis
from confluent_kafka import Producer

from detectors.prior import prior_id, prior_snapshot
from detectors.rules.artefact import packaged_rules
from domain import topics
from domain.outputs import Score
from features.layout import LAYOUT_VERSION
from sinks.partitioner import partitions_of
from sinks.redis_store import PartitionStore, connect, servers
from streams.lookup import Features, Lookup, Null, Unknown, Unreadable
from streams.score.owned_partition import OwnedPartition
from streams.score.reevaluation import readings, reevaluate
from streams.transport.chunk import chunk_of
from tests.redis_cluster import RedisCluster
from tests.streams.score.kit import log_of, messages_of, prior_engine, record, txn

PARTITIONS, EPOCH = 8, 41
MANY = [f"91450100{n:010d}" for n in range(1_000)]
RICH = [f"E{n}" for n in range(12)]


@dataclass(frozen=True, slots=True)
class World:
    """Partitions in memory, their outputs, and a client of the Redis with their flushed values."""

    client: object
    held: dict[int, OwnedPartition]
    said: list

    def lookup(self) -> Lookup:
        return Lookup(self.client, "x", PARTITIONS, lambda _: prior_snapshot(), lambda _: packaged_rules())


@pytest.fixture(scope="module", params=["one_server", "cluster"])
def redis_at(request, tmp_path_factory, redis_kind):
    """URL of a Redis of this module's own, alone or as a cluster."""
    folder = tmp_path_factory.mktemp("lookup")
    if request.param == "cluster":
        with RedisCluster(folder, redis_kind) as cluster:
            yield cluster.url
        return
    from embedded import RedisServer

    with RedisServer(folder, kind=redis_kind) as server:
        yield server.url


@pytest.fixture(scope="module")
def world(redis_at, module_seed):
    """A year's half of twelve enterprises and one record of a thousand, each where its key belongs."""
    rows = [*log_of(module_seed), *(record(txn(f"m{n}", name, 169, n)) for n, name in enumerate(MANY))]
    by_partition: dict[int, list] = {p: [] for p in range(PARTITIONS)}
    for row in rows:
        event = msgspec.json.decode(row[1])["event"]
        is_tick = event["type"] == "tick"
        for p in by_partition if is_tick else partitions_of([event["enterprise_id"].encode()], PARTITIONS).tolist():
            by_partition[p].append(row)
    client, held, said = connect(redis_at, 5.0), {}, []
    for p, part in by_partition.items():
        held[p] = OwnedPartition(p, PartitionStore(client, "x", p), _none, _none, lambda _step, _partition: None)
        held[p].own(EPOCH + p, is_first=True)
        assert held[p].load()
        held[p].bound(10_000)
        said += [m for some in held[p].memory.apply(chunk_of(topics.EVENTS, p, 0, part)) for m in messages_of(some)]
        asyncio.run(held[p].flush(100))
    yield World(client, held, said)
    client.close()


def _none(content_id):
    raise LookupError(content_id)


def in_memory(world):
    """By enterprise: (its partition, its row, its evaluation), computed from the partitions' own memory."""
    engine = prior_engine(world.held[0].memory)
    found = {}
    for p, held in world.held.items():
        memory = held.memory
        rows = memory.state[memory.residents.rows()]
        names = [name for name, _ in memory.values(memory.residents.rows())]
        found |= {name: (p, row, x) for name, row, x in zip(names, rows, reevaluate(rows.copy(), engine), strict=True)}
    return found


def commands(client):
    """Return by server the count of each command, by the server's own statistics, without those of connecting."""
    found = []
    for server in servers(client):
        counts = {name.removeprefix("cmdstat_"): said["calls"] for name, said in server.info("commandstats").items()}
        found.append({k: n for k, n in counts.items() if not k.startswith(("client", "hello", "info", "config"))})
    return found


def reset(client):
    for server in servers(client):
        server.config_resetstat()


def test_a_thousand_enterprises_are_what_the_partitions_hold_in_memory(world):
    wanted = in_memory(world)
    with_values = with_nulls = 0
    for name, answer in zip([*MANY, *RICH], world.lookup().read([*MANY, *RICH]), strict=True):
        assert isinstance(answer, Features), answer
        p, row, x = wanted[name]
        assert (answer.enterprise_id, answer.partition, answer.epoch) == (name, p, EPOCH + p)
        assert (answer.applied_offset, answer.as_of_ms) == (int(row["applied_offset"]), int(x["as_of_ms"]))
        assert answer.score_milli == x["score_milli"]
        assert answer.indicators == {
            r.id: Null(why=r.null) if r.value is None else r.value for r in readings(x)
        }  # to the bit: no tolerance
        with_values += any(not isinstance(value, Null) for value in answer.indicators.values())
        with_nulls += any(isinstance(value, Null) for value in answer.indicators.values())
    assert with_values == len([*MANY, *RICH])
    assert with_nulls >= len(MANY)


def test_a_score_that_was_sent_is_the_score_that_is_read(world):
    """Enterprises whose newest score record is of the current moment: nothing was written in between."""
    newest = {}
    for message in world.said:
        if message.topic == topics.SCORE:
            score = msgspec.json.decode(message.value, type=Score)
            newest[score.enterprise_id] = score
    alike = 0
    for answer in world.lookup().read(list(newest)):
        sent = newest[answer.enterprise_id]
        if sent.as_of == answer.as_of_ms:
            alike += 1
            names = (
                "score",
                "score_milli",
                "status",
                "status_reason",
                "grade",
                "published_grade",
                "model_id",
                "rules_id",
            )
            assert [getattr(answer, name) for name in names] == [getattr(sent, name) for name in names]
    assert alike > 900


def test_a_thousand_take_one_round_trip_to_each_server_and_nothing_is_written(world, monkeypatch):
    lookup = world.lookup()
    lookup.read(MANY)  # connections and kernels stand
    before = [server.dbsize() for server in servers(world.client)]
    reset(world.client)
    sent = []
    send = redis.connection.Connection.send_packed_command
    monkeypatch.setattr(
        redis.connection.Connection,
        "send_packed_command",
        lambda self, command, *rest, **more: (sent.append(self.port), send(self, command, *rest, **more))[1],
    )
    assert len(lookup.read(MANY)) == 1_000
    monkeypatch.undo()
    assert sorted(sent) == sorted(server.connection_pool.connection_kwargs["port"] for server in servers(world.client))
    asked = commands(world.client)
    assert all(set(one) == {"mget"} for one in asked), "nothing but reads"
    assert sum(one["mget"] for one in asked) == PARTITIONS, "of each partition all is of one moment"
    assert [server.dbsize() for server in servers(world.client)] == before


def test_a_thousand_of_one_partition_are_one_command(world):
    many = [f"T{n}" for n in range(20_000)]
    placed = partitions_of([name.encode() for name in many], PARTITIONS)
    names = [name for name, p in zip(many, placed, strict=True) if p == 3][:1_000]
    lookup = world.lookup()
    reset(world.client)
    assert {type(answer) for answer in lookup.read(names)} == {Unknown}
    assert [one for one in commands(world.client) if one] == [{"mget": 1}]


def test_unknown_foreign_and_damaged_are_distinguished_and_hide_nobody(world):
    lookup = world.lookup()
    p = lookup.read(["E3"])[0].partition
    alike = [name for name in MANY if lookup.read([name])[0].partition == p][:3]
    keys = [f"x:{{{p}}}:h:{name}" for name in ("E3", *alike[:2])]
    before = [world.client.get(key) for key in keys]
    foreign = before[0][:4] + (LAYOUT_VERSION ^ 1).to_bytes(4, "little") + before[0][8:]
    try:
        for key, value in zip(keys, (foreign, before[1][:9], before[2][:-1]), strict=True):
            world.client.set(key, value)
        old, short, cut, fine, absent = lookup.read(["E3", *alike, "NOBODY"])
    finally:
        for key, value in zip(keys, before, strict=True):
            world.client.set(key, value)
    assert isinstance(old, Unreadable)
    assert (old.enterprise_id, old.partition) == ("E3", p)
    for word in ("value of E3", f"{LAYOUT_VERSION ^ 1:08x}", f"{LAYOUT_VERSION:08x}"):
        assert word in old.why
    assert isinstance(short, Unreadable)
    assert isinstance(cut, Unreadable)
    assert isinstance(fine, Features)
    assert absent == Unknown(enterprise_id="NOBODY", partition=int(partitions_of([b"NOBODY"], PARTITIONS)[0]))


def test_answers_are_in_the_order_asked_also_of_one_that_is_asked_twice(world):
    lookup = world.lookup()
    asked = ["E5", "NOBODY", "E5", *MANY, *RICH, "E5"]
    assert [answer.enterprise_id for answer in lookup.read(asked)] == asked
    assert lookup.read([]) == []


def test_it_says_which_model_and_rules_it_was_read_under(world):
    (answer,) = world.lookup().read(["E1"])
    assert (answer.model_id, answer.rules_id) == (prior_id(), packaged_rules().id)


def test_an_id_is_looked_for_where_producers_put_its_records(kafka, make_topic):
    topic, placed = make_topic("keys", partitions=7), {}
    names = [*MANY[:50], *RICH, "x", "ab", "企业", "a" * 32]
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for name in names:
        producer.produce(topic, b"", name, on_delivery=lambda _, m: placed.__setitem__(m.key().decode(), m.partition()))
    assert producer.flush(30) == 0
    assert placed == dict(zip(names, partitions_of([name.encode() for name in names], 7).tolist(), strict=True))
