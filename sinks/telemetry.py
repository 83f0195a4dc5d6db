"""Telemetry of a worker: typed events as they happen, and readings of gauges. Pure values.

A role emits events (how long something took) and is asked for readings once a second, between two of its calls, so
that the readings of one moment fit together. sinks/metrics.py is the only place that knows Prometheus.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from domain.outputs import MonthReport

Outcome = Literal[
    "applied", "duplicate", "late", "dead_lettered",  # of every record, whoever reads it
    "receipt", "tick", "control",  # what is no enterprise's: folded into a tick, or a barrier
    "already_held",  # score: the value that came back from Redis holds it
    "let_go",  # score: memory was lost before it; it comes again by a rewind
    "skipped",  # ingest: held, and an operator had its feed go on after it
    "no_row",  # archive: read, and it makes no row
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchApplied:
    """A role applied one chunk."""

    topic: str
    records: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """Score wrote the changed values of one partition to Redis. `bytes` are those of the values."""

    values: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStored:
    """ClickHouse acknowledged one block; `seconds` includes all attempts."""

    table: str
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLost:
    """Score dropped a partition's memory and will load it again; `why` is the name of the error."""

    partition: int
    why: str


Event = BatchApplied | Flushed | BlockStored | MemoryLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed:
    """One partition that the worker reads: records handed to the role since the start, and its position.

    `payload_bytes`: of their keys, values and headers. `position`: next offset to hand over. `end`: end of the log as
    of the last fetch, None before the first.
    """

    topic: str
    partition: int
    records: int
    payload_bytes: int
    position: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Outcomes of the records of one partition since the start. `reason`: of a dead letter, else empty."""

    topic: str
    partition: int
    outcome: Outcome
    reason: str = ""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """Records of one partition that were handed over and wait in memory, without an outcome yet."""

    topic: str
    partition: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTime:
    """Event time reached in one partition of the log, epoch milliseconds."""

    partition: int
    up_to_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """One bank's feed in the newest tick, reported only by the writer of the ticks. Days are day numbers."""

    bank_id: str
    last_event_ms: int | None
    covered_up_to: int | None
    closed_up_to: int | None
    stalled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Ingest: places where a feed was held, by reason, since the start: batches, and records beyond a bound."""

    topic: str
    partition: int
    reason: str
    batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPaused:
    """Ingest: whether a feed that it reads is paused until an operator decides."""

    topic: str
    partition: int
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedWaited:
    """Ingest: seconds since the start for which a feed has waited.

    reason: what it had spent (records, bytes), or "holds", until it was known where feeds are held.
    """

    topic: str
    partition: int
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEnterprises:
    """Ingest: enterprises that a feed has brought since the start."""

    topic: str
    partition: int
    enterprises: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterprisesKnown:
    """Ingest: enterprises that this worker knows, whoever brought them."""

    enterprises: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TicksWritten:
    """The writer of the ticks: event time reached, epoch milliseconds."""

    up_to_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSize:
    """Score's memory of one partition: enterprises in memory, and bytes allocated for them."""

    partition: int
    resident: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The artefacts under which score evaluates one partition."""

    partition: int
    model_id: str
    rules_id: str
    engine_version: str
    backfill: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Records that score has written since the start, by kind; alerts and cases also by severity and state.

    state of a case: what has changed of it.
    """

    kind: Literal["score", "indicator", "observation", "alert", "case"]
    severity: str = ""
    state: str = ""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysClosed:
    """Enterprises' days that score has closed since the start; in a backfill a month's last days.

    model_changed: those within 30 days of a model that moves scores, when EWS47_score_drop is suppressed.
    """

    days: int
    model_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacknowledged:
    """Outputs that Kafka has not acknowledged yet."""

    outputs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Archive: rows that wait for ClickHouse, and attempts that it did not acknowledge since the start."""

    rows: int
    retries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Learn: matured observations by kind of label, and snapshots published or held, since the start of the log.

    waiting: observations that have not matured. stands_by: another worker learns.
    """

    labels: Mapping[str, int]
    waiting: int
    stands_by: bool
    snapshots_published: int
    snapshots_held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsTested:
    """Learn: what the newest month said of the models."""

    report: MonthReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the worker does its work now; `why_not` is a sentence."""

    ready: bool
    why_not: str = ""


Reading = (
    Consumed | Outcomes | HeldBack | Quarantined | FeedPaused | FeedWaited | NewEnterprises | EnterprisesKnown
    | EventTime | FeedState | TicksWritten | StateSize | InForce | Written | DaysClosed | Unacknowledged | Waiting
    | Learning | ModelsTested | Readiness
)  # fmt: skip
Emit = Callable[[Event], None]


class Telemetry(Protocol):
    """A receiver of events and readings."""

    def emit(self, event: Event) -> None:
        """Take in an event."""

    def read(self, readings: Iterable[Reading]) -> None:
        """Take in the current readings, which replace the previous ones."""


class NoTelemetry:
    """Telemetry that drops everything."""

    def emit(self, event: Event) -> None:
        """Drop the event."""

    def read(self, readings: Iterable[Reading]) -> None:
        """Drop the readings."""


def discard_event(_event: Event) -> None:
    """Drop an event: the receiver of a role that no worker runs."""
