"""The metrics of real workers on real Kafka and Redis: their counts of records add up, over restarts too."""

import itertools
import json
import signal
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from prometheus_client.parser import text_string_to_metric_families

from config.settings import RedisSettings, Settings
from domain import topics
from domain.events import SCHEMA
from embedded.children import Child
from replay.ledger import take_stock
from sinks.metrics import names
from sinks.redis_store import connect, partition_state
from streams.topics import create_topics
from tests.cli.kit import settings_file, xinliu
from tests.streams.ingest.kit import BANKS, PARTITIONS, as_bytes, at, receipt, send, send_all, settings_for, txn

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
BANK = topics.bank_events(BANKS[0])
GOOD = 300
_starts = itertools.count()


class Worker:
    """One role as `xinliu worker` runs it."""

    def __init__(self, role: str, settings: Path, folder: Path) -> None:
        argv, env = xinliu("--config", settings, "worker", role)
        log = folder / f"{role}-{next(_starts)}.log"
        self.child = Child(role, argv, log=log, env=env, cwd=folder, stop_deadline_s=30.0)
        self.child.launch()

    def scrape(self) -> Samples:
        """Every sample; nothing while the worker is starting."""
        assert self.child.running, self.child.log_tail()
        lines = [line for line in self.child.log_tail(400).splitlines() if "metrics on http://" in line]
        if not lines:
            return {}
        with urllib.request.urlopen(lines[-1].split("metrics on ")[1], timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def sums(samples: Samples, name: str, *by: str) -> dict[Any, float]:
    """`sum by (…) (name)` of a scrape."""
    found: defaultdict[Any, float] = defaultdict(float)
    for (of, labels), value in samples.items():
        if of == name:
            key = tuple(dict(labels).get(label, "") for label in by)
            found[key[0] if len(by) == 1 else key] += value
    return dict(found)


def unaccounted(samples: Samples) -> dict[Any, float]:
    """By topic and partition, records that were handed to the role, have no outcome and are not held."""
    place = ("topic", "partition")
    left = defaultdict(float, sums(samples, "xinliu_consumed_records_total", *place))
    for name in ("xinliu_records_total", "xinliu_held_records"):
        for where, records in sums(samples, name, *place).items():
            left[where] -= records
    return {where: records for where, records in left.items() if records}


@pytest.fixture
def workers(empty_kafka: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """`workers("ingest")` starts one; all end with the test."""
    settings = settings_for(empty_kafka, tmp_path)
    create_topics(settings)
    path = settings_file(tmp_path, settings, redis_url)
    with ExitStack() as ending:

        def start(role: str) -> Worker:
            worker = Worker(role, path, tmp_path)
            ending.callback(worker.child.stop)
            return worker

        start.settings = msgspec.structs.replace(settings, redis=RedisSettings(url=redis_url))  # type: ignore[attr-defined]
        yield start


def write_bank_records(bootstrap: str) -> None:
    """300 good transactions in order of time, and one or more of everything that ends otherwise."""
    rows = [txn(f"e{i}", at(0, i), enterprise_id=f"91310000MA1FL0XX{i % 7}A", date_only=False) for i in range(GOOD)]
    rows += [rows[5], rows[6], rows[7]]  # duplicates
    rows.append(rows[8] | {"amount_minor": 7})  # a conflict
    rows += [txn("x1", at(0, 1), currency="XXX"), txn("x2", at(0, 1), amount_minor=0)]
    rows += [receipt(0), txn("far", at(20), enterprise_id="91310000MA1FL0XX0A"), receipt(20)]
    rows.append(txn("stale", at(0, 3), enterprise_id="91310000MA1FL0XX0A"))  # late by now
    send(bootstrap, BANK, [*map(as_bytes, rows), b"{oops"])
    send_all(
        bootstrap, [(topics.bank_events(BANKS[1]), as_bytes(receipt(20, BANKS[1])), [("schema", SCHEMA.encode())])]
    )


def test_consumed_is_applied_and_duplicate_and_late_and_dead_lettered_to_the_record(
    workers: Callable[..., Worker], eventually: Callable[..., None]
) -> None:
    settings: Settings = workers.settings  # type: ignore[attr-defined]
    write_bank_records(settings.kafka.bootstrap)
    ingest, score = workers("ingest"), workers("score")

    def scored() -> bool:
        found = sums(score.scrape(), "xinliu_records_total", "outcome")
        return (found.get("applied"), found.get("late")) == (GOOD + 1, 1)

    eventually(scored, 240, "every record through score")
    eventually(
        lambda: sums(ingest.scrape(), "xinliu_consumed_records_total", "topic").get(BANK) == GOOD + 11,
        10,
        "a reading of ingest's",  # once a second
    )
    seen = ingest.scrape()
    assert unaccounted(seen) == {}
    assert sums(seen, "xinliu_records_total", "outcome", "reason") == {
        ("applied", ""): GOOD + 6, ("receipt", ""): 3, ("dead_lettered", "unknown_currency"): 1,
        ("dead_lettered", "amount_out_of_range"): 1, ("dead_lettered", "not_json"): 1,
    }  # fmt: skip
    assert sums(seen, "xinliu_feed_covered_up_to_seconds", "bank_id")[BANKS[1]] == at(21) / 1_000
    assert sums(seen, "xinliu_ready", "role") == {"ingest": 1}

    seen = score.scrape()
    assert unaccounted(seen) == {}
    outcomes = sums(seen, "xinliu_records_total", "outcome", "reason")
    ticks = outcomes.pop(("tick", ""))
    assert ticks >= PARTITIONS
    assert outcomes == {
        ("applied", ""): GOOD + 1, ("duplicate", ""): 3, ("late", ""): 1, ("dead_lettered", "conflict"): 1,
    }  # fmt: skip
    assert sum(sums(seen, "xinliu_resident_enterprises", "partition").values()) == 7
    assert sum(sums(seen, "xinliu_lag_records", "partition").values()) == 0
    assert sums(seen, "xinliu_scores_total", "role")["score"] >= 7
    ((versions, partitions),) = sums(seen, "xinliu_in_force_partitions", "model_id", "engine_version").items()
    assert (all(versions), partitions) == (True, PARTITIONS)

    # A kill before the last flush: what comes again is told apart from what is applied once more.
    score.child.signal(signal.SIGKILL)
    eventually(lambda: not score.child.running, 10, "the kill")
    score = workers("score")
    eventually(lambda: sums(score.scrape(), "xinliu_ready", "role") == {"score": 1}, 60, "score ready again")
    eventually(lambda: sums(score.scrape(), "xinliu_lag_records", "role") == {"score": 0}, 30, "all read again")
    assert unaccounted(score.scrape()) == {}
    with connect(settings.redis.url, 5.0) as client:
        low = lambda p: json.loads(partition_state(client, "x", p) or b"{}").get("low_offset", 0)  # noqa: E731
        eventually(lambda: all(map(low, range(PARTITIONS))), 30, "a flush of each partition")
        ledger = take_stock(settings, client)
    assert len(ledger.checks) > PARTITIONS
    assert ledger.balanced, [check for check in ledger.checks if not check.holds]
    shown = {name for name, _ in (*score.scrape(), *ingest.scrape()) if name.startswith("xinliu_")}
    assert {name for name in shown if not name.endswith("_created")} <= names()


def test_a_partition_without_redis_makes_the_worker_unready_and_says_why(
    empty_kafka: str,
    redis_factory: Callable[..., Any],
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    settings = settings_for(empty_kafka, tmp_path)
    create_topics(settings)
    assert AdminClient({"bootstrap.servers": settings.kafka.bootstrap}).list_topics(timeout=10)
    redis = redis_factory("own")
    score = Worker("score", settings_file(tmp_path, settings, redis.url), tmp_path)
    try:
        eventually(lambda: sums(score.scrape(), "xinliu_ready", "role") == {"score": 1}, 240, "ready")
        redis.kill()
        eventually(lambda: sums(score.scrape(), "xinliu_ready", "role") == {"score": 0}, 30, "not ready")
        lost = lambda: sums(score.scrape(), "xinliu_memory_lost_total", "why").get("StoreUnavailable", 0)  # noqa: E731
        eventually(lambda: lost() >= PARTITIONS, 30, "each partition is lost when it comes to be written")
        redis.restart()
        eventually(lambda: sums(score.scrape(), "xinliu_ready", "role") == {"score": 1}, 60, "ready again")
    finally:
        score.child.stop()
