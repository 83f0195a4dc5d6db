"""The log that a source's deliveries come to, made in process: checked, stamped and ticked by the parts of ingest.

One process has all feeds, so nothing is read late: event time has come as far as the delivery at hand. A tick is
written where a business day has ended, and where a receipt is the last that a day still lacked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from config.settings import IngestSettings
from domain import topics
from domain.calendar import day_of, day_of_text, day_start_ms
from domain.events import SCHEMA, Control, LogRecord, Receipt, Tick
from domain.reject import Rejected
from domain.validate import Validator, source_of
from replay.log_writer import LogWriter
from replay.run import BY, REASON
from replay.sources import Delivery, Source
from sinks.batch import KeyAndValue, Records
from streams.control_log import ControlHistory, next_control
from streams.ingest.feeds import Feeds
from streams.ingest.forwarding import Forwarder, encode
from streams.ingest.tokens import Tokens
from streams.seal import new_sealer
from streams.worker.role import TP

AT_ONCE = 2_000
SAY_EVERY = 100_000
SHOWN_MAX = 20
PARTITIONS = 8  # each has all ticks, so that many small ones cost time
Say = Callable[[str], None]


@dataclass(slots=True)
class Made:
    """The outcome of a source's deliveries. `refused`: by reason, as ingest would have written dead letters."""

    records: int = 0
    forwarded: int = 0
    receipts: int = 0
    ticks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)  # the first of them, as text

    @property
    def deliveries(self) -> int:
        """Number of deliveries."""
        return self.forwarded + self.receipts + self.refused.total()


def write_log(source: Source, path: Path, *, partitions: int = PARTITIONS, say: Say = lambda _text: None) -> Made:
    """Write the log of all deliveries of a source, the same bytes for the same ones.

    Where all of it is history, a backfill is open while it comes in. Personal identifiers become tokens under a key
    that follows from the source's identity, so that they differ from tokens of other logs and of a platform.

    Raise SourceError as the source does.
    """
    made = Made()
    with LogWriter(path, banks=source.banks, partitions=partitions) as writer:
        ingest = _Ingest(source, writer, made)
        if source.is_history:
            ingest.control("backfill_open")
        for delivery in source.deliveries():
            ingest.take(delivery)
            if made.deliveries % SAY_EVERY == 0:
                say(f"{made.deliveries:,} events read")
        ingest.end()
        if source.is_history:
            ingest.control("backfill_close")
    made.records = writer.record_count
    return made


def refusal_text(why: Rejected) -> str:
    """Return the reason, the field where there is one, and the text that shows it."""
    return " ".join(part for part in (why.reason.value, why.field, why.detail) if part)


class _Ingest:
    """Checks deliveries, and appends what they come to."""

    def __init__(self, source: Source, writer: LogWriter, made: Made) -> None:
        self._writer, self._made = writer, made
        tokens = Tokens(sha256(f"xinliu replay {source.identity}".encode()).digest())
        self._forwarder = Forwarder(tokens, new_sealer())
        self._feeds = Feeds(source.banks)
        self._validators: dict[str, Validator] = {}
        self._offsets: Counter[str] = Counter()
        self._said: list[Control] = []
        self._waiting: list[KeyAndValue] = []

    def take(self, delivery: Delivery) -> None:
        """Take in the next delivery."""
        topic, at_ms = delivery.topic, delivery.at_ms
        offset, self._offsets[topic] = self._offsets[topic], self._offsets[topic] + 1
        if self._feeds.up_to is None or day_of(at_ms) > day_of(self._feeds.up_to):
            self._tick(self._feeds.ticks(at_ms))
        found = self._validator(topic).accept(encode(delivery.event), SCHEMA.encode(), at_ms)
        if isinstance(found, Rejected):
            self._refuse(delivery, found)
        elif isinstance(found, Receipt):
            self._made.receipts += 1
            if self._feeds.receipt(found.bank_id, day_of_text(found.day)):
                self._tick(self._feeds.ticks(max(at_ms, day_start_ms(day_of_text(found.day) + 1))))
        elif isinstance(found, Control):
            self._made.forwarded += 1
            self._to_all(LogRecord(event=found, origin=(topic, 0, offset)))
        else:
            self._made.forwarded += 1
            if self._feeds.knows(found.bank_id):
                self._feeds.event(found.bank_id, found.event_time)
            self._waiting.append(self._forwarder.forwarded(TP(topic, 0), offset, found))
            if len(self._waiting) == AT_ONCE:
                self._append()

    def control(self, action: str) -> None:
        """Append an operator's control record."""
        said = next_control(ControlHistory(controls=tuple(self._said)), action, by=BY, reason=REASON)  # type: ignore[arg-type]
        self._said.append(said)
        self._to_all(LogRecord(event=said, origin=(topics.CONTROL, 0, len(self._said) - 1)))

    def end(self) -> None:
        """After the last delivery, event time is as far as it was ever said to be."""
        self._tick(self._feeds.ticks(self._feeds.reached_ms()))
        self._append()

    def _validator(self, topic: str) -> Validator:
        if topic not in self._validators:
            self._validators[topic] = Validator(
                source=source_of(topic),
                forbidden=self._forwarder.forbidden,
                future_tolerance_ms=IngestSettings().future_tolerance_ms,
            )
        return self._validators[topic]

    def _refuse(self, delivery: Delivery, why: Rejected) -> None:
        self._made.refused[why.reason.value] += 1
        if len(self._made.shown) < SHOWN_MAX:
            name = getattr(delivery.event, "event_id", None) or type(delivery.event).__name__.lower()
            self._made.shown.append(
                f"{delivery.topic} {name}: {why.reason.value} {why.field or ''} {why.detail}".rstrip()
            )

    def _tick(self, ticks: Iterable[Tick]) -> None:
        for tick in ticks:
            self._made.ticks += 1
            self._to_all(LogRecord(event=tick, origin=(topics.FEED, 0, 0)))

    def _to_all(self, record: LogRecord) -> None:
        self._append()
        self._writer.append_to_all(Records.of([(None, encode(record))]))

    def _append(self) -> None:
        if self._waiting:
            self._writer.append(Records.of(self._waiting))
            self._waiting = []
