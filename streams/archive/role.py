"""archive: what happened and what was concluded, from Kafka to ClickHouse, at least once and one logical row each.

A topic feeds one table or several. Topics that feed the same tables are gathered together: each bank has an alert topic
of its own. Records are gathered until there are enough of them or the oldest has waited long enough, and then stored as
one block a table, which is named by its offset ranges. Only acknowledged blocks move the low offset. While ClickHouse
does not answer, one block is retried, more records gather up to a bound, and then `paused` names every partition.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from config.settings import Settings
from domain import topics
from domain.events import SCHEMA, LogRecord
from domain.reject import Reason, Rejected
from sinks.batch import encode_headers
from sinks.clickhouse import Block, Connection, Sender, Unavailable, connect, target_of
from sinks.clickhouse.rows import Records, Table
from sinks.clickhouse.sending import OffsetRange, Place, block_name
from sinks.clickhouse.tables import Stored, stored_of
from sinks.kafka import MarkedOutbox
from sinks.telemetry import BlockStored, Outcomes, Readiness, Reading, Unacknowledged, Waiting
from sinks.telemetry import Outcome as RecordOutcome
from streams.dead_letters import dead_letter, unreadable
from streams.transport.chunk import Chunk
from streams.worker.role import DETACHED, TP, Role, RoleContext

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 1.0
UNDER_WAY_RECORDS_MAX = 300_000  # what still comes after partitions were paused: the transport's buffered chunks
LEAVE_S_MAX = 6.0  # how long giving partitions away may wait for ClickHouse; what is not stored then comes again
_SCHEMA_HEADERS = encode_headers([("schema", SCHEMA.encode())])


@dataclass(slots=True, kw_only=True)
class _PendingRecords:
    """Records of topics that feed the same tables, for the next blocks, one a table."""

    since_s: float = 0.0  # monotonic time of the oldest
    columns: dict[Table, list[list[object]]] = field(default_factory=dict)
    ranges: dict[Place, OffsetRange] = field(default_factory=dict)

    @property
    def row_count(self) -> int:
        return sum(len(columns[0]) for columns in self.columns.values())

    def add(self, tables: Sequence[Table], records: Records) -> None:
        """Add the rows of records of one partition, in their order."""
        if not self.columns:
            self.since_s = time.monotonic()
        for table in tables:
            self._add(table, records)
        place, first, last = (records.topic, records.partition), records.offsets[0], records.offsets[-1]
        before = self.ranges.get(place, (first, last))
        self.ranges[place] = (min(before[0], first), max(before[1], last))

    def _add(self, table: Table, records: Records) -> None:
        rows = table.rows(records)
        known = self.columns.setdefault(table, rows)
        if known is not rows:
            for column, more in zip(known, rows, strict=True):
                column += more


class Archive(Role):
    """The archive role.

    `summary()` counts rows stored by table and, by topic, records that make no row and dead letters.
    """

    name = "archive"

    def __init__(
        self,
        settings: Settings,
        outbox: MarkedOutbox,
        *,
        connection: Connection | None = None,
        flush_interval_s: float = FLUSH_INTERVAL_S,
    ) -> None:
        self._settings = settings.clickhouse
        self._stored = stored_of(settings.banks)
        self.topics = tuple(self._stored)
        self._outbox = outbox
        self._connection = connection
        self._flush_interval_s = flush_interval_s
        self._ending = threading.Event()
        self._sender: Sender | None = None
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            topic: msgspec.json.Decoder(stored.kind) for topic, stored in self._stored.items()
        }
        self._pending = {stored: _PendingRecords() for stored in self._stored.values()}
        self._blocks: deque[Block] = deque()  # the first is being sent
        self._sending: asyncio.Task[None] | None = None
        self._next: dict[TP, int] = {}
        self._context = DETACHED
        self._counts: Counter[str] = Counter()
        self._outcomes: Counter[tuple[TP, RecordOutcome, str]] = Counter()

    async def start(self, context: RoleContext) -> None:
        """Open the connection and migrate the tables.

        ClickHouse may be down; an error that it will repeat stops the worker.
        """
        self._context = context
        if self._connection is None:
            self._connection = await asyncio.to_thread(connect, target_of(self._settings))
        self._sender = Sender(
            self._connection,
            backoff_s_max=self._settings.retry_s_max,
            pause=self._ending.wait,
            on_retry=lambda why, pause_s: log.warning("archive: %s; trying again in %.1f s", why, pause_s),
        )
        try:
            await asyncio.to_thread(self._sender.prepare)
        except Unavailable as error:
            log.warning("archive: %s; going on, tables are made with the first block", error)

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Start at the committed offsets, up to which ClickHouse has acknowledged everything."""
        self._forget(set(self._next) | tps)
        return {}

    async def revoked(self, tps: set[TP]) -> None:
        """Store what there is time for; the next owner reads the rest again."""
        deadline = time.monotonic() + LEAVE_S_MAX
        self._cut_due(now_s=None)
        self._collect()
        while self._sending is not None and time.monotonic() < deadline:
            await asyncio.wait({self._sending}, timeout=max(0.0, deadline - time.monotonic()))
            self._collect()
        if self._blocks:
            log.warning("archive: ClickHouse took too long, %d rows will be read again", self._row_count())
        while self._outbox.acknowledged_count < self._outbox.sent_count and time.monotonic() < deadline:
            self._outbox.poll()
            await asyncio.sleep(0.02)
        lows = {tp: low for tp in tps if (low := self.low_offset(tp)) is not None}
        self._forget(tps)
        self._next |= lows  # asked for once more

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Gather the chunk's records, and close a block where one is full."""
        stored = self._stored[tp.topic]
        for part in chunk.pieces(self._settings.batch_rows_max):
            if self._pending[stored].row_count + len(part) > self._settings.batch_rows_max:
                self._cut(stored)
                self._collect()
            self._gather(tp, part)
            self._next[tp] = part.next_offset
        while self._row_count() > 2 * self._settings.batch_rows_max + UNDER_WAY_RECORDS_MAX:
            # Reached only where nobody heeds `paused`.
            self._collect()
            await asyncio.sleep(0.05)

    @property
    def paused(self) -> frozenset[TP]:
        """All partitions while as many records wait for ClickHouse as memory may hold, else none."""
        return frozenset(self._next) if self._row_count() > 2 * self._settings.batch_rows_max else frozenset()

    def low_offset(self, tp: TP) -> int | None:
        """Return the offset of the first record whose row or dead letter is not acknowledged, else the next to read."""
        if tp not in self._next:
            return None
        open_ranges = [*(block.ranges for block in list(self._blocks)), self._pending[self._stored[tp.topic]].ranges]
        firsts = [ranges[tp][0] for ranges in open_ranges if tp in ranges]
        dead = self._outbox.lowest_open(tp)
        return min([*firsts, self._next[tp], *([] if dead is None else [dead])])

    async def tick(self) -> None:
        """Process acknowledgements, and send what has waited long enough."""
        self._outbox.poll()
        self._cut_due(now_s=time.monotonic())
        self._collect()

    async def stop(self) -> None:
        """Stop retrying and close the connection."""
        self._ending.set()
        if self._sending is not None:
            await asyncio.wait({self._sending})
            self._sending.exception()
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)
        log.info("archive summary %s", msgspec.json.encode(self.summary(), order="sorted").decode())

    def summary(self) -> dict[str, int]:
        """Return counts so far: `<table>.rows`, `<topic>.<what>`, and `retries` of unacknowledged blocks."""
        return {**self._counts, "retries": self._sender.retry_count if self._sender else 0}

    def readings(self) -> Iterator[Reading]:
        """Yield counts, waiting rows and readiness."""
        for (tp, outcome, reason), records in self._outcomes.items():
            yield Outcomes(topic=tp.topic, partition=tp.partition, outcome=outcome, reason=reason, records=records)
        yield Waiting(rows=self._row_count(), retries=self._sender.retry_count if self._sender else 0)
        yield Unacknowledged(outputs=self._outbox.sent_count - self._outbox.acknowledged_count)
        if self.paused:
            yield Readiness(ready=False, why_not="ClickHouse takes no blocks: as much waits as may wait in memory")

    def _gather(self, tp: TP, chunk: Chunk) -> None:
        stored, found = self._stored[tp.topic], dict[type, Records]()
        is_log = stored.kind is LogRecord
        for i, (offset, time_ms, record) in enumerate(_read(self._decoders[tp.topic], chunk)):
            if isinstance(record, Rejected):
                dead_letter(self._outbox, chunk, i, record)
                self._counts[f"{tp.topic}.dead_lettered.{record.reason}"] += 1
                self._outcomes[tp, "dead_lettered", record.reason.value] += 1
                continue
            fact = record.event if is_log else record
            kind = type(fact)
            if kind not in found:
                found[kind] = Records(tp.topic, tp.partition)
            found[kind].add(record, fact, offset, time_ms)
        # As columns at once: structs that were kept would be gone through at every garbage collection.
        for kind, records in found.items():
            tables = stored.tables.get(kind, ())
            if tables:
                self._pending[stored].add(tables, records)
            self._outcomes[tp, "applied" if tables else "no_row", ""] += len(records)
            if not tables:
                self._counts[f"{tp.topic}.no_row"] += len(records)

    def _cut_due(self, now_s: float | None) -> None:
        """Close the blocks that are due at `now_s` (None: all that hold a record).

        Time closes no block while another waits, so that ClickHouse finds few large blocks when it comes back.
        """
        if now_s is not None and self._blocks:
            return
        for stored, pending in self._pending.items():
            if pending.columns and (now_s is None or now_s - pending.since_s >= self._flush_interval_s):
                self._cut(stored)

    def _cut(self, stored: Stored) -> None:
        pending = self._pending[stored]
        if not pending.columns:
            return
        self._pending[stored] = _PendingRecords()
        name = block_name(pending.ranges)
        for table, columns in pending.columns.items():
            self._blocks.append(Block(insert=table.insert(columns, name), ranges=pending.ranges))

    def _send_all(self, sender: Sender) -> None:
        """Send blocks in a thread, one at a time, each until it is acknowledged."""
        while self._blocks:
            block = self._blocks[0]
            began_s = time.perf_counter()
            sender.send(block)
            self._context.emit(
                BlockStored(table=block.insert.table, rows=block.row_count, seconds=time.perf_counter() - began_s)
            )
            self._counts[f"{block.insert.table}.rows"] += block.row_count
            self._blocks.popleft()

    def _collect(self) -> None:
        """Take in the result of a finished task, raise its error, and send on."""
        if self._sending is not None and self._sending.done():
            finished, self._sending = self._sending, None
            finished.result()
        if self._sending is None and self._blocks and self._sender is not None:
            self._sending = asyncio.create_task(asyncio.to_thread(self._send_all, self._sender))

    def _forget(self, tps: set[TP]) -> None:
        """Stop answering for the partitions.

        Their rows are dropped where nothing of others is gathered beside them, else kept: the next owner stores the
        same rows.
        """
        for tp in tps:
            self._next.pop(tp, None)
            stored = self._stored[tp.topic]
            self._pending[stored].ranges.pop(tp, None)
            if not self._pending[stored].ranges:
                self._pending[stored] = _PendingRecords()

    def _row_count(self) -> int:
        pending_rows = sum(pending.row_count for pending in self._pending.values())
        return pending_rows + sum(block.row_count for block in list(self._blocks))


def _read(decoder: msgspec.json.Decoder[Any], chunk: Chunk) -> Iterator[tuple[int, int, Any]]:
    """Yield (offset, time in ms, the decoded record or Rejected with the reason) of each record."""
    # As lists, and the bytes by a view: single elements of an array are slow to get at.
    starts, ends, buffer = chunk.value_start.tolist(), chunk.value_end.tolist(), chunk.buffer.data
    places = zip(chunk.offset.tolist(), chunk.timestamp_ms.tolist(), starts, ends, strict=True)
    foreign = _foreign(chunk) if chunk.topic == topics.EVENTS else {}
    for i, (offset, time_ms, start, end) in enumerate(places):
        if i in foreign:
            yield offset, time_ms, foreign[i]
        elif start < 0:
            yield offset, time_ms, Rejected(reason=Reason.NOT_JSON, detail="null value")
        else:
            try:
                yield offset, time_ms, decoder.decode(buffer[start:end])
            except (ValueError, RecursionError) as error:  # msgspec's and Unicode's
                yield offset, time_ms, unreadable(error)


def _foreign(chunk: Chunk) -> Mapping[int, Rejected]:
    """Return, by index in the chunk, the records of the log that lack the header of its schema."""
    found, buffer = {}, chunk.buffer.data
    for i, (start, end) in enumerate(zip(chunk.header_start.tolist(), chunk.header_end.tolist(), strict=True)):
        if buffer[start:end] != _SCHEMA_HEADERS and ("schema", SCHEMA.encode()) not in chunk.headers(i):
            detail = f"no header, or another than {SCHEMA}"
            found[i] = Rejected(reason=Reason.UNKNOWN_VERSION, field="schema", detail=detail)
    return found
