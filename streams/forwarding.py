"""One record of a bank, the gateway or an operator → its record of `events.v1`, or a dead letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.events import SCHEMA, EnterpriseEvent, LogRecord, Txn
from domain.reject import Reason, Rejected
from domain.validate import Accepted, Validator
from sinks.dead_letters import dead_letter
from sinks.kafka import KeyAndValue, MarkedOutbox
from streams.role import TP
from streams.tokens import Tokens, fingerprint
from streams.transport import Chunk

HEADERS = (("schema", SCHEMA.encode()),)
SCHEMAS_CACHED_MAX = 1_000
encode = msgspec.json.Encoder().encode

Outcome = str  # "forwarded", "folded" (a receipt) or a domain.reject.Reason


@dataclass(slots=True, eq=False)
class Rest:
    """A chunk from record `first` on. Its arrays as lists: single elements of an array are slow to get at."""

    chunk: Chunk
    first: int = 0
    offsets: list[int] = field(init=False)
    _columns: tuple[list[int], ...] = field(init=False)

    def __post_init__(self) -> None:
        chunk = self.chunk
        self.offsets = chunk.offset.tolist()
        columns = (chunk.timestamp_ms, chunk.value_start, chunk.value_end, chunk.header_start, chunk.header_end)
        self._columns = self.offsets, *(column.tolist() for column in columns)

    def rows(self, until: int) -> Iterator[tuple[int, ...]]:
        """(offset, timestamp_ms, value_start, value_end, header_start, header_end) of each record before `until`.

        One at a time: kept, so many tuples would call the garbage collector again and again.
        """
        return zip(*(column[self.first : until] for column in self._columns), strict=True)

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

    counts: (topic, partition, outcome) → records.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.counts: Counter[tuple[str, int, Outcome]] = Counter()
        self.forbidden = forbidden()
        self._tokens = tokens
        self._schemas: dict[bytes, bytes | None] = {}

    def run(self, validator: Validator, rest: Rest, until: int, last_ms: int) -> Run:
        """The usual records of a chunk, which are events up to `last_ms`, before record `until`; nothing is sent."""
        chunk, accept, buffer = rest.chunk, validator.accept, rest.chunk.buffer.data
        tp = TP(chunk.topic, chunk.partition)
        records: list[KeyAndValue] = []
        times_ms: list[int] = []
        for offset, broker_ms, start, end, header_start, header_end in rest.rows(until):
            schema = self._schema(chunk, rest.first + len(records), buffer[header_start:header_end].tobytes())
            found = accept(None if start < 0 else buffer[start:end].tobytes(), schema, broker_ms)
            if not isinstance(found, EnterpriseEvent) or found.event_time > last_ms:
                return Run(records, times_ms, found)
            records.append(self.forwarded(tp, offset, found))
            times_ms.append(found.event_time)
        return Run(records, times_ms, None)

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
