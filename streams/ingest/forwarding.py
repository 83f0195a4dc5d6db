"""One record of a bank, the gateway or an operator becomes its record of `events.v1`, or a dead letter."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.credentials import forbidden
from domain import topics
from domain.calendar import EVENT_TIME_MS_MIN
from domain.events import SCHEMA, CaseAction, Control, EnterpriseEvent, LogRecord, Receipt, Txn
from domain.reject import Reason, Rejected
from domain.validate import Accepted, Validator, headers_fault
from sinks.batch import KeyAndValue, Records
from sinks.kafka import MarkedOutbox
from streams.dead_letters import PAYLOAD_BYTES_MAX, to_sealed_letter
from streams.ingest import enterprise_table
from streams.ingest.fast_path.block import FastPathReader, Plain, all_slow_path, warm
from streams.ingest.fast_path.reader import SLOW_PATH
from streams.ingest.fingerprint import fingerprint
from streams.ingest.tokens import Tokens
from streams.seal import Sealer
from streams.transport import Chunk
from streams.transport.chunk import Row, cached_by_headers, read_headers
from streams.worker.role import TP

HEADERS = (("schema", SCHEMA.encode()),)
_SEARCHED = frozenset(list(Reason)[list(Reason).index(Reason.CREDENTIALS) + 1 :])  # came past the search for secrets
NO_TIME_MS = EVENT_TIME_MS_MIN - 1  # of what has no part in the order of feeds: before any event
encode = msgspec.json.Encoder().encode

Outcome = str  # "forwarded", "folded" (a receipt), "skipped" or a domain.reject.Reason


class Refusal(NamedTuple):
    """The refusal of a record, and whether its value holds a secret, or looks as if it did."""

    rejected: Rejected
    holds_secret: bool


class Refused(NamedTuple):
    """A record that goes to `dlq.v1`: its offset, the reason, and the value to write there."""

    offset: int
    reason: Reason
    letter: bytes


class Later(NamedTuple):
    """An event that has to wait: its event time (ms), and the record of the log that it becomes."""

    time_ms: int
    record: Records


Next = Later | Receipt | Control
"""The record after a run: an event after the run's last time, or what is no event of an enterprise."""


@dataclass(frozen=True, slots=True)
class Run:
    """The results for the records of a chunk before record `until`, in the order of offsets.

    offsets, times_ms, records: those that are forwarded.
    refused: those that become dead letters.
    """

    until: int
    offsets: list[int]
    times_ms: list[int]
    records: Records
    refused: list[Refused]


@dataclass(slots=True, eq=False)
class Rest:
    """A chunk from record `first` on.

    known: what some of the records become, and some before them. others: those that are no events of enterprises, by
    offset, ascending.
    """

    chunk: Chunk
    first: int = 0
    offsets: list[int] = field(init=False)
    known: Run | None = None
    others: dict[int, Receipt | Control] = field(default_factory=dict)
    _ends: NDArray[np.int64] | None = None  # bytes up to and with each record

    def __post_init__(self) -> None:
        self.offsets = self.chunk.offset.tolist()

    def __len__(self) -> int:
        return len(self.offsets) - self.first

    def offset(self, i: int) -> int:
        """Return the offset of record i, or the one after the last."""
        return self.offsets[i] if i < len(self.offsets) else self.chunk.next_offset

    def index(self, offset: int) -> int:
        """Return the index of the first record at or after an offset, or the one after the last."""
        return bisect_left(self.offsets, offset)

    def payload_bytes(self, first: int, until: int) -> int:
        """Return the bytes of keys, values and headers of the records [first, until)."""
        if self._ends is None:
            self._ends = self.chunk.payload_sizes().cumsum()
        return int(self._ends[until - 1] - (self._ends[first - 1] if first else 0)) if first < until else 0

    def skip_to(self, offset: int) -> None:
        """Leave out the records before an offset."""
        self.first = max(self.first, self.index(offset))


class Forwarder:
    """Sends what records become, under the lane and mark of each, and counts it.

    counts: records by (topic, partition, outcome). sealer: seals what is refused. compiled: whether transactions may
    take the compiled fast path; what they become is the same.
    """

    def __init__(self, tokens: Tokens, sealer: Sealer, *, compiled: bool = True) -> None:
        self.counts: Counter[tuple[str, int, Outcome]] = Counter()
        self.forbidden = forbidden()
        self._tokens, self._sealer = tokens, sealer
        self._reader = FastPathReader(tokens) if compiled else None

    def warm(self) -> None:
        """Compile the fast path, or load it from the cache. Call it before records come."""
        if self._reader is not None:
            warm()
        enterprise_table.warm()

    def run(self, validator: Validator, rest: Rest, until: int, last_ms: int) -> tuple[Run, Next | None]:
        """Return what the next records become, up to the first that needs more or is later than `last_ms`.

        And that one, or None. Nothing is sent. Each record is judged once, however often it is asked for.
        """
        if rest.known is None or rest.known.until <= rest.first:
            rest.known, rest.others = self._run(validator, rest.chunk, rest.first, min(until, len(rest.offsets)))
        known, until = rest.known, min(until, rest.known.until)
        first, stop = rest.offset(rest.first), rest.offset(until)
        after: Next | None = None
        if (other := next((offset for offset in rest.others if offset >= first), stop)) < stop:
            stop, after = other, rest.others[other]
        begin, end = bisect_left(known.offsets, first), bisect_left(known.offsets, stop)
        if begin < end and max(known.times_ms[begin:end]) > last_ms:
            end = next(i for i in range(begin, end) if known.times_ms[i] > last_ms)
            stop, after = known.offsets[end], Later(known.times_ms[end], known.records.part(end, end + 1))
        if after is not None:
            until = rest.index(stop)
        low, high = bisect_left(known.refused, (first,)), bisect_left(known.refused, (stop,))
        of_run = known.offsets[begin:end], known.times_ms[begin:end], known.records.part(begin, end)
        return Run(until, *of_run, known.refused[low:high]), after

    def _run(
        self, validator: Validator, chunk: Chunk, first: int, until: int
    ) -> tuple[Run, dict[int, Receipt | Control]]:
        """Return what the records in [first, until) become, and those of them that need more, by offset."""
        tp, offsets = TP(chunk.topic, chunk.partition), chunk.offset[first:until].tolist()
        times_ms, records, odd, harmless = self._plain(validator, chunk, first, until)
        events: dict[int, KeyAndValue] = {}
        refused: list[Refused] = []
        others: dict[int, Receipt | Control] = {}
        rows = chunk.rows([first + i for i in odd])
        # All are judged before any dead letter is written: code that has just run runs faster.
        judged = [self._judged(validator, *one) for one in zip(rows, harmless, strict=True)]
        for i, row, found in zip(odd, rows, judged, strict=True):
            if isinstance(found, Refusal):
                refused.append(self._refused(tp, row, found))
            elif isinstance(found, EnterpriseEvent):
                # What a bank's staff does says nothing of how far its feed has come.
                times_ms[i] = NO_TIME_MS if isinstance(found, CaseAction) else found.event_time
                events[i] = self.forwarded(tp, row.offset, found)
            else:
                others[row.offset] = found
        if events:
            plain = iter(records)
            kept = (i for i, time_ms in enumerate(times_ms) if time_ms != SLOW_PATH)
            records = Records.of([events[i] if i in events else next(plain) for i in kept])
        for i in reversed(odd):  # few: taking them out costs less than to look at all
            if i not in events:
                del offsets[i], times_ms[i]
        return Run(until, offsets, times_ms, records, refused), others

    def _plain(self, validator: Validator, chunk: Chunk, first: int, until: int) -> Plain:
        bank_id = validator.source.bank_id
        if self._reader is not None and bank_id is not None:
            return self._reader.read(chunk, first, until, bank_id, validator.future_tolerance_ms)
        return all_slow_path(until - first, [False] * (until - first))

    def _judged(self, validator: Validator, row: Row, is_harmless: bool) -> Accepted | Refusal:
        found = headers_fault(len(row.headers)) or validator.accept(
            row.value, schema_of(row.headers), row.timestamp_ms, is_harmless=is_harmless
        )
        return self._refusal(row, found, is_harmless) if isinstance(found, Rejected) else found

    def _refusal(self, row: Row, rejected: Rejected, is_harmless: bool) -> Refusal:
        is_searched, kept = rejected.reason in _SEARCHED, (row.value or b"")[:PAYLOAD_BYTES_MAX]
        return Refusal(rejected, not is_harmless and self.forbidden.seen_in(kept, is_searched=is_searched))

    def forwarded(self, tp: TP, offset: int, event: EnterpriseEvent) -> KeyAndValue:
        """Return key and value of the record of the log that an event becomes, without personal identifiers."""
        record = LogRecord(
            event=self._tokens.pseudonymous(event),
            fingerprint=fingerprint(event, self._tokens.fingerprint_key),
            origin=(tp.topic, tp.partition, offset),
            # Without a reference rate the amount is not computable; it is never taken as 1:1.
            amount_cny_minor=event.amount_minor if isinstance(event, Txn) and event.currency == "CNY" else None,
        )
        return event.enterprise_id.encode(), encode(record)

    def send(self, out: MarkedOutbox, tp: TP, records: Records, marks: tuple[int, int]) -> None:
        """Append records to the log and count them.

        `marks`: the first and the last input offset that they come from.
        """
        out.send_run(topics.EVENTS, records, lane=tp, marks=marks, headers=HEADERS)
        self.count(tp, "forwarded", len(records))

    def append(self, out: MarkedOutbox, tp: TP, offset: int, record: LogRecord) -> None:
        """Append one record of an enterprise to the log. It follows from the input at `offset`."""
        assert isinstance(record.event, EnterpriseEvent)
        key = record.event.enterprise_id.encode()
        out.send_marked(topics.EVENTS, encode(record), key=key, headers=HEADERS, lane=tp, mark=offset)

    def refused(self, chunk: Chunk, i: int, rejected: Rejected) -> Refused:
        """Return record i of a chunk as a dead letter, not yet sent."""
        (row,) = chunk.rows([i])
        return self._refused(TP(chunk.topic, chunk.partition), row, self._refusal(row, rejected, False))

    def _refused(self, tp: TP, row: Row, refusal: Refusal) -> Refused:
        return Refused(row.offset, refusal.rejected.reason, encode(to_sealed_letter(self._sealer, tp, row, *refusal)))

    def dead_letter(self, out: MarkedOutbox, tp: TP, refused: Sequence[Refused], mark: int) -> None:
        """Send dead letters to `dlq.v1`. `mark`: the input offset that is committed only after them."""
        key = tp.topic.encode()
        letters = Records.of([(key, one.letter) for one in refused])
        out.send_run(topics.DEAD_LETTERS, letters, lane=tp, marks=(mark, mark))
        for reason, records in Counter(one.reason for one in refused).items():
            self.count(tp, reason.value, records)

    def count(self, tp: TP, outcome: Outcome | Reason, records: int = 1) -> None:
        """Add records to the count of an outcome."""
        self.counts[tp.topic, tp.partition, outcome] += records


@cached_by_headers
def schema_of(headers: bytes) -> bytes | None:
    """Return the header named `schema`: None where it is absent, empty where it stands twice."""
    found = [value for name, value in read_headers(headers) if name == "schema"]
    return found[0] if len(found) == 1 else b"" if found else None
