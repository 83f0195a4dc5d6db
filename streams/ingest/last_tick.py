"""The last tick of `events.v1`, read backwards: all that ingest needs to know after a restart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from domain import topics
from domain.events import LogRecord, Tick
from sinks.retriable import bounds

READ_RECORDS_MIN = 2_000  # of each partition at first; eight times as many where there is no tick among them
_DECODER = msgspec.json.Decoder(LogRecord)


@dataclass(frozen=True, slots=True)
class WrittenTick:
    """A tick of the log, and the place in `feed.v1` up to which its writer had heard."""

    tick: Tick
    heard_offset: int


def last_tick(
    bootstrap: str, client: Mapping[str, Any], partitions: int, timeout_s: float = 30.0
) -> WrittenTick | None:
    """The tick with the highest `up_to` in any partition; None where the log holds none.

    A tick is in all partitions or in none; all are asked, as any of them may have lost its oldest records. Raises
    KafkaException or TimeoutError where the log cannot be read.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "xinliu-last-tick",  # never used: partitions are assigned, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            **client,
        }
    )
    until = time.monotonic() + timeout_s
    try:
        ends = {p: bounds(consumer, topics.EVENTS, p) for p in range(partitions)}
        starts = {p: high for p, (_, high) in ends.items()}
        best: WrittenTick | None = None
        count = READ_RECORDS_MIN
        while missing := [p for p, (low, _) in ends.items() if starts[p] > low]:
            spans = {p: (max(ends[p][0], starts[p] - count), starts[p]) for p in missing}
            ticks = _ticks_in(consumer, spans, until)
            best = max((one for one in (best, *ticks.values()) if one), key=lambda one: one.tick.up_to, default=None)
            # A partition that has a tick in what was read has no later one before it.
            starts |= {p: ends[p][0] if p in ticks else span[0] for p, span in spans.items()}
            count *= 8
        return best
    finally:
        consumer.close()


def _ticks_in(consumer: Consumer, spans: Mapping[int, tuple[int, int]], until: float) -> dict[int, WrittenTick]:
    """The last tick in offsets [start, end) of each partition that has one there."""
    consumer.assign([TopicPartition(topics.EVENTS, p, start) for p, (start, _) in spans.items()])
    left = set(spans)
    found: dict[int, WrittenTick] = {}
    while left:
        if time.monotonic() > until:
            raise TimeoutError(f"{topics.EVENTS}: the last tick was not found in time, partitions {sorted(left)}")
        for message in consumer.consume(1000, 0.1):
            p, error = message.partition(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            end = spans[p][1]
            if error is None and message.offset() < end and message.key() is None:
                record = _DECODER.decode(message.value())
                if isinstance(record.event, Tick):
                    found[p] = WrittenTick(record.event, 0 if record.origin is None else record.origin[2])
            if error is not None or message.offset() >= end - 1:
                left.discard(p)
    return found
