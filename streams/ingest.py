"""The ingest role: what banks, the gateway and operators sent → the one log `events.v1`, or `dlq.v1` with a reason.

It is the only writer of `events.v1`. Delivery is at least once: an offset is committed when every output of it is
acknowledged and, where it moved a feed, a tick that says so. A dead letter is an output like any other: while `dlq.v1`
takes none, nothing is committed past the record, and the worker stops.

In this version the owner of `control.v1` makes the ticks and knows only its own feeds: run one ingest worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from config.credentials import forbidden
from config.settings import Settings
from domain import topics
from domain.calendar import day_of, day_of_text, day_start_ms
from domain.events import SCHEMA, Control, EnterpriseEvent, LogRecord, Receipt, Txn
from domain.outputs import FeedHealth
from domain.reject import Reason, Rejected
from domain.validate import Accepted, Validator, source_of
from sinks.client import client_settings
from sinks.dead_letters import dead_letter
from sinks.kafka import Outbox
from streams.align import NOTHING_MS, Alignment
from streams.feeds import Feeds
from streams.last_tick import last_tick
from streams.role import TP
from streams.tokens import Tokens, fingerprint, load_key
from streams.topics import check_topics
from streams.transport import Chunk

log = logging.getLogger(__name__)

CONTROL = TP(topics.CONTROL, 0)
HEADERS = (("schema", SCHEMA.encode()),)
DRAIN_S = 8.0  # within the time that a rebalance leaves
RECORDS_AT_ONCE = 2_000  # then other tasks of the loop get a turn
SCHEMAS_CACHED_MAX = 1_000
_TICKS = "ticks"
_encode = msgspec.json.Encoder().encode

Outcome = str  # "forwarded", "folded" (a receipt) or a domain.reject.Reason


@dataclass(slots=True)
class _Input:
    """One partition that is read."""

    tp: TP
    validator: Validator
    bank_id: str | None
    aligned: bool
    position: int | None = None  # next offset to apply
    held: deque[Chunk] = field(default_factory=deque)
    unticked: int | None = None  # lowest offset that moved a feed since the last tick
    day: int | None = None  # of the newest event


class Ingest:
    """See the module. `progress` and `paused` as in streams.role.HoldsBack."""

    name = "ingest"

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.topics = (*(topics.bank_events(bank.bank_id) for bank in settings.banks), topics.GATEWAY, topics.CONTROL)
        self.progress: Callable[[TP], tuple[int, int | None]] = _unknown
        self.paused: frozenset[TP] = frozenset()
        self.counts: Counter[tuple[str, int, Outcome]] = Counter()
        self._settings, self._clock = settings, clock
        self._tokens = Tokens(load_key(settings.ingest.token_key_file))
        self._forbidden = forbidden()
        self._feeds = Feeds(settings.banks)
        self._alignment = Alignment(settings.ingest.align_ms_max, lambda tp: self.progress(tp))
        self._inputs: dict[TP, _Input] = {}
        self._schemas: dict[bytes, bytes | None] = {}
        self._outbox: Outbox | None = None
        self._tick_number = 0
        self._open_ticks: deque[tuple[int, dict[TP, int]]] = deque()  # tick, lowest offsets that it tells of
        self._ticked_at = -1.0
        self._health: dict[str, FeedHealth] = {}

    async def start(self) -> None:
        """Check the topics and connect; SettingsError names a topic that is missing or not as it must be."""
        needed = (*self.topics, topics.EVENTS, topics.DEAD_LETTERS, topics.FEED)
        await asyncio.to_thread(check_topics, self._settings, needed)
        self._outbox = Outbox(self._settings.kafka.bootstrap, client_settings(self._settings.kafka))

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Start from the last tick of the log; offsets are the group's committed ones."""
        kafka = self._settings.kafka
        tick = await asyncio.to_thread(last_tick, kafka.bootstrap, client_settings(kafka), kafka.log_partitions)
        self._feeds.restore(tick)
        self._open_ticks.clear()
        self._health.clear()
        self._inputs = {tp: self._input(tp) for tp in tps}
        self._alignment.begin(tp for tp, one in self._inputs.items() if one.aligned)
        self.paused = frozenset()
        absent = set(self.topics) - {tp.topic for tp in tps}
        if absent and tps:
            log.warning("ingest is to run as one worker; not assigned to this one: %s", ", ".join(sorted(absent)))
        return {}

    async def revoked(self, tps: set[TP]) -> None:
        """Tell in a tick what was read, and wait until all is acknowledged."""
        self._tick(self._reached_ms())
        await asyncio.to_thread(self._out.drain, DRAIN_S)

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Forward, fold or dead-letter each record, or keep the chunk while its feed is too far ahead."""
        one = self._inputs[tp]
        if one.held:
            one.held.append(chunk)
        else:
            await self._run(one, chunk)
        await self._release()

    def low_offset(self, tp: TP) -> int | None:
        """The lowest offset with an unacknowledged output or an untold feed, else the next one."""
        one = self._inputs.get(tp)
        if one is None or one.position is None:
            return None
        self._forget_told()
        untold = [offsets[tp] for _, offsets in self._open_ticks if tp in offsets]
        candidates = (self._out.lowest_open(tp), one.unticked, *untold, one.position)
        return min(offset for offset in candidates if offset is not None)

    async def tick(self) -> None:
        """Serve acknowledgements, let held feeds go on, and make a tick where one is due."""
        self._out.poll()
        await self._release()
        now_s = self._clock()
        if now_s - self._ticked_at >= self._settings.ingest.tick_interval_ms / 1000:
            self._tick(self._reached_ms())
            self._tell_health()
            self._ticked_at = now_s
        self._forget_told()

    async def stop(self) -> None:
        """Wait for what is under way."""
        if self._outbox is not None:
            outbox, self._outbox = self._outbox, None
            await asyncio.to_thread(outbox.drain, DRAIN_S)

    @property
    def _out(self) -> Outbox:
        if self._outbox is None:
            raise RuntimeError("ingest is not started")
        return self._outbox

    def _input(self, tp: TP) -> _Input:
        source = source_of(tp.topic)
        validator = Validator(
            source=source,
            forbidden=self._forbidden,
            future_tolerance_ms=self._settings.ingest.future_tolerance_ms,
        )
        return _Input(tp=tp, validator=validator, bank_id=source.bank_id, aligned=source.writer != "operator")

    async def _release(self) -> None:
        """Let held feeds go on, oldest first, as far as they may."""
        while (tp := self._alignment.release()) is not None:
            one = self._inputs[tp]
            while one.held and await self._run(one, one.held.popleft()):
                pass
        self.paused = frozenset(tp for tp, one in self._inputs.items() if one.held)

    async def _run(self, one: _Input, chunk: Chunk) -> bool:
        """Apply a chunk; False where its rest is now held, in front of whatever was held before."""
        offsets, times = chunk.offset.tolist(), chunk.timestamp_ms.tolist()
        limit_ms = self._alignment.run(one.tp, offsets[0]) if one.aligned else None
        for i, offset in enumerate(offsets):
            value = chunk.value(i)
            outcome = one.validator.accept(value, self._schema(chunk, i), times[i])
            if isinstance(outcome, Rejected):
                self._dead_letter(chunk, i, outcome)
            else:
                time_ms = _time_of(outcome)
                if limit_ms is not None and time_ms is not None and time_ms > limit_ms:
                    one.position = offset
                    one.held.appendleft(chunk.from_offset(offset))
                    self._alignment.hold(one.tp, offset, time_ms)
                    return False
                self._accept(one, offset, outcome, time_ms)
            one.position = offset + 1
            if i % RECORDS_AT_ONCE == RECORDS_AT_ONCE - 1:
                await asyncio.sleep(0)
        one.position = chunk.next_offset
        if one.aligned:
            self._alignment.done(one.tp, chunk.next_offset)
            self._close_days()
        return True

    def _accept(self, one: _Input, offset: int, event: Accepted, time_ms: int | None) -> None:
        new_day = one.aligned and time_ms is not None and self._reach(one, time_ms)
        if isinstance(event, Receipt):
            complete = self._feeds.receipt(event.bank_id, day_of_text(event.day))
            one.unticked = offset if one.unticked is None else one.unticked
            self._count(one.tp, "folded")
            if complete:  # a day may end now that event time has passed long ago
                self._tick(self._reached_ms())
            elif new_day:
                self._close_days()
            return
        if new_day:  # closes the days before it, for every enterprise, before its first event is applied
            self._close_days()
        if one.bank_id is not None and time_ms is not None:
            self._feeds.event(one.bank_id, time_ms)
            one.unticked = offset if one.unticked is None else one.unticked
        if isinstance(event, Control):
            self._to_all(LogRecord(event=event, origin=(*one.tp, offset)), one.tp, offset)
        else:
            self._forward(one.tp, offset, event)
        self._count(one.tp, "forwarded")

    def _reach(self, one: _Input, time_ms: int) -> bool:
        """Move an input's front; True where that is a new business day of it."""
        self._alignment.reach(one.tp, time_ms)
        day = day_of(time_ms)
        if one.day is not None and day <= one.day:
            return False
        one.day = day
        return True

    def _forward(self, tp: TP, offset: int, event: EnterpriseEvent) -> None:
        in_cny = isinstance(event, Txn) and event.currency == "CNY"
        record = LogRecord(
            event=self._tokens.pseudonymous(event),
            fingerprint=fingerprint(event),
            origin=(tp.topic, tp.partition, offset),
            # Without a reference rate the amount is not computable; it is never taken as 1:1.
            amount_cny_minor=event.amount_minor if in_cny and isinstance(event, Txn) else None,
        )
        key = event.enterprise_id.encode()
        self._out.send(topics.EVENTS, _encode(record), key=key, headers=HEADERS, lane=tp, mark=offset)

    def _to_all(self, record: LogRecord, lane: TP | str, mark: int) -> None:
        value = _encode(record)
        for partition in range(self._settings.kafka.log_partitions):
            self._out.send(topics.EVENTS, value, headers=HEADERS, partition=partition, lane=lane, mark=mark)

    def _dead_letter(self, chunk: Chunk, i: int, rejected: Rejected) -> None:
        tp, offset = TP(chunk.topic, chunk.partition), int(chunk.offset[i])
        letter = dead_letter(
            rejected,
            topic=chunk.topic,
            partition=chunk.partition,
            offset=offset,
            key=chunk.key(i),
            headers=chunk.headers(i),
            payload=chunk.value(i),
            forbidden=self._forbidden,
        )
        self._out.send(topics.DEAD_LETTERS, _encode(letter), key=chunk.topic.encode(), lane=tp, mark=offset)
        self._count(tp, rejected.reason.value)

    def _count(self, tp: TP, outcome: Outcome | Reason) -> None:
        self.counts[tp.topic, tp.partition, outcome] += 1

    def _schema(self, chunk: Chunk, i: int) -> bytes | None:
        """The header `schema`; None where it is absent, empty (no version) where it stands twice."""
        raw = chunk.buffer[int(chunk.header_start[i]) : int(chunk.header_end[i])].tobytes()
        if raw in self._schemas:
            return self._schemas[raw]
        found = [value for name, value in chunk.headers(i) if name == "schema"]
        schema = found[0] if len(found) == 1 else b"" if found else None
        if len(self._schemas) >= SCHEMAS_CACHED_MAX:
            self._schemas.clear()
        self._schemas[raw] = schema
        return schema

    def _reached_ms(self) -> int | None:
        """Event time reached: of the oldest feed that has something unread, else of the newest."""
        unread_ms = self._alignment.unread_ms()
        if unread_ms is None:
            return self._feeds.reached_ms()
        return None if unread_ms == NOTHING_MS else unread_ms

    def _close_days(self) -> None:
        """A tick where event time has passed the end of a business day, so that each day closes on its own tick."""
        reached_ms, up_to = self._reached_ms(), self._feeds.up_to
        if reached_ms is not None and (up_to is None or day_of(reached_ms) > day_of(up_to)):
            self._tick(reached_ms)

    def _tick(self, time_ms: int | None) -> None:
        """Tell all partitions, behind the records that it tells of; nothing where there is nothing new."""
        if CONTROL not in self._inputs:
            return
        tick = self._feeds.tick(time_ms)
        if self._feeds.last is None:
            return
        if tick is not None:
            self._tick_number += 1
            self._to_all(LogRecord(event=tick), _TICKS, self._tick_number)
        # Where there was nothing new to tell, the last tick has told it.
        told = {tp: one.unticked for tp, one in self._inputs.items() if one.unticked is not None}
        if told:
            self._open_ticks.append((self._tick_number, told))
        for one in self._inputs.values():
            one.unticked = None

    def _forget_told(self) -> None:
        lowest = self._out.lowest_open(_TICKS)
        while self._open_ticks and (lowest is None or self._open_ticks[0][0] < lowest):
            self._open_ticks.popleft()

    def _tell_health(self) -> None:
        """Changes of the feeds' health since they were last told."""
        last = self._feeds.last
        for bank_id, feed in () if last is None else last.feeds.items():
            health = FeedHealth(
                bank_id=bank_id,
                last_event_time=feed.last_event_time,
                covered_up_to=feed.covered_up_to,
                closed_up_to=feed.closed_up_to,
                stalled=feed.stalled,
                oldest_unread_event_time=self._alignment.oldest_unread_ms(TP(topics.bank_events(bank_id), 0)),
                as_of=last.up_to if last is not None else 0,
            )
            known = self._health.get(bank_id)
            if known is None or msgspec.structs.replace(known, as_of=health.as_of) != health:
                self._health[bank_id] = health
                self._out.send(topics.FEED, _encode(health), key=bank_id.encode(), lane=topics.FEED)


def _time_of(event: Accepted) -> int | None:
    """Where an event stands in event time: a receipt at the end of its day; None for a control."""
    if isinstance(event, Receipt):
        return day_start_ms(day_of_text(event.day) + 1)
    return None if isinstance(event, Control) else event.event_time


def _unknown(_tp: TP) -> tuple[int, int | None]:
    return 0, None
