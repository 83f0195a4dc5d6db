"""`feed.v1`: the progress of feeds, published by each worker of ingest once it is acknowledged, and polled by all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import TopicPartition

from domain import topics
from domain.outputs import FeedHealth, FeedMessage, FeedProgress, FeedQuestion
from sinks.kafka import MarkedOutbox
from sinks.log_reader import FOLLOWING, assigned_consumer, poll, read
from sinks.retriable import bounds
from streams.worker.role import TP

READ_AT_ONCE = 2_000
PUBLISH_S = 1.0  # at the latest, where a feed advances
_READ_S_MAX = 30.0
_decode = msgspec.json.Decoder(FeedMessage).decode
_encode = msgspec.json.Encoder().encode


class FeedProgressReader:
    """Reads `feed.v1` from its end on.

    That is enough, since workers publish all their feeds again when they get them and when they are asked.
    """

    def __init__(self, bootstrap: str, client: Mapping[str, Any]) -> None:
        self._consumer = assigned_consumer(bootstrap, {**FOLLOWING, **client})
        self.offset = bounds(self._consumer, topics.FEED, 0)[1]
        self._consumer.assign([TopicPartition(topics.FEED, 0, self.offset)])

    def poll(self) -> list[FeedMessage]:
        """Return the messages since the last call, up to `offset`, without waiting.

        Raise KafkaException where the topic cannot be read.
        """
        messages = poll(self._consumer, READ_AT_ONCE)
        if messages:
            self.offset = messages[-1].offset() + 1
        return [_decode(message.value()) for message in messages]

    def close(self) -> None:
        """Close the connection to the broker."""
        self._consumer.close()


def progress_since(bootstrap: str, client: Mapping[str, Any], offset: int) -> tuple[list[FeedProgress], int]:
    """Return all progress from `offset`, or the first offset that is still there, until now, and the topic's end.

    Raise KafkaException or ReadTimeout where the topic cannot be read.
    """
    with closing(assigned_consumer(bootstrap, client)) as consumer:
        low, end = bounds(consumer, topics.FEED, 0)
        span = max(low, offset), end
        messages = read(consumer, {(topics.FEED, 0): span}, timeout_s=_READ_S_MAX)
        reports = [_decode(message.value()) for message in messages]
    return [progress for progress in reports if isinstance(progress, FeedProgress)], end


@dataclass(slots=True)
class _FeedState:
    """One feed: at most one message waits, for what it covers to be acknowledged or for its own acknowledgement."""

    waiting: FeedProgress | None = None
    sent: FeedProgress | None = None
    published: FeedProgress | None = None
    told_s: float = 0.0
    receipt_days: set[int] = field(default_factory=set)  # not yet published
    asked: bool = False  # since the last message


class FeedProgressPublisher:
    """Publishes how far feeds are read, each message only when everything that it covers is acknowledged.

    A message goes out at once where others may wait for it: a feed has come to its end or has something new, it has a
    receipt, or its event time has advanced by `step_ms`; else after PUBLISH_S seconds.
    """

    def __init__(self, outbox: MarkedOutbox, step_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._outbox, self._step_ms, self._clock = outbox, step_ms, clock
        self._feeds: dict[TP, _FeedState] = {}

    def ask(self) -> None:
        """Ask all workers, this one too, to publish their feeds again."""
        self._outbox.send(topics.FEED, _encode(FeedQuestion()))

    def republish(self) -> None:
        """Publish the progress of all feeds again, at once: a worker has asked, or the feeds are revoked."""
        for feed in self._feeds.values():
            feed.asked = True

    def begin(self, tps: Iterable[TP]) -> None:
        """Take over these feeds, of which nothing is published yet."""
        self._feeds = {tp: _FeedState() for tp in tps}

    def receipt(self, tp: TP, day: int) -> None:
        """Add the day of a receipt, a day number, to the next message."""
        self._feeds[tp].receipt_days.add(day)

    def published_offset(self, tp: TP) -> int | None:
        """Return the offset of a feed before which everything, and the message that says so, is acknowledged.

        None at first.
        """
        feed = self._feeds[tp]
        self._serve(tp, feed)
        return None if feed.published is None else feed.published.position

    def publish(self, tp: TP, progress: FeedProgress) -> None:
        """Publish how far a feed is read, where that is new and once it is acknowledged. Call it often."""
        feed = self._feeds[tp]
        self._serve(tp, feed)
        if feed.waiting is None and feed.sent is None and self._is_new(progress, feed):
            feed.waiting = msgspec.structs.replace(progress, receipt_days=tuple(sorted(feed.receipt_days)))
            feed.receipt_days.clear()
            feed.asked, feed.told_s = False, self._clock()
            self._serve(tp, feed)

    def health(self, health: FeedHealth) -> None:
        """Publish the state of a bank's feed as the writer of the ticks sees it, for operators."""
        self._outbox.send(topics.FEED, _encode(health), key=health.bank_id.encode())

    def _serve(self, tp: TP, feed: _FeedState) -> None:
        lane = (topics.FEED, tp)
        if feed.sent is not None and self._outbox.lowest_open(lane) is None:
            feed.published, feed.sent = feed.sent, None
        if feed.waiting is not None:
            lowest = self._outbox.lowest_open(tp)
            if lowest is None or lowest >= feed.waiting.position:
                feed.sent, feed.waiting = feed.waiting, None
                key = f"{tp.topic}".encode()
                self._outbox.send_marked(topics.FEED, _encode(feed.sent), key=key, lane=lane, mark=feed.sent.position)

    def _is_new(self, progress: FeedProgress, feed: _FeedState) -> bool:
        published = feed.published
        if published is None or feed.receipt_days or feed.asked:
            return True
        if progress == msgspec.structs.replace(published, receipt_days=()):
            return False
        went_on_ms = _gain_ms(progress.front_ms, published.front_ms)
        changed = (progress.unread, progress.paused) != (published.unread, published.paused)
        return changed or went_on_ms >= self._step_ms or self._clock() - feed.told_s >= PUBLISH_S


def _gain_ms(now_ms: int | None, before_ms: int | None) -> float:
    if now_ms is None:
        return 0
    return math.inf if before_ms is None else now_ms - before_ms
