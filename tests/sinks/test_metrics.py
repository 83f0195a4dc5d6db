"""Telemetry as Prometheus sees it: names, sums, series that go with their partition, and three paths over HTTP."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.catalogue import spring_festivals, workdays_decided_until
from config.settings import MetricsSettings
from domain.calendar import date_of, day_of_date, day_start_ms
from sinks import metrics as metrics_module
from sinks.metrics import SILENT_S_MAX, Metrics, MetricsServer, names, samples
from sinks.telemetry import (
    BatchApplied,
    BlockStored,
    Consumed,
    DaysClosed,
    EnterprisesKnown,
    Event,
    EventTime,
    FeedPaused,
    FeedState,
    FeedWaited,
    Flushed,
    HeldBack,
    InForce,
    Learning,
    MemoryLost,
    ModelsTested,
    NewEnterprises,
    Outcomes,
    Quarantined,
    Readiness,
    Reading,
    StateSize,
    TicksWritten,
    Unacknowledged,
    Waiting,
    Written,
)
from tests.model_months import months

READINGS: tuple[Reading, ...] = (
    Consumed(topic="events.v1", partition=3, records=100, payload_bytes=9_000, position=150, end=170),
    Consumed(topic="events.v1", partition=4, records=7, payload_bytes=0, position=7, end=None),
    Outcomes(topic="events.v1", partition=3, outcome="applied", records=90),
    Outcomes(topic="events.v1", partition=3, outcome="dead_lettered", reason="conflict", records=6),
    HeldBack(topic="events.v1", partition=3, records=4),
    Quarantined(topic="bank.a.events.v1", partition=0, reason="checksum", batches=2),
    FeedPaused(topic="bank.a.events.v1", partition=0, paused=True),
    FeedWaited(topic="bank.a.events.v1", partition=0, reason="bytes", seconds=2.5),
    NewEnterprises(topic="bank.a.events.v1", partition=0, enterprises=12),
    EnterprisesKnown(enterprises=1_000_000),
    EventTime(partition=3, up_to_ms=1_700_000_000_500),
    TicksWritten(up_to_ms=1_700_000_000_500),
    FeedState(
        bank_id="Z9000000000001", last_event_ms=1_700_000_000_000, covered_up_to=19_675, closed_up_to=None, stalled=True
    ),
    StateSize(partition=3, resident=1_000, bytes=2**24),
    InForce(partition=3, model_id="m", rules_id="r", engine_version="v", backfill=True),
    InForce(partition=4, model_id="m", rules_id="r", engine_version="v", backfill=False),
    Written(kind="score", records=11),
    Written(kind="indicator", records=7),
    Written(kind="observation", records=2),
    Written(kind="alert", severity="red", state="raised", records=3),
    Written(kind="case", severity="red", state="overdue", records=4),
    DaysClosed(days=50, model_changed=20),
    Unacknowledged(outputs=5),
    Waiting(rows=6, retries=2),
    Learning(labels={"good": 40, "bad": 2}, waiting=9, snapshots_published=1, snapshots_held=0, stands_by=False),
    ModelsTested(
        report=msgspec.structs.replace(months(3)[-1], psi_in_force_micro={"score": 310_000}, moved=("score",))
    ),
    Readiness(ready=True),
)
EVENTS: tuple[Event, ...] = (
    BatchApplied(topic="events.v1", records=400, seconds=0.02),
    Flushed(values=50, bytes=50_000, seconds=0.3),
    BlockStored(table="score", rows=900, seconds=1.5),
    MemoryLost(partition=3, why="Fenced"),
)


def shown(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample as a scrape would bring it, without the label `role`."""
    found = {}
    for family in metrics.registry.collect():
        for name, labels, value, *_ in family.samples:
            assert labels.get("role", "score") == "score"
            found[name, frozenset((k, v) for k, v in labels.items() if k != "role")] = value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return shown(metrics)[name, frozenset(labels.items())]


@pytest.fixture
def metrics() -> Metrics:
    found = Metrics("score")
    found.read(READINGS)
    for event in EVENTS:
        found.emit(event)
    return found


def test_every_type_of_telemetry_is_shown_here() -> None:
    assert {type(reading) for reading in READINGS} == set(get_args(Reading))
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_readings_become_samples_and_equal_labels_add_up(metrics: Metrics) -> None:
    assert value(metrics, "xinliu_consumed_records_total", topic="events.v1", partition="3") == 100
    assert value(metrics, "xinliu_consumed_bytes_total", topic="events.v1", partition="3") == 9_000
    assert value(metrics, "xinliu_lag_records", topic="events.v1", partition="3") == 20
    dead = {"topic": "events.v1", "partition": "3", "outcome": "dead_lettered", "reason": "conflict"}
    assert value(metrics, "xinliu_records_total", **dead) == 6
    of_a = {"topic": "bank.a.events.v1", "partition": "0"}
    assert value(metrics, "xinliu_quarantined_batches_total", **of_a, reason="checksum") == 2
    assert value(metrics, "xinliu_feed_paused", **of_a) == 1
    assert value(metrics, "xinliu_feed_waited_seconds_total", **of_a, reason="bytes") == 2.5
    assert value(metrics, "xinliu_event_time_seconds", partition="3") == 1_700_000_000.5
    assert value(metrics, "xinliu_in_force_partitions", model_id="m", rules_id="r", engine_version="v") == 2
    assert value(metrics, "xinliu_alerts_total", severity="red", state="raised") == 3
    assert value(metrics, "xinliu_cases_total", severity="red", change="overdue") == 4
    assert value(metrics, "xinliu_indicators_total") == 7
    assert value(metrics, "xinliu_days_closed_total", model_changed="yes") == 20
    assert value(metrics, "xinliu_days_closed_total", model_changed="no") == 30
    assert value(metrics, "xinliu_feed_covered_up_to_seconds", bank_id="Z9000000000001") * 1000 == day_start_ms(19_676)
    assert value(metrics, "xinliu_flush_bytes_sum") == 50_000
    assert value(metrics, "xinliu_memory_lost_total", why="Fenced") == 1
    (report,) = [reading.report for reading in READINGS if isinstance(reading, ModelsTested)]
    tested = {(one.model, one.window): one for one in report.models}
    assert value(metrics, "xinliu_model_auc", model="amf", window="12m") == tested["amf", "12m"].auc.value_micro / 10**6
    assert value(metrics, "xinliu_model_examples", model="hat", window="all") == 0
    assert ("xinliu_model_auc", frozenset({("model", "hat"), ("window", "all")})) not in shown(metrics), "silent"
    assert value(metrics, "xinliu_psi", indicator="score") == report.psi_micro["score"] / 10**6
    assert value(metrics, "xinliu_psi_in_force", indicator="score") == 0.31
    assert value(metrics, "xinliu_indicators_moved") == 1
    # The end of a log that no fetch has told yet is not known: no lag is not lag 0.
    assert ("xinliu_lag_records", frozenset({("topic", "events.v1"), ("partition", "4")})) not in shown(metrics)


def test_a_partition_that_has_moved_away_takes_its_series_with_it(metrics: Metrics) -> None:
    metrics.read([Readiness(ready=True)])
    kept = {name for name, _ in shown(metrics) if name.startswith("xinliu_")}
    assert "xinliu_lag_records" not in kept
    assert "xinliu_resident_enterprises" not in kept
    assert "xinliu_ready" in kept


def test_the_exposed_metrics_are_those_that_rules_may_query(metrics: Metrics) -> None:
    ours = {name for name, _ in shown(metrics) if name.startswith("xinliu_")}
    created = {name for name in ours if name.endswith("_created")}
    assert ours - created <= names()
    never = names() - ours
    assert never <= {"xinliu_feed_closed_up_to_seconds"}, f"no reading gives {never}"


def test_labels_are_few_and_never_name_an_enterprise_or_event() -> None:
    allowed = {
        "topic", "partition", "outcome", "reason", "bank_id", "model_id", "rules_id", "engine_version", "severity",
        "state", "label", "fate", "table", "model_changed", "model", "window", "indicator",
        "change",
    }  # fmt: skip
    used = {label for _, _, labels in metrics_module._FAMILIES.values() for label in labels}
    assert used == allowed
    for reading in READINGS:
        for name, labels, _ in samples(reading):
            assert len(labels) == len(metrics_module._FAMILIES[name][2]), name


def test_a_table_of_dates_says_when_it_ends(metrics: Metrics) -> None:
    for table, day in (("spring_festival", max(spring_festivals())), ("workdays", workdays_decided_until())):
        end = value(metrics, "xinliu_calendar_end_seconds", table=table)
        last_of_year = date_of(day).replace(month=12, day=31)
        assert end * 1_000 == day_start_ms(day_of_date(last_of_year) + 1)


@pytest.fixture
def served(metrics: Metrics) -> Iterator[tuple[Metrics, str]]:
    server = MetricsServer(metrics, MetricsSettings())
    assert server.host == "127.0.0.1", "the loopback, unless a setting says otherwise"
    yield metrics, f"http://127.0.0.1:{server.port}"
    server.close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_scrape_parses_and_holds_all_of_it(served: tuple[Metrics, str]) -> None:
    status, text = get(f"{served[1]}/metrics")
    assert status == 200
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"xinliu_records", "xinliu_batch_seconds", "xinliu_lag_records", "process_cpu_seconds"} <= families
    assert get(f"{served[1]}/anything")[0] == 404
    assert get(f"{served[1]}/live") == (200, "live\n")


def test_ready_says_why_not(served: tuple[Metrics, str], monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, url = served
    assert get(f"{url}/ready") == (200, "ready\n")
    metrics.read([Readiness(ready=False, why_not="partitions [3] wait")])
    assert get(f"{url}/ready") == (503, "partitions [3] wait\n")
    metrics.read([Readiness(ready=True)])
    now = time.time()
    later: Any = lambda: now + SILENT_S_MAX + 1  # noqa: E731  a clock
    monkeypatch.setattr(metrics_module.time, "time", later)
    status, why = get(f"{url}/ready")
    assert (status, "event loop" in why) == (503, True)


def test_a_worker_that_is_starting_is_not_ready() -> None:
    assert not Metrics("score").readiness().ready
