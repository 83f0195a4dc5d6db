"""The ticks, of the worker that writes them: feeds folded from its own records and others' words, days closed in time.

Every tick is written behind what it tells of: its worker's records are acknowledged before it (streams.tick_writer),
the others' were when their word came. After a restart it goes on from the last tick and the words told since.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from config.settings import Settings
from domain import topics
from domain.calendar import day_of
from domain.events import LogRecord
from domain.outputs import FeedHealth, FeedProgress
from domain.validate import source_of
from sinks.client import client_settings
from sinks.kafka import Outbox
from sinks.telemetry import FeedState, Reading, TicksWritten
from streams.align import NOTHING_MS, Alignment
from streams.feed_words import FeedTeller, words_since
from streams.feeds import Feeds
from streams.forwarding import HEADERS, encode
from streams.last_tick import last_tick
from streams.role import TP
from streams.tick_writer import TickWriter

log = logging.getLogger(__name__)


class Ticks:
    """Folds feeds and writes ticks. `unread_ms` is the time of the oldest feed with something unread, None: none has.

    Event time reached is that of the oldest feed with something unread, else of the newest, less the grace.
    """

    def __init__(self, feeds: Feeds, writer: TickWriter, teller: FeedTeller) -> None:
        self._feeds, self._writer, self._teller = feeds, writer, teller
        self._health: dict[str, FeedHealth] = {}

    @classmethod
    def taken_over(cls, settings: Settings, outbox: Outbox, teller: FeedTeller) -> Ticks:
        """Fence off the writer before, and go on from its last tick and what has been told since; it blocks."""
        kafka, client = settings.kafka, client_settings(settings.kafka)
        name = f"{kafka.group_prefix}ticks"
        writer = TickWriter(outbox, kafka.bootstrap, client, name, kafka.log_partitions)
        writer.open()  # first: whatever the other still writes after this is refused
        feeds = Feeds(settings.banks, settings.ingest.grace_ms)
        found = last_tick(kafka.bootstrap, client, kafka.log_partitions)
        feeds.restore(None if found is None else found.tick)
        ticks = cls(feeds, writer, teller)
        for word in words_since(kafka.bootstrap, client, None if found is None else found.written_ms):
            ticks.hear(word)
        log.info("this worker writes the ticks, on from event time %s", feeds.up_to)
        return ticks

    def hear(self, word: FeedProgress) -> None:
        """What a feed's worker says is in the log. It may be heard again, and late."""
        bank_id = source_of(word.topic).bank_id
        if bank_id is None or not self._feeds.knows(bank_id):
            return
        if word.last_event_time is not None:
            self._feeds.event(bank_id, word.last_event_time)
        for day in word.receipt_days:
            self._feeds.receipt(bank_id, day)

    def event(self, bank_id: str, time_ms: int) -> None:
        """An event that this worker has sent."""
        self._feeds.event(bank_id, time_ms)

    async def receipt(self, bank_id: str, day: int, unread_ms: int | None) -> None:
        """A receipt that this worker has read; a day may end with it now that event time has passed long ago."""
        if self._feeds.receipt(bank_id, day):
            await self.advance(unread_ms)
        else:
            await self.close_days(unread_ms)

    async def close_days(self, unread_ms: int | None) -> None:
        """A tick where event time has passed the end of a business day, so that each day closes on its own tick."""
        reached_ms, up_to = self._reached_ms(unread_ms), self._feeds.up_to
        if reached_ms is not None and (up_to is None or day_of(reached_ms) > day_of(up_to)):
            await self.advance(unread_ms)

    async def advance(self, unread_ms: int | None) -> None:
        """Tell all partitions what is new; nothing where nothing is."""
        await self.write(LogRecord(event=tick) for tick in self._feeds.ticks(self._reached_ms(unread_ms)))

    async def write(self, records: Iterable[LogRecord]) -> None:
        """Barriers, to every partition."""
        values = [encode(record) for record in records]
        if values:
            await self._writer.write(values, HEADERS)

    def readings(self) -> Iterator[Reading]:
        """The feeds as the newest tick says them."""
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

    def tell_health(self, alignment: Alignment) -> None:
        """Changes of the feeds' health since they were last told; a feed that falls silent is warned of."""
        last = self._feeds.last
        for bank_id, feed in () if last is None else last.feeds.items():
            unread, front_ms = alignment.front(TP(topics.bank_events(bank_id), 0))
            health = FeedHealth(
                bank_id=bank_id,
                last_event_time=feed.last_event_time,
                covered_up_to=feed.covered_up_to,
                closed_up_to=feed.closed_up_to,
                stalled=feed.stalled,
                oldest_unread_event_time=front_ms if unread else None,
                as_of=0 if last is None else last.up_to,
            )
            known = self._health.get(bank_id)
            if known is not None and _is_same(known, health):
                continue
            if feed.stalled != (known is not None and known.stalled):
                log.warning("feed of bank %s is %s", bank_id, "stalled" if feed.stalled else "back")
            self._health[bank_id] = health
            self._teller.health(health)

    def _reached_ms(self, unread_ms: int | None) -> int | None:
        if unread_ms is None:
            return self._feeds.reached_ms()
        return None if unread_ms == NOTHING_MS else unread_ms - self._feeds.grace_ms


def _is_same(one: FeedHealth, other: FeedHealth) -> bool:
    fields = ("last_event_time", "covered_up_to", "closed_up_to", "stalled", "oldest_unread_event_time")
    return all(getattr(one, name) == getattr(other, name) for name in fields)
