"""A worker's telemetry as Prometheus metrics, over HTTP on the loopback unless a setting says otherwise.

/metrics   the metrics /ready     200 where the worker does its work now, else 503 with the reason /live      200: the
process answers

Readings become metrics only while they are read: a partition that has moved to another worker takes its series with it.
Labels are few: topics and partitions, closed lists of outcomes and reasons, banks; never an enterprise or event.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any, assert_never
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.catalogue import calendar_ends
from config.settings import MetricsSettings
from domain.calendar import day_start_ms
from domain.outputs import MonthReport
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

SILENT_S_MAX = 30.0  # without a reading for so long the worker is not ready: its event loop is stuck
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COUNTS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_BYTES = tuple(4.0**n for n in range(5, 15))  # 1 KiB to 256 MiB

MODEL_FIGURES = {"auc": "AUC", "ks": "KS", "gini": "Gini", "log_loss": "Log loss", "brier": "Brier score"}

# What readings become: name, type, help, labels. Counters get Prometheus's suffix _total.
_FAMILIES: dict[str, tuple[type[Metric], str, tuple[str, ...]]] = {
    "xinliu_consumed_records": (CounterMetricFamily, "Records handed to the role", ("topic", "partition")),
    "xinliu_consumed_bytes": (
        CounterMetricFamily,
        "Bytes of the keys, values and headers of these records",
        ("topic", "partition"),
    ),
    "xinliu_records": (
        CounterMetricFamily,
        "What became of records: with xinliu_held_records they add up to the consumed ones",
        ("topic", "partition", "outcome", "reason"),
    ),
    "xinliu_held_records": (GaugeMetricFamily, "Records in memory without an outcome yet", ("topic", "partition")),
    "xinliu_quarantined_batches": (
        CounterMetricFamily,
        "Record batches of a feed that could not be read, and records at which it was held",
        ("topic", "partition", "reason"),
    ),
    "xinliu_feed_paused": (
        GaugeMetricFamily,
        "1 where a feed is paused until an operator decides",
        ("topic", "partition"),
    ),
    "xinliu_feed_waited_seconds": (
        CounterMetricFamily,
        "Seconds for which a feed has waited: for records or bytes of an hour, or to know where feeds are held",
        ("topic", "partition", "reason"),
    ),
    "xinliu_new_enterprises": (
        CounterMetricFamily,
        "Enterprises that a feed has brought",
        ("topic", "partition"),
    ),
    "xinliu_known_enterprises": (GaugeMetricFamily, "Enterprises that ingest knows", ()),
    "xinliu_lag_records": (GaugeMetricFamily, "Records not yet handed to the role", ("topic", "partition")),
    "xinliu_event_time_seconds": (GaugeMetricFamily, "Event time reached in the log", ("partition",)),
    "xinliu_ticks_up_to_seconds": (GaugeMetricFamily, "Event time that the ticks have reached", ()),
    "xinliu_feed_last_event_seconds": (GaugeMetricFamily, "Time of a bank's newest event", ("bank_id",)),
    "xinliu_feed_covered_up_to_seconds": (
        GaugeMetricFamily,
        "End of the last day that a bank's receipts cover without a gap",
        ("bank_id",),
    ),
    "xinliu_feed_closed_up_to_seconds": (
        GaugeMetricFamily,
        "End of the last day that is closed for a bank",
        ("bank_id",),
    ),
    "xinliu_feed_stalled": (GaugeMetricFamily, "1 where a bank has fallen silent", ("bank_id",)),
    "xinliu_resident_enterprises": (GaugeMetricFamily, "Enterprises in memory", ("partition",)),
    "xinliu_state_bytes": (GaugeMetricFamily, "Bytes allocated for a partition's enterprises", ("partition",)),
    "xinliu_in_force_partitions": (
        GaugeMetricFamily,
        "Partitions that are evaluated under these artefacts",
        ("model_id", "rules_id", "engine_version"),
    ),
    "xinliu_backfill": (GaugeMetricFamily, "1 while a backfill is open", ("partition",)),
    "xinliu_scores": (CounterMetricFamily, "Score records written", ()),
    "xinliu_indicators": (CounterMetricFamily, "Records of a day's indicators written", ()),
    "xinliu_observations": (CounterMetricFamily, "Observations written", ()),
    "xinliu_days_closed": (
        CounterMetricFamily,
        "Enterprises' days closed; model_changed: in how many EWS47_score_drop was suppressed since the model changed",
        ("model_changed",),
    ),
    "xinliu_alerts": (CounterMetricFamily, "Revisions of alerts, each once", ("severity", "state")),
    "xinliu_cases": (CounterMetricFamily, "Records of banks' cases, by what changed", ("severity", "change")),
    "xinliu_unacknowledged_outputs": (GaugeMetricFamily, "Outputs that Kafka has not acknowledged", ()),
    "xinliu_waiting_rows": (GaugeMetricFamily, "Rows that wait for ClickHouse", ()),
    "xinliu_block_retries": (CounterMetricFamily, "Tries of a block that ClickHouse did not acknowledge", ()),
    "xinliu_labels": (CounterMetricFamily, "Observations that have matured, by kind of label", ("label",)),
    "xinliu_observations_held": (GaugeMetricFamily, "Observations that have not matured", ()),
    "xinliu_learn_stands_by": (GaugeMetricFamily, "1 where another worker learns, and this one stands by", ()),
    "xinliu_snapshots": (CounterMetricFamily, "Model snapshots, published or held for a human", ("fate",)),
    "xinliu_model_examples": (
        GaugeMetricFamily,
        "Matured examples that a model had predicted before it learned them",
        ("model", "window"),
    ),
    **{
        f"xinliu_model_{name}": (GaugeMetricFamily, f"{text} of what a model predicted", ("model", "window"))
        for name, text in MODEL_FIGURES.items()
    },
    "xinliu_psi": (
        GaugeMetricFamily,
        "Population stability index of the newest month's observations against those of the champion's training, by "
        "indicator, and of the score",
        ("indicator",),
    ),
    "xinliu_psi_in_force": (
        GaugeMetricFamily,
        "The same against the population of the model in force; nothing where that has none",
        ("indicator",),
    ),
    "xinliu_indicators_moved": (
        GaugeMetricFamily,
        "Indicators, and the score, that are over psi_max away from the population of the model in force, in number",
        (),
    ),
    "xinliu_drift_reasons": (GaugeMetricFamily, "What the newest month calls drift, in number", ()),
    "xinliu_concept_drift": (GaugeMetricFamily, "1 where the champion's log loss has risen in the newest month", ()),
    "xinliu_ready": (GaugeMetricFamily, "1 where the worker does its work now", ()),
    "xinliu_read_at_seconds": (GaugeMetricFamily, "When these readings were taken", ()),
    "xinliu_calendar_end_seconds": (GaugeMetricFamily, "End of what a table of dates covers", ("table",)),
}
Sample = tuple[str, tuple[str, ...], float]  # name, label values, value


def samples(reading: Reading) -> Iterator[Sample]:
    """Yield one reading as samples of the families above."""
    match reading:
        case Consumed(topic=topic, partition=partition, records=records, position=position, end=end):
            where = (topic, str(partition))
            yield "xinliu_consumed_records", where, records
            yield "xinliu_consumed_bytes", where, reading.payload_bytes
            if end is not None:
                yield "xinliu_lag_records", where, max(0, end - position)
        case Outcomes():
            what = (reading.topic, str(reading.partition), reading.outcome, reading.reason)
            yield "xinliu_records", what, reading.records
        case HeldBack(topic=topic, partition=partition, records=records):
            yield "xinliu_held_records", (topic, str(partition)), records
        case Quarantined(topic=topic, partition=partition, reason=reason, batches=batches):
            yield "xinliu_quarantined_batches", (topic, str(partition), reason), batches
        case FeedPaused(topic=topic, partition=partition, paused=paused):
            yield "xinliu_feed_paused", (topic, str(partition)), paused
        case FeedWaited(topic=topic, partition=partition, reason=reason, seconds=seconds):
            yield "xinliu_feed_waited_seconds", (topic, str(partition), reason), seconds
        case NewEnterprises(topic=topic, partition=partition, enterprises=enterprises):
            yield "xinliu_new_enterprises", (topic, str(partition)), enterprises
        case EnterprisesKnown(enterprises=enterprises):
            yield "xinliu_known_enterprises", (), enterprises
        case EventTime(partition=partition, up_to_ms=up_to_ms):
            yield "xinliu_event_time_seconds", (str(partition),), up_to_ms / 1_000
        case TicksWritten(up_to_ms=up_to_ms):
            yield "xinliu_ticks_up_to_seconds", (), up_to_ms / 1_000
        case FeedState():
            yield from _feed(reading)
        case StateSize(partition=partition, resident=resident, bytes=size):
            yield "xinliu_resident_enterprises", (str(partition),), resident
            yield "xinliu_state_bytes", (str(partition),), size
        case InForce():
            yield "xinliu_in_force_partitions", (reading.model_id, reading.rules_id, reading.engine_version), 1
            yield "xinliu_backfill", (str(reading.partition),), reading.backfill
        case Written(kind="alert", severity=severity, state=state, records=records):
            yield "xinliu_alerts", (severity, state), records
        case Written(kind="case", severity=severity, state=change, records=records):
            yield "xinliu_cases", (severity, change), records
        case Written(kind=kind, records=records):
            yield f"xinliu_{kind}s", (), records
        case DaysClosed(days=days, model_changed=model_changed):
            yield "xinliu_days_closed", ("no",), days - model_changed
            yield "xinliu_days_closed", ("yes",), model_changed
        case Unacknowledged(outputs=outputs):
            yield "xinliu_unacknowledged_outputs", (), outputs
        case Waiting(rows=rows, retries=retries):
            yield "xinliu_waiting_rows", (), rows
            yield "xinliu_block_retries", (), retries
        case Learning():
            yield from _learning(reading)
        case ModelsTested(report=report):
            yield from _models(report)
        case Readiness(ready=ready):
            yield "xinliu_ready", (), ready
        case _:
            assert_never(reading)


class Metrics(Collector):
    """The telemetry of one role in this process. `read` is called by the worker, `collect` by the server's thread."""

    def __init__(self, role: str) -> None:
        self.registry = CollectorRegistry()
        self._readings: tuple[float, tuple[Reading, ...]] = (0.0, ())
        self._role = role

        def histogram(name: str, text: str, buckets: Iterable[float]) -> Histogram:
            found = Histogram(name, text, ("role",), registry=self.registry, buckets=tuple(buckets))
            found.labels(role)  # there from the start, at zero
            return found

        self._batch_seconds = histogram("xinliu_batch_seconds", "Time to apply one chunk", _SECONDS)
        self._batch_records = histogram("xinliu_batch_records", "Records of one chunk", _COUNTS)
        self._flush_seconds = histogram("xinliu_flush_seconds", "Time to flush one partition", _SECONDS)
        self._flush_values = histogram("xinliu_flush_values", "Values written by one flush", _COUNTS)
        self._flush_bytes = histogram("xinliu_flush_bytes", "Bytes written by one flush", _BYTES)
        self._block_seconds = histogram("xinliu_block_seconds", "Time to store one block, with all tries", _SECONDS)
        self._block_rows = histogram("xinliu_block_rows", "Rows of one block", _COUNTS)
        self._memory_lost = Counter(
            "xinliu_memory_lost", "Times that a partition's memory was dropped", ("role", "why"), registry=self.registry
        )
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def emit(self, event: Event) -> None:
        """Count an event."""
        match event:
            case BatchApplied(records=records, seconds=seconds):
                self._batch_seconds.labels(self._role).observe(seconds)
                self._batch_records.labels(self._role).observe(records)
            case Flushed(values=values, bytes=size, seconds=seconds):
                self._flush_seconds.labels(self._role).observe(seconds)
                self._flush_values.labels(self._role).observe(values)
                self._flush_bytes.labels(self._role).observe(size)
            case BlockStored(rows=rows, seconds=seconds):
                self._block_seconds.labels(self._role).observe(seconds)
                self._block_rows.labels(self._role).observe(rows)
            case MemoryLost(why=why):
                self._memory_lost.labels(self._role, why).inc()
            case _:
                assert_never(event)

    def read(self, readings: Iterable[Reading]) -> None:
        """Replace the previous readings."""
        self._readings = (time.time(), tuple(readings))

    def collect(self) -> Iterator[Metric]:
        """Yield the newest readings; samples with equal labels are added up."""
        read_at_s, readings = self._readings
        values: dict[tuple[str, tuple[str, ...]], float] = {}
        for name, labels, value in (sample for reading in readings for sample in samples(reading)):
            values[name, labels] = values.get((name, labels), 0.0) + value
        if read_at_s:
            values["xinliu_read_at_seconds", ()] = read_at_s
        for table, day in calendar_ends().items():
            values["xinliu_calendar_end_seconds", (table,)] = day_start_ms(day + 1) / 1_000
        for name, (kind, text, labels) in _FAMILIES.items():
            family: Any = kind(name, text, labels=("role", *labels))  # type: ignore[call-arg]
            for (of, given), value in values.items():
                if of == name:
                    family.add_metric((self._role, *given), value)
            if family.samples:
                yield family

    def readiness(self) -> Readiness:
        """Return the readiness of the newest readings; not ready where these are old."""
        read_at_s, readings = self._readings
        said = [reading for reading in readings if isinstance(reading, Readiness)]
        if not read_at_s or not said:
            return Readiness(ready=False, why_not="the worker is starting")
        if (age_s := time.time() - read_at_s) > SILENT_S_MAX:
            return Readiness(ready=False, why_not=f"its event loop has been stuck for {age_s:.0f} s")
        return next((one for one in said if not one.ready), Readiness(ready=True))


def names() -> frozenset[str]:
    """Return the names of all metrics in Prometheus, the series of histograms included, for alerting rules."""
    registered = {metric.name: metric.type for metric in Metrics("any").registry.collect()}
    found = {f"{name}_total" if kind is CounterMetricFamily else name for name, (kind, *_) in _FAMILIES.items()}
    for name, kind in registered.items():
        if name.startswith("xinliu_") and kind == "histogram":
            found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
        elif name.startswith("xinliu_") and kind == "counter":
            found.add(f"{name}_total")
    return frozenset(found)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = 10.0  # of a client that says nothing

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: scrapes are frequent."""


class MetricsServer:
    """Serves a role's metrics in a thread until `close`. Raise OSError where the address is in use."""

    def __init__(self, metrics: Metrics, settings: MetricsSettings) -> None:
        self._metrics, self._scrape = metrics, make_wsgi_app(metrics.registry)
        self._server: WSGIServer = make_server(
            settings.host, settings.port, self._answer, server_class=_Server, handler_class=_QuietHandler
        )
        self.host, self.port = settings.host, self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return self._scrape(environ, start_response)
        if path == "/ready":
            found = self._metrics.readiness()
            return _text(start_response, *(("200 OK", "ready") if found.ready else ("503 Not Ready", found.why_not)))
        if path == "/live":
            return _text(start_response, "200 OK", "live")
        return _text(start_response, "404 Not Found", "there are /metrics, /ready and /live")


def _text(start_response: Any, status: str, said: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{said}\n".encode()]


def _feed(feed: FeedState) -> Iterator[Sample]:
    bank = (feed.bank_id,)
    yield "xinliu_feed_stalled", bank, feed.stalled
    if feed.last_event_ms is not None:
        yield "xinliu_feed_last_event_seconds", bank, feed.last_event_ms / 1_000
    if feed.covered_up_to is not None:
        yield "xinliu_feed_covered_up_to_seconds", bank, day_start_ms(feed.covered_up_to + 1) / 1_000
    if feed.closed_up_to is not None:
        yield "xinliu_feed_closed_up_to_seconds", bank, day_start_ms(feed.closed_up_to + 1) / 1_000


def _learning(reading: Learning) -> Iterator[Sample]:
    for label, observations in reading.labels.items():
        yield "xinliu_labels", (label,), observations
    yield "xinliu_observations_held", (), reading.waiting
    yield "xinliu_learn_stands_by", (), reading.stands_by
    yield "xinliu_snapshots", ("published",), reading.snapshots_published
    yield "xinliu_snapshots", ("held",), reading.snapshots_held


def _models(report: MonthReport) -> Iterator[Sample]:
    for one in report.models:
        labels = (one.model, one.window)
        yield "xinliu_model_examples", labels, one.n
        for name in MODEL_FIGURES:
            value_micro = getattr(one, name).value_micro
            if value_micro is not None:
                yield f"xinliu_model_{name}", labels, value_micro / 1_000_000
    for indicator, psi_micro in report.psi_micro.items():
        yield "xinliu_psi", (indicator,), psi_micro / 1_000_000
    for indicator, psi_micro in report.psi_in_force_micro.items():
        yield "xinliu_psi_in_force", (indicator,), psi_micro / 1_000_000
    yield "xinliu_indicators_moved", (), len(report.moved)
    yield "xinliu_drift_reasons", (), len(report.drift)
    yield "xinliu_concept_drift", (), report.concept_drift
