"""Ticks of the worker that writes them: feeds folded from its own records and others' progress, days closed in time.

A tick is written after everything that it covers is acknowledged: its worker's records before it (tick_writer.py), the
others' before their progress was published. It names the offset of `feed.v1` up to which its writer had polled, so that
the next writer goes on from the last tick and the progress after that offset.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator

from config.settings import Settings
from domain import topics
from domain.calendar import day_of, day_start_ms
from domain.events import LogRecord
from domain.outputs import FeedHealth, FeedProgress
from domain.validate import source_of
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from sinks.telemetry import FeedState, Reading, TicksWritten
from streams.ingest.alignment import Alignment
from streams.ingest.end_offset_probe import NOTHING_MS
from streams.ingest.feed_progress import FeedProgressPublisher, progress_since
from streams.ingest.feeds import Feeds
from streams.ingest.forwarding import HEADERS, encode
from streams.ingest.last_tick import last_tick
from streams.ingest.tick_writer import TickWriter
from streams.worker.role import TP

log = logging.getLogger(__name__)


class Ticks:
    """Folds feeds and writes ticks.

    The event time reached is that of the oldest feed with something unread, else of the newest feed, less the grace;
    and never later than `alignment` allows.
    """

    def __init__(
        self,
        feeds: Feeds,
        writer: TickWriter,
        publisher: FeedProgressPublisher,
        alignment: Alignment,
        polled_offset: int,
    ) -> None:
        self._feeds, self._writer, self._publisher, self._alignment = feeds, writer, publisher, alignment
        self._heard_offset = polled_offset
        self._health: dict[str, FeedHealth] = {}

    @classmethod
    async def taken_over(
        cls, settings: Settings, outbox: Outbox, publisher: FeedProgressPublisher, alignment: Alignment
    ) -> Ticks:
        """Fence the previous writer, and go on from its last tick and the progress published since."""
        kafka = settings.kafka
        name, client = f"{kafka.group_prefix}ticks", aiokafka_settings(kafka)
        writer = TickWriter(outbox, kafka.bootstrap, client, name, kafka.log_partitions)
        await writer.open()  # first: whatever the other still writes after this is refused
        return await asyncio.to_thread(cls._gone_on, settings, writer, publisher, alignment)

    @classmethod
    def _gone_on(
        cls, settings: Settings, writer: TickWriter, publisher: FeedProgressPublisher, alignment: Alignment
    ) -> Ticks:
        kafka, client = settings.kafka, client_settings(settings.kafka)
        feeds = Feeds(settings.banks, settings.ingest.grace_ms)
        found = last_tick(kafka.bootstrap, client, kafka.log_partitions)
        feeds.restore(None if found is None else found.tick)
        reports, polled_offset = progress_since(kafka.bootstrap, client, 0 if found is None else found.polled_offset)
        ticks = cls(feeds, writer, publisher, alignment, polled_offset)
        ticks.update(reports, polled_offset)
        log.info("this worker writes the ticks, on from event time %s", feeds.up_to)
        return ticks

    async def close(self) -> None:
        """Close the writer, so that another worker may take over."""
        await self._writer.close()

    def update(self, reports: Iterable[FeedProgress], polled_offset: int) -> None:
        """Take in the progress of feeds up to an offset of `feed.v1`. It may come again, and late."""
        for progress in reports:
            self._fold(progress)
        self._heard_offset = max(self._heard_offset, polled_offset)

    def _fold(self, progress: FeedProgress) -> None:
        bank_id = source_of(progress.topic).bank_id
        if bank_id is None or not self._feeds.knows(bank_id):
            return
        if progress.last_event_time is not None:
            self._feeds.event(bank_id, progress.last_event_time)
        for day in progress.receipt_days:
            self._feeds.receipt(bank_id, day)

    def event(self, bank_id: str, time_ms: int) -> None:
        """Take in the event time (ms) of an event that this worker has sent."""
        self._feeds.event(bank_id, time_ms)

    async def receipt(self, bank_id: str, day: int) -> None:
        """Take in a receipt that this worker has read.

        `day` may end with it, where event time has passed its end long ago.
        """
        if self._feeds.receipt(bank_id, day):
            await self.advance()
        else:
            await self.close_days()

    async def close_days(self) -> None:
        """Write a tick where event time has passed the end of a business day, so that each day has its own."""
        up_to, grace_ms = self._feeds.up_to, self._feeds.grace_ms
        if up_to is not None and self._alignment.is_unread_before(day_start_ms(day_of(up_to) + 1) + grace_ms):
            return  # asked after each day of each feed: this answers without going through them all
        reached_ms = self._reached_ms()
        if reached_ms is not None and (up_to is None or day_of(reached_ms) > day_of(up_to)):
            await self.advance()

    async def advance(self) -> None:
        """Write a tick to all partitions, where it says anything new."""
        origin = topics.FEED, 0, self._heard_offset
        ticks = self._feeds.ticks(self._reached_ms(), self._alignment.tick_ms_max())
        await self.write(LogRecord(event=tick, origin=origin) for tick in ticks)

    async def write(self, records: Iterable[LogRecord]) -> None:
        """Write barriers to every partition."""
        values = [encode(record) for record in records]
        if values:
            await self._writer.write(values, HEADERS)

    def readings(self) -> Iterator[Reading]:
        """Yield the state of each feed in the newest tick."""
        last = self._feeds.last
        if last is None:
            return
        yield TicksWritten(up_to_ms=last.up_to)
        for bank_id, feed in last.feeds.items():
            yield FeedState(
                bank_id=bank_id,
                last_event_ms=feed.last_event_time,
                covered_up_to=feed.covered_up_to,
                closed_up_to=feed.closed_up_to,
                stalled=feed.stalled,
            )

    def publish_health(self) -> None:
        """Publish changes of the feeds' state; log a warning where a feed falls silent."""
        last = self._feeds.last
        for bank_id, feed in () if last is None else last.feeds.items():
            front = self._alignment.front(TP(topics.bank_events(bank_id), 0))
            health = FeedHealth(
                bank_id=bank_id,
                last_event_time=feed.last_event_time,
                covered_up_to=feed.covered_up_to,
                closed_up_to=feed.closed_up_to,
                stalled=feed.stalled,
                oldest_unread_event_time=front.time_ms if front.unread else None,
                as_of=0 if last is None else last.up_to,
            )
            known = self._health.get(bank_id)
            if known is not None and _is_same(known, health):
                continue
            if feed.stalled != (known is not None and known.stalled):
                log.warning("feed of bank %s is %s", bank_id, "stalled" if feed.stalled else "back")
            self._health[bank_id] = health
            self._publisher.health(health)

    def _reached_ms(self) -> int | None:
        unread_ms, limit_ms = self._alignment.unread_ms(), self._alignment.tick_ms_max()
        if NOTHING_MS in (unread_ms, limit_ms):
            return None
        reached_ms = self._feeds.reached_ms() if unread_ms is None else unread_ms - self._feeds.grace_ms
        return min((one for one in (reached_ms, limit_ms) if one is not None), default=None)


def _is_same(one: FeedHealth, other: FeedHealth) -> bool:
    fields = ("last_event_time", "covered_up_to", "closed_up_to", "stalled", "oldest_unread_event_time")
    return all(getattr(one, name) == getattr(other, name) for name in fields)
