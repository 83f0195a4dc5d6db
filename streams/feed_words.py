"""`feed.v1`: what the workers of ingest say to each other of their feeds, told behind acknowledgement, and heard."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from domain import topics
from domain.outputs import FeedHealth, FeedProgress, FeedWord
from sinks.kafka import MarkedOutbox
from streams.role import TP

READ_AT_ONCE = 2_000
_BEFORE_MS = 600_000  # clocks of workers and brokers differ by less
_READ_S_MAX = 30
_decode = msgspec.json.Decoder(FeedWord).decode
_encode = msgspec.json.Encoder().encode


class FeedListener:
    """Hears `feed.v1` from its end on: each worker tells all its feeds anew when it gets them."""

    def __init__(self, bootstrap: str, client: Mapping[str, Any]) -> None:
        self._consumer = _consumer(bootstrap, client)
        end = self._consumer.get_watermark_offsets(TopicPartition(topics.FEED, 0), 10)[1]
        self._consumer.assign([TopicPartition(topics.FEED, 0, end)])

    def hear(self) -> list[FeedProgress]:
        """What has come since; returns at once. KafkaException where the topic cannot be read."""
        messages = self._consumer.consume(READ_AT_ONCE, 0)
        return [word for word in _words(messages) if isinstance(word, FeedProgress)]

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def words_since(bootstrap: str, client: Mapping[str, Any], time_ms: int | None) -> list[FeedProgress]:
    """All words from shortly before `time_ms` (of the brokers' clocks; None: all there are) until now."""
    consumer = _consumer(bootstrap, {**client, "enable.partition.eof": True})
    try:
        start = TopicPartition(topics.FEED, 0, 0 if time_ms is None else max(0, time_ms - _BEFORE_MS))
        if time_ms is not None:
            (start,) = consumer.offsets_for_times([start], 10)
        low, end = consumer.get_watermark_offsets(TopicPartition(topics.FEED, 0), 10)
        position = end if start.offset == OFFSET_END else max(low, start.offset)
        found: list[FeedProgress] = []
        consumer.assign([TopicPartition(topics.FEED, 0, position)])
        until = time.monotonic() + _READ_S_MAX
        while position < end:
            messages = consumer.consume(READ_AT_ONCE, 0.05)
            if time.monotonic() > until:
                raise TimeoutError(f"{topics.FEED}: read to {position} of {end} in {_READ_S_MAX} s")
            for message in messages:
                position = end if message.error() else message.offset() + 1
            found += [word for word in _words(messages) if isinstance(word, FeedProgress)]
        return found
    finally:
        consumer.close()


@dataclass(slots=True)
class _Teller:
    """One feed: at most one word waits for what it tells of, or for its own acknowledgement."""

    waiting: FeedProgress | None = None
    sent: FeedProgress | None = None
    told: FeedProgress | None = None
    receipt_days: set[int] = field(default_factory=set)  # not yet told


class FeedTeller:
    """Tells how far feeds are read, each word only when all that it tells of is acknowledged."""

    def __init__(self, outbox: MarkedOutbox, idle_ms: int) -> None:
        self._outbox, self._idle_ms = outbox, idle_ms
        self._feeds: dict[TP, _Teller] = {}

    def begin(self, tps: Iterable[TP]) -> None:
        """These feeds; nothing is told of them yet."""
        self._feeds = {tp: _Teller() for tp in tps}

    def receipt(self, tp: TP, day: int) -> None:
        """A receipt to tell with the next word."""
        self._feeds[tp].receipt_days.add(day)

    def told(self, tp: TP) -> int | None:
        """Everything of the feed before this offset is acknowledged, and so is the word that says so."""
        feed = self._feeds[tp]
        self._serve(tp, feed)
        return None if feed.told is None else feed.told.position

    def tell(self, tp: TP, word: FeedProgress) -> None:
        """How far the feed is read now; told when it may be, where it says anything new. Call it often."""
        feed = self._feeds[tp]
        self._serve(tp, feed)
        if feed.waiting is None and feed.sent is None and self._is_new(word, feed):
            feed.waiting = msgspec.structs.replace(word, receipt_days=tuple(sorted(feed.receipt_days)))
            feed.receipt_days.clear()
            self._serve(tp, feed)

    def health(self, health: FeedHealth) -> None:
        """A bank's feed as the writer of the ticks sees it, for operators."""
        self._outbox.send(topics.FEED, _encode(health), key=health.bank_id.encode())

    def _serve(self, tp: TP, feed: _Teller) -> None:
        lane = (topics.FEED, tp)
        if feed.sent is not None and self._outbox.lowest_open(lane) is None:
            feed.told, feed.sent = feed.sent, None
        if feed.waiting is not None:
            lowest = self._outbox.lowest_open(tp)
            if lowest is None or lowest >= feed.waiting.position:
                feed.sent, feed.waiting = feed.waiting, None
                key = f"{tp.topic}".encode()
                self._outbox.send_marked(topics.FEED, _encode(feed.sent), key=key, lane=lane, mark=feed.sent.position)

    def _is_new(self, word: FeedProgress, feed: _Teller) -> bool:
        told = feed.told
        if told is None or feed.receipt_days:
            return True
        if (word.position, word.unread, word.front_ms) != (told.position, told.unread, told.front_ms):
            return True
        before_ms, now_ms = told.as_of, word.as_of
        return not word.unread and now_ms is not None and (before_ms is None or now_ms - before_ms >= self._idle_ms)


def _consumer(bootstrap: str, client: Mapping[str, Any]) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "xinliu-feed-words",  # never used: the partition is assigned, nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            **client,
        }
    )


def _words(messages: Iterable[Any]) -> list[FeedWord]:
    found: list[FeedWord] = []
    for message in messages:
        if (error := message.error()) is None:
            found.append(_decode(message.value()))
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
    return found
