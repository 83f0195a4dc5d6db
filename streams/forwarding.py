"""One record of a bank, the gateway or an operator → its record of `events.v1`, or a dead letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.events import SCHEMA, EnterpriseEvent, LogRecord, Txn
from domain.reject import Reason, Rejected
from domain.validate import Accepted, Validator
from sinks.batch import KeyAndValue
from sinks.dead_letters import dead_letter
from sinks.kafka import MarkedOutbox
from streams.plain.block import Block, PlainReader, warm
from streams.role import TP
from streams.tokens import Tokens, fingerprint
from streams.transport import Chunk

HEADERS = (("schema", SCHEMA.encode()),)
SCHEMAS_CACHED_MAX = 1_000
encode = msgspec.json.Encoder().encode

Outcome = str  # "forwarded", "folded" (a receipt) or a domain.reject.Reason


@dataclass(slots=True, eq=False)
class Rest:
    """A chunk from record `first` on. `block`: what is known of its next plain transactions."""

    chunk: Chunk
    first: int = 0
    offsets: list[int] = field(init=False)
    block: Block | None = None

    def __post_init__(self) -> None:
        self.offsets = self.chunk.offset.tolist()

    def __len__(self) -> int:
        return len(self.offsets) - self.first


@dataclass(frozen=True, slots=True)
class Run:
    """What becomes of records from `rest.first` on: as many as there are `records`, each of them forwarded.

    times_ms: the event time of each. next: what becomes of the one behind them; None where it was not looked at.
    """

    records: list[KeyAndValue]
    times_ms: list[int]
    next: Accepted | Rejected | None


class Forwarder:
    """Sends what becomes of records, under the lane and mark of each, and counts it.

    counts: (topic, partition, outcome) → records. compiled: whether plain transactions are read by compiled code; what
    becomes of them is the same.
    """

    def __init__(self, tokens: Tokens, *, compiled: bool = True) -> None:
        self.counts: Counter[tuple[str, int, Outcome]] = Counter()
        self.forbidden = forbidden()
        self._tokens = tokens
        self._reader = PlainReader(tokens) if compiled else None
        self._schemas: dict[bytes, bytes | None] = {}

    def warm(self) -> None:
        """Compile what reads plain transactions, or load it from the cache: before records come."""
        if self._reader is not None:
            warm()

    def run(self, validator: Validator, rest: Rest, until: int, last_ms: int) -> Run:
        """The usual records of a chunk, which are events up to `last_ms`, before record `until`; nothing is sent."""
        tp = TP(rest.chunk.topic, rest.chunk.partition)
        records: list[KeyAndValue] = []
        times_ms: list[int] = []
        at, until = rest.first, min(until, len(rest.offsets))
        while at < until:
            plain, plain_ms = self._plain(validator, rest, at, until, last_ms)
            records += plain
            times_ms += plain_ms
            at += len(plain)
            if at == until:
                break
            found = self._judged(validator, rest.chunk, at)
            if not isinstance(found, EnterpriseEvent) or found.event_time > last_ms:
                return Run(records, times_ms, found)
            records.append(self.forwarded(tp, rest.offsets[at], found))
            times_ms.append(found.event_time)
            at += 1
        return Run(records, times_ms, None)

    def _plain(
        self, validator: Validator, rest: Rest, first: int, until: int, last_ms: int
    ) -> tuple[Sequence[KeyAndValue], Sequence[int]]:
        """The records and times of the plain transactions that come first, up to `last_ms`."""
        bank_id = validator.source.bank_id
        if self._reader is None or bank_id is None:
            return (), ()
        if rest.block is None or not rest.block.first <= first < rest.block.until:
            rest.block = self._reader.read(rest.chunk, first, until, bank_id, validator.future_tolerance_ms)
        return rest.block.stretch(first, until, last_ms)

    def _judged(self, validator: Validator, chunk: Chunk, i: int) -> Accepted | Rejected:
        raw = chunk.buffer[chunk.header_start[i] : chunk.header_end[i]].tobytes()
        return validator.accept(chunk.value(i), self._schema(chunk, i, raw), int(chunk.timestamp_ms[i]))

    def forwarded(self, tp: TP, offset: int, event: EnterpriseEvent) -> KeyAndValue:
        """Key and value of an event's record of the log, without personal identifiers."""
        record = LogRecord(
            event=self._tokens.pseudonymous(event),
            fingerprint=fingerprint(event),
            origin=(tp.topic, tp.partition, offset),
            # Without a reference rate the amount is not computable; it is never taken as 1:1.
            amount_cny_minor=event.amount_minor if isinstance(event, Txn) and event.currency == "CNY" else None,
        )
        return event.enterprise_id.encode(), encode(record)

    def send(self, out: MarkedOutbox, tp: TP, records: Sequence[KeyAndValue], marks: tuple[int, int]) -> None:
        """Append records to the log, of the inputs from one offset to another, and count them."""
        out.send_run(topics.EVENTS, records, lane=tp, marks=marks, headers=HEADERS)
        self.count(tp, "forwarded", len(records))

    def append(self, out: MarkedOutbox, tp: TP, offset: int, record: LogRecord) -> None:
        """Append a record of an enterprise to the log; it follows from the input at `offset`."""
        assert isinstance(record.event, EnterpriseEvent)
        key = record.event.enterprise_id.encode()
        out.send_marked(topics.EVENTS, encode(record), key=key, headers=HEADERS, lane=tp, mark=offset)

    def bury(self, out: MarkedOutbox, chunk: Chunk, i: int, rejected: Rejected) -> None:
        """Send record i of a chunk to `dlq.v1`."""
        tp, offset = TP(chunk.topic, chunk.partition), int(chunk.offset[i])
        letter = dead_letter(
            rejected,
            topic=chunk.topic,
            partition=chunk.partition,
            offset=offset,
            key=chunk.key(i),
            headers=chunk.headers(i),
            payload=chunk.value(i),
            forbidden=self.forbidden,
        )
        out.send_marked(topics.DEAD_LETTERS, encode(letter), key=chunk.topic.encode(), lane=tp, mark=offset)
        self.count(tp, rejected.reason.value)

    def count(self, tp: TP, outcome: Outcome | Reason, records: int = 1) -> None:
        """More records of this outcome."""
        self.counts[tp.topic, tp.partition, outcome] += records

    def _schema(self, chunk: Chunk, i: int, raw: bytes) -> bytes | None:
        """The header `schema` of record i, whose headers are the bytes `raw`.

        None where it is absent, empty (no version) where it stands twice.
        """
        if raw in self._schemas:
            return self._schemas[raw]
        found = [value for name, value in chunk.headers(i) if name == "schema"]
        schema = found[0] if len(found) == 1 else b"" if found else None
        if len(self._schemas) >= SCHEMAS_CACHED_MAX:
            self._schemas.clear()
        self._schemas[raw] = schema
        return schema
