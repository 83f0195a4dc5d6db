"""The books of a replay: every record that went in, and what became of it. Counted from the topics, Redis and
ClickHouse after the run, over distinct coordinates; never from what the engine says of itself alone.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from config.settings import KafkaSettings, Settings
from domain import topics
from domain.calendar import date_of
from domain.events import Control, LogRecord, Tick, Txn
from domain.outputs import Alert
from domain.reject import Reason
from replay.judging import Judgement, Label, judge
from replay.ledger import OUTCOMES, Check, InputCount, Letters, LogCount, count_inputs, count_log, read_letters, reasons
from replay.offsets import Offsets
from replay.reading import read_topics
from streams.score.version import engine_version

Identity = tuple[str, str, str]
Kind = TypeVar("Kind", bound=msgspec.Struct)


class TopicBook(msgspec.Struct, frozen=True, kw_only=True):
    """One input topic: consumed = accepted into the log + receipts folded into ticks + dead-lettered + quarantined."""

    topic: str
    sent: int
    consumed: int
    accepted: int
    receipts: int
    dead_lettered: dict[str, int]  # by reason
    quarantined: int = 0  # offsets of batches that cannot be read and were skipped


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the summary states."""

    source: str
    engine_version: str
    machine: str
    rows: dict[str, int]  # read, made, dropped: <reason>
    topics: list[TopicBook]
    log_records: int  # of events.v1, barriers included
    log_barriers: int  # ticks and controls among them, one a partition
    log_repeats: int  # appended again after a restart of ingest
    outcomes: dict[str, int]  # of events.v1, by what score made of each record
    alerts: dict[str, int]  # "<topic> <severity> <state>", repeats removed
    outcomes_sent: int  # what became of loans, through control.v1
    scores: int
    indicators: int  # records of a day's indicators
    observations: int
    snapshots: int  # that learn has published
    labels_learned: int  # by the snapshot that has most
    model_switches: int
    judgement: Judgement | None  # None where the source knows of no outcome
    learn: dict[str, int | float | str | None]  # what learn said of itself at its end; empty where it runs elsewhere
    archive: dict[str, tuple[int, int]]  # table: (rows in ClickHouse, emitted)
    covered_up_to: dict[str, str]  # bank_id: last day covered, by the last tick
    wall_s: float
    checks: list[Check]

    @property
    def balanced(self) -> bool:
        """Whether all checks hold."""
        return all(check.holds for check in self.checks)


class _Place(msgspec.Struct, frozen=True):
    """The place of an output in its topic, for ever."""

    enterprise_id: str
    offset: int
    seq: int


class _Observed(msgspec.Struct, frozen=True):
    observation_id: str
    loan_id: str | None
    score_milli: int


class _SnapshotLabels(msgspec.Struct, frozen=True):
    parent_id: str | None
    trained_labels_count: int


@dataclass(slots=True)
class _LogNotes:
    """The facts that the books take from the log's records, beside their number."""

    txns: set[Identity] = field(default_factory=set)
    switches: set[str] = field(default_factory=set)  # control ids
    last_tick: Tick | None = None

    def take(self, record: LogRecord) -> None:
        event = record.event
        if isinstance(event, Txn):
            self.txns.add((event.bank_id, event.enterprise_id, event.event_id))
        elif isinstance(event, Tick):
            if self.last_tick is None or event.up_to >= self.last_tick.up_to:
                self.last_tick = event
        elif isinstance(event, Control) and event.action == "activate" and event.artefact == "model":
            self.switches.add(event.control_id)


def read_alerts(settings: Settings) -> Iterator[tuple[str | None, Alert]]:
    """Yield every distinct alert revision with the bank that received it; None: the supervisor."""
    decode = msgspec.json.Decoder(Alert).decode
    bank_of = {topics.bank_alerts(bank.bank_id): bank.bank_id for bank in settings.banks}
    seen: set[tuple[str, str, int]] = set()
    for read in read_topics(settings.kafka, [topics.ALERT_SUPERVISOR, *bank_of]):
        alert = decode(read.value or b"")
        identity = (read.topic, alert.alert_id, alert.revision)
        if identity not in seen:
            seen.add(identity)
            yield bank_of.get(read.topic), alert


def read_held_back(kafka: KafkaSettings) -> Iterator[Alert]:
    """Yield every distinct alert revision that a backfill held back."""
    decode = msgspec.json.Decoder(Alert).decode
    seen: set[tuple[str, int]] = set()
    for read in read_topics(kafka, [topics.ALERT_BACKFILL]):
        alert = decode(read.value or b"")
        if (alert.alert_id, alert.revision) not in seen:
            seen.add((alert.alert_id, alert.revision))
            yield alert


def read_distinct(kafka: KafkaSettings, topic: str, kind: type[Kind]) -> set[Kind]:
    """Distinct records of `topic`, by the fields of `kind`."""
    decode = msgspec.json.Decoder(kind).decode
    return {decode(read.value) for read in read_topics(kafka, [topic]) if read.value is not None}


def count_snapshots(kafka: KafkaSettings) -> tuple[int, int]:
    """Return (distinct snapshots that learn has published, labels behind the one that has most)."""
    decode = msgspec.json.Decoder(_SnapshotLabels).decode
    labels = {
        read.key: decode(read.value).trained_labels_count
        for read in read_topics(kafka, [topics.MODEL])
        if read.value is not None
    }
    learned = [count for count in labels.values() if count > 0]
    return len(learned), max(learned, default=0)


def draw_up(
    *,
    source: str,
    rows: Mapping[str, int],
    kinds: Mapping[tuple[str, str], int],
    known: Mapping[str, Label],
    settings: Settings,
    outcomes: Mapping[str, int],
    alerts: list[tuple[str | None, Alert]],
    stored: Mapping[str, int],
    learn: Mapping[str, int | float | str | None],
    wall_s: float,
) -> Books:
    """Return the books of a finished replay.

    kinds: deliveries by (topic, type of event), of this run and the ones that it goes on from. known: what became of
    loans, by their ids. outcomes: what score counted, from Redis. stored: logical rows by table, from ClickHouse.
    learn: its summary, empty where unknown.
    """
    kafka = settings.kafka
    notes = _LogNotes()
    log, letters = count_log(kafka, also=notes.take), read_letters(kafka)
    books = _topic_books(settings, kinds, log, letters)
    snapshots, labels = count_snapshots(kafka)
    scores = len(read_distinct(kafka, topics.SCORE, _Place))
    daily = len(read_distinct(kafka, topics.INDICATOR, _Place))
    revisions = len({(alert.alert_id, alert.revision) for bank, alert in alerts if bank is None})
    told = len({(bank, alert.alert_id, alert.revision) for bank, alert in alerts if bank is not None})
    held_back = Counter(f"{topics.ALERT_BACKFILL} {alert.severity} {alert.state}" for alert in read_held_back(kafka))
    emitted = {
        "txn": len(notes.txns),
        "score": scores,
        "indicator": daily,
        "alert": revisions,
        "alert_backfill": held_back.total(),
        "alert_told": told,
    }
    made = Counter(
        f"{topics.ALERT_SUPERVISOR if bank is None else topics.bank_alerts(bank)} {alert.severity} {alert.state}"
        for bank, alert in alerts
    )
    observed = read_distinct(kafka, topics.OBSERVATION, _Observed)
    observations = len({each.observation_id for each in observed})
    granted = {each.loan_id: each.score_milli for each in observed if each.loan_id is not None}
    feeds = {} if notes.last_tick is None else notes.last_tick.feeds
    totals = {name: int(outcomes.get(name, 0)) for name in OUTCOMES}
    return Books(
        source=source,
        engine_version=engine_version(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        rows=dict(rows),
        topics=books,
        log_records=log.records,
        log_barriers=log.barriers,
        log_repeats=log.repeats,
        outcomes=totals,
        alerts=dict(sorted((made + held_back).items())),
        outcomes_sent=sum(count for (topic, _), count in kinds.items() if topic == topics.CONTROL),
        scores=scores,
        indicators=daily,
        observations=observations,
        snapshots=snapshots,
        labels_learned=labels,
        model_switches=len(notes.switches),
        judgement=judge(known, granted) if known else None,
        learn=dict(learn),
        archive={table: (stored.get(table, 0), count) for table, count in emitted.items()},
        covered_up_to={
            bank: date_of(feed.covered_up_to).isoformat()
            for bank, feed in sorted(feeds.items())
            if feed.covered_up_to is not None
        },
        wall_s=round(wall_s, 1),
        checks=[
            *_row_checks(rows, kinds),
            *_flow_checks(books, log, totals),
            Check(
                what="conflicts that score counted = dead letters of the log with reason conflict",
                left=totals["conflict"],
                right=reasons(letters, topics.EVENTS)[Reason.CONFLICT],
            ),
            Check(
                what="late that score counted = letters in late.v1",
                left=totals["late"],
                right=reasons(letters, topics.EVENTS)[Reason.LATE],
            ),
            *(
                [
                    Check(
                        what="observations that learn read = emitted",
                        left=int(learn["observations"] or 0),
                        right=observations,
                    )
                ]
                if "observations" in learn
                else []
            ),
            *(
                Check(what=f"rows of {table} in ClickHouse = emitted", left=stored.get(table, 0), right=count)
                for table, count in emitted.items()
            ),
        ],
    )


def _topic_books(
    settings: Settings, kinds: Mapping[tuple[str, str], int], log: LogCount, letters: Letters
) -> list[TopicBook]:
    offsets = Offsets(settings.kafka)
    names = [*(topics.bank_events(bank.bank_id) for bank in settings.banks), topics.GATEWAY, topics.CONTROL]
    counts: dict[str, list[InputCount]] = {name: [] for name in names}
    for count in count_inputs(settings.kafka, offsets.ends(offsets.partitions(names)), log, letters):
        counts[count.topic].append(count)
    found = []
    for topic, parts in counts.items():
        consumed = sum(count.consumed for count in parts)
        dead_lettered: Counter[str] = Counter()
        for count in parts:
            dead_lettered.update(count.dead_lettered)
        found.append(
            TopicBook(
                topic=topic,
                # Records of operators and learn are no deliveries of ours: they are sent as far as they are there.
                sent=consumed if topic == topics.CONTROL else sum(n for (name, _), n in kinds.items() if name == topic),
                consumed=consumed,
                accepted=sum(count.accepted for count in parts),
                receipts=sum(count.receipts for count in parts),
                dead_lettered=dict(sorted(dead_lettered.items())),
                quarantined=sum(count.quarantined for count in parts),
            )
        )
    return found


def _row_checks(rows: Mapping[str, int], kinds: Mapping[tuple[str, str], int]) -> Iterator[Check]:
    dropped = sum(count for name, count in rows.items() if name.startswith("dropped"))
    yield Check(
        what="rows read + made = sent + dropped",
        left=rows.get("read", 0) + rows.get("made", 0),
        right=sum(kinds.values()) + dropped,
    )


def _flow_checks(books: list[TopicBook], log: LogCount, totals: Mapping[str, int]) -> Iterator[Check]:
    for book in books:
        quarantined = " + quarantined" if book.quarantined else ""
        yield Check(what=f"{book.topic}: sent = consumed", left=book.sent, right=book.consumed)
        yield Check(
            what=f"{book.topic}: consumed = accepted + receipts + dead-lettered{quarantined}",
            left=book.consumed,
            right=book.accepted + book.receipts + sum(book.dead_lettered.values()) + book.quarantined,
        )
    yield Check(
        what="events.v1: records = applied + duplicate + late + conflict + refused + ticks and controls",
        left=log.records - log.unreadable,
        right=sum(totals.values()) + log.barriers,
    )
