"""One record of a bank, the gateway or an operator → its record of `events.v1`, or a dead letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from config.credentials import forbidden
from domain import topics
from domain.events import SCHEMA, EnterpriseEvent, LogRecord, Txn
from domain.outputs import DeadLetter
from domain.reject import Reason, Rejected
from domain.validate import Accepted, Validator
from sinks.batch import Headers, KeyAndValue, Records
from sinks.dead_letters import dead_letter
from sinks.kafka import MarkedOutbox
from streams.plain.block import Block, PlainReader, warm
from streams.role import TP
from streams.tokens import Tokens, fingerprint
from streams.transport import Chunk

HEADERS = (("schema", SCHEMA.encode()),)
HEADERS_CACHED_MAX = 1_000
_SEARCHED = frozenset(list(Reason)[list(Reason).index(Reason.CREDENTIALS) + 1 :])  # came past the search for secrets
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
    """What becomes of the records of a chunk from `rest.first` on before `until`: forwarded, or refused.

    offsets and times_ms are of the forwarded; refused: which of the chunk, and why. next: what becomes of the one at
    `until`; None where it was not looked at.
    """

    until: int
    records: list[KeyAndValue]
    offsets: list[int]
    times_ms: list[int]
    refused: list[tuple[int, Rejected]]
    next: Accepted | None


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
        self._headers: dict[bytes, tuple[Headers, bytes | None]] = {}

    def warm(self) -> None:
        """Compile what reads plain transactions, or load it from the cache: before records come."""
        if self._reader is not None:
            warm()

    def run(self, validator: Validator, rest: Rest, until: int, last_ms: int) -> Run:
        """The usual records of a chunk before record `until`, events up to `last_ms` or refused; nothing is sent."""
        tp = TP(rest.chunk.topic, rest.chunk.partition)
        records: list[KeyAndValue] = []
        offsets: list[int] = []
        times_ms: list[int] = []
        refused: list[tuple[int, Rejected]] = []
        at, until = rest.first, min(until, len(rest.offsets))
        while at < until:
            plain, plain_ms = self._plain(validator, rest, at, until, last_ms)
            records += plain
            times_ms += plain_ms
            offsets += rest.offsets[at : at + len(plain)]
            at += len(plain)
            if at == until:
                break
            found = self._judged(validator, rest.chunk, at)
            if isinstance(found, Rejected):
                refused.append((at, found))
            elif isinstance(found, EnterpriseEvent) and found.event_time <= last_ms:
                records.append(self.forwarded(tp, rest.offsets[at], found))
                times_ms.append(found.event_time)
                offsets.append(rest.offsets[at])
            else:
                return Run(at, records, offsets, times_ms, refused, found)
            at += 1
        return Run(until, records, offsets, times_ms, refused, None)

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
        return validator.accept(chunk.value(i), self._headers_of(chunk, i)[1], int(chunk.timestamp_ms[i]))

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
        out.send_run(topics.EVENTS, Records.of(records), lane=tp, marks=marks, headers=HEADERS)
        self.count(tp, "forwarded", len(records))

    def append(self, out: MarkedOutbox, tp: TP, offset: int, record: LogRecord) -> None:
        """Append a record of an enterprise to the log; it follows from the input at `offset`."""
        assert isinstance(record.event, EnterpriseEvent)
        key = record.event.enterprise_id.encode()
        out.send_marked(topics.EVENTS, encode(record), key=key, headers=HEADERS, lane=tp, mark=offset)

    def bury(self, out: MarkedOutbox, chunk: Chunk, refused: Sequence[tuple[int, Rejected]], mark: int) -> None:
        """Send records of a chunk to `dlq.v1`; they belong to the input at offset `mark`, or are behind it."""
        tp, key = TP(chunk.topic, chunk.partition), chunk.topic.encode()
        letters = [(key, encode(self._letter(chunk, i, rejected))) for i, rejected in refused]
        out.send_run(topics.DEAD_LETTERS, Records.of(letters), lane=tp, marks=(mark, mark))
        for reason, records in Counter(rejected.reason for _, rejected in refused).items():
            self.count(tp, reason.value, records)

    def _letter(self, chunk: Chunk, i: int, rejected: Rejected) -> DeadLetter:
        return dead_letter(
            rejected,
            topic=chunk.topic,
            partition=chunk.partition,
            offset=int(chunk.offset[i]),
            key=chunk.key(i),
            headers=self._headers_of(chunk, i)[0],
            payload=chunk.value(i),
            forbidden=self.forbidden,
            is_searched=rejected.reason in _SEARCHED,
        )

    def count(self, tp: TP, outcome: Outcome | Reason, records: int = 1) -> None:
        """More records of this outcome."""
        self.counts[tp.topic, tp.partition, outcome] += records

    def _headers_of(self, chunk: Chunk, i: int) -> tuple[Headers, bytes | None]:
        """The headers of record i, and the one named `schema`: None where it is absent, empty where it stands twice."""
        raw = chunk.buffer[chunk.header_start[i] : chunk.header_end[i]].tobytes()
        if (known := self._headers.get(raw)) is not None:
            return known
        headers = chunk.headers(i)
        found = [value for name, value in headers if name == "schema"]
        schema = found[0] if len(found) == 1 else b"" if found else None
        if len(self._headers) >= HEADERS_CACHED_MAX:
            self._headers.clear()
        self._headers[raw] = headers, schema
        return headers, schema
