"""`xinliu status`: its judgement, and its findings on a real Kafka and Redis."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer

from cli import dates
from cli.engine_status import EngineStatus, PartitionStatus, RedisStatus, RoleStatus, redis_status
from cli.status import judge
from config.settings import KafkaSettings, RedisSettings, Settings
from domain import topics
from domain.calendar import day_start_ms
from domain.events import Control, Feed
from domain.outputs import QuarantinedBatch
from embedded.redis import Kind
from sinks.kafka import Outbox
from sinks.redis_store import connect, partition_state
from streams import topics as topics_of_the_broker
from streams.score.partition import PartitionState
from streams.score.version import engine_version
from streams.topics import Difference
from tests.cli.conftest import BANKS, Engine, commit
from tests.cli.kit import settings_file
from tests.redis_cluster import RedisCluster
from tests.streams.score.kit import BANK, OTHER_BANK

DAY = 19_900
ROLES = ("ingest", "score", "learn", "archive")
HEALTHY = EngineStatus(
    wrong_topics=(),
    roles={role: RoleStatus(workers=1, lag=None if role == "learn" else 0, moved=0) for role in ROLES},
    partitions={0: PartitionStatus(begin=0, end=9, state=PartitionState(low_offset=9))},
    redis=RedisStatus(used=1, most=0, policy="noeviction"),
    up_to_ms=day_start_ms(DAY + 1),
    feeds={BANK: Feed(last_event_time=day_start_ms(DAY), covered_up_to=DAY, closed_up_to=DAY)},
    dead_letters=0,
    late=0,
    quarantined=0,
    paused={},
    backfill=None,
    in_force={},
    calendar_days_left={"spring_festival": 400},
    looked_s=3.0,
)
BATCH = QuarantinedBatch(
    topic=topics.bank_events(BANK), partition=0, offset=7, next_offset=9, reason="checksum", detail="", batch_bytes=1,
    batch_crc32c=0, batch=b"x",
)  # fmt: skip
PAUSED = {(BATCH.topic, 0): BATCH}
WORD = Control(control_id="c", action="backfill_open", by="zhang", reason="history")


def role(name: str, **fields: Any) -> dict[str, RoleStatus]:
    return {**HEALTHY.roles, name: RoleStatus(**{"workers": 1, "lag": 0, "moved": 0, **fields})}


def partition(begin: int, end: int, low: int) -> dict[int, PartitionStatus]:
    return {0: PartitionStatus(begin=begin, end=end, state=PartitionState(low_offset=low))}


def handed_on(next_engine: str, number: int = 0) -> dict[int, PartitionStatus]:
    state = PartitionState(low_offset=5, engine_version="a" * 16, next_engine=next_engine)
    return {number: PartitionStatus(begin=0, end=9, state=state)}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, []),
        ({"wrong_topics": (Difference(topic="t", what="exists", found="no", wanted="yes"),)}, [("topic", "wrong")]),
        ({"redis": RedisStatus(used=1, most=0, policy="allkeys-lru")}, [("redis_policy", "wrong")]),
        ({"redis": RedisStatus(used=95, most=100, policy="noeviction")}, [("redis_full", "wrong")]),
        ({"partitions": partition(5, 9, 4)}, [("retention", "wrong")]),
        ({"partitions": partition(5, 9, 5)}, []),
        ({"partitions": partition(0, 9, 10)}, [("log_lost", "wrong")]),
        ({"roles": role("score", workers=0)}, [("no_worker_score", "wrong")]),
        ({"roles": role("archive", lag=7)}, [("stands_archive", "wrong")]),
        ({"roles": role("archive", lag=7, moved=3)}, []),
        ({"roles": role("learn", lag=None, moved=None)}, []),
        ({"up_to_ms": None, "feeds": {}}, [("no_tick", "wrong")]),
        ({"feeds": {BANK: Feed(covered_up_to=DAY, stalled=True)}}, [("feed_stalled", "wrong")]),
        ({"feeds": {BANK: Feed(covered_up_to=DAY - 2)}}, []),
        ({"feeds": {BANK: Feed(covered_up_to=DAY - 3)}}, [("coverage", "wrong")]),
        ({"feeds": {BANK: Feed()}}, [("coverage", "note")]),
        ({"calendar_days_left": {"workdays": 59}}, [("calendar", "note")]),
        ({"calendar_days_left": {"workdays": -1}}, [("calendar", "wrong")]),
        ({"calendar_days_left": {"workdays": 60}}, []),
        ({"backfill": WORD}, [("backfill", "note")]),
        ({"paused": PAUSED, "quarantined": 1}, [("feed_paused", "wrong")]),
        ({"paused": PAUSED, "quarantined": 1, "roles": role("ingest", lag=7)}, [("feed_paused", "wrong")]),
        ({"quarantined": 1}, [("quarantined", "note")]),
        ({"partitions": handed_on("b" * 16)}, [("engine_handed_on", "note")]),
        ({"partitions": handed_on("b" * 16) | handed_on("", 1)}, [("engine_handed_on", "note")]),
        ({"partitions": handed_on("")}, []),
        ({"dead_letters": 3, "late": 1}, [("dead_letters", "note"), ("late", "note")]),
    ],
)
def test_each_fault_is_named_and_says_what_to_do(fields: dict[str, Any], found: list[tuple[str, str]]) -> None:
    problems = list(judge(dataclasses.replace(HEALTHY, **fields), Settings(banks=BANKS)))
    assert [(one.id, one.weight) for one in problems] == found
    for one in problems:
        assert all(len(text) > 5 for text in (*one.what, *one.do)), one.id


def test_operators_wait_until_all_partitions_are_handed_on() -> None:
    def told(partitions: dict[int, PartitionStatus]) -> tuple[str, str]:
        (problem,) = judge(dataclasses.replace(HEALTHY, partitions=partitions), Settings(banks=BANKS))
        return problem.what[1], problem.do[1]

    new = "b" * 16
    assert told(handed_on(new) | handed_on("", 1)) == (
        f"1 of 2 partitions stand at the record that hands them to engine {new}",
        "let score of the former engine run until all partitions stand there",
    )
    what, do = told(handed_on(new) | handed_on(new, 1))
    assert what.startswith("2 of 2 ")
    assert do.startswith(f"start score of engine {new}")


@contextmanager
def members(settings: Settings, roles: tuple[str, ...]) -> Iterator[None]:
    """Somebody in the group of each role."""
    consumers = [
        Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap,
                "group.id": f"{settings.kafka.group_prefix}{name}",
                "enable.auto.commit": False,
            }
        )
        for name in roles
    ]
    for consumer in consumers:
        consumer.subscribe([topics.AUDIT])
        while not consumer.assignment():
            consumer.poll(0.1)
    yield
    for consumer in consumers:
        consumer.close()


@pytest.fixture
def settled(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Everything committed to its end, on a day long before any table of dates ends."""
    from replay.offsets import Offsets
    from streams.worker.roles import topics_of

    monkeypatch.setattr(dates, "today", lambda: 20_000)
    offsets = Offsets(engine.settings.kafka)
    for name, read in topics_of(engine.settings).items():
        if name != "learn":
            commit(engine.settings, name, offsets.ends(offsets.partitions(read)))
    return engine


def document(called: Callable[..., Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
    code, out, _ = called("status", "--json", "--look-s", "0.5")
    found = json.loads(out)
    return code, found, {one["id"]: one["what"] for one in found["problems"] if one["weight"] == "wrong"}


def test_a_healthy_engine_and_each_way_to_spoil_it(
    settled: Engine, called: Callable[..., Any], engine_redis: Any
) -> None:
    with members(settled.settings, ROLES):
        code, found, wrong = document(called)
        assert (code, wrong, found["healthy"]) == (0, {}, True)
        assert found["partitions"]["1"] == {
            "begin": 0, "end": settled.ends[1], "low_offset": settled.ends[1], "backfill": False,
            "up_to": found["up_to"], "model_id": found["partitions"]["0"]["model_id"],
            "engine_version": engine_version(), "next_engine": "",
        }  # fmt: skip
        assert set(found["feeds"]) == {BANK, OTHER_BANK}
        assert found["late"] > 0
        code, out, _ = called("status", lang="zh_CN.UTF-8")
        assert (code, out.splitlines()[0]) == (0, "正常")
        assert "xinliu late list" in out
        assert f"  引擎      {engine_version()} × {len(settled.ends)}\n" in out

        outbox = Outbox(settled.settings.kafka.bootstrap)
        outbox.send(topics.bank_events(BANK), b"{}")
        outbox.drain()
        code, found, wrong = document(called)
        assert (code, set(wrong)) == (1, {"stands_ingest"})
        assert found["roles"]["ingest"] == {"workers": 1, "lag": 1, "moved": 0}

        state = json.loads(partition_state(engine_redis, "x", 0) or b"")
        engine_redis.set("x:{0}:p", json.dumps({**state, "low_offset": settled.ends[0] + 5}))
        engine_redis.config_set("maxmemory-policy", "allkeys-lru")
        assert set(document(called)[2]) == {"stands_ingest", "log_lost", "redis_policy"}
        engine_redis.config_set("maxmemory-policy", "noeviction")
    code, found, wrong = document(called)
    assert {f"no_worker_{name}" for name in ROLES} <= set(wrong)
    code, out, _ = called("status")
    assert code == 1
    assert out.splitlines()[0].startswith("NOT HEALTHY")
    assert "start it: xinliu worker score" in out


def test_servers_that_do_not_answer_are_exit_code_2(
    engine: Engine,
    called: Callable[..., Any],
    tmp_path: Path,
    redis_factory: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = redis_factory("gone")
    gone.stop()
    no_redis = settings_file(
        tmp_path, msgspec.structs.replace(engine.settings, redis=RedisSettings(url=gone.url, timeout_s=1.0))
    )
    code, _, err = called("status", config=no_redis)
    assert (code, "Redis" in err, "[redis]" in err) == (2, True, True)
    code, out, _ = called("status", "--json", config=no_redis)
    assert json.loads(out)["unreachable"] == "redis"
    nobody = msgspec.structs.replace(engine.settings, kafka=KafkaSettings(bootstrap="127.0.0.1:9"))
    monkeypatch.setattr(topics_of_the_broker, "TIMEOUT_S", 2.0)  # nobody is there however long is waited
    code, out, err = called("status", "--json", config=settings_file(tmp_path, nobody))
    assert (code, json.loads(out)["unreachable"]) == (2, "kafka"), err


def test_of_a_cluster_the_fullest_master_is_judged(tmp_path: Path, redis_kind: Kind) -> None:
    with RedisCluster(tmp_path, redis_kind) as cluster:
        cluster.client(1).config_set("maxmemory", "100mb")
        with connect(cluster.url, 2.0) as client:
            full = redis_status(client)
            cluster.client(2).config_set("maxmemory-policy", "allkeys-lru")
            drops = redis_status(client)
    assert (full.most, full.policy) == (100 * 2**20, "noeviction")
    assert 0 < full.used < full.most
    assert (drops.most, drops.policy) == (0, "allkeys-lru")


def test_the_table_of_working_days_says_from_when_results_are_provisional() -> None:
    for days in (59, -1):
        chinese, english = dates.what("workdays", days)
        assert "2026-12-31" in chinese
        assert english.endswith("are provisional from 2027-01-01")
    assert dates.what("spring_festival", 59)[1].endswith("ends in 59 days")
