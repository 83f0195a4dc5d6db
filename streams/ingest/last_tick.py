"""The last tick of `events.v1`, read backwards: all that ingest needs to know after a restart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer

from domain import topics
from domain.events import LogRecord, Tick
from sinks.log_reader import Span, assigned_consumer, read
from sinks.retriable import bounds

READ_RECORDS_MIN = 2_000  # of each partition at first; eight times as many where there is no tick among them
_DECODER = msgspec.json.Decoder(LogRecord)


@dataclass(frozen=True, slots=True)
class WrittenTick:
    """A tick of the log, and the offset of `feed.v1` up to which its writer had polled."""

    tick: Tick
    polled_offset: int


def last_tick(
    bootstrap: str, client: Mapping[str, Any], partitions: int, timeout_s: float = 30.0
) -> WrittenTick | None:
    """Return the tick with the highest `up_to` in any partition; None where the log holds none.

    A tick is in all partitions or in none. All are asked, since any of them may have lost its oldest records.

    Raise KafkaException or TimeoutError where the log cannot be read.
    """
    until_s = time.monotonic() + timeout_s
    with closing(assigned_consumer(bootstrap, client)) as consumer:
        ends = {p: bounds(consumer, topics.EVENTS, p) for p in range(partitions)}
        starts = {p: high for p, (_, high) in ends.items()}
        best: WrittenTick | None = None
        count = READ_RECORDS_MIN
        while missing := [p for p, (low, _) in ends.items() if starts[p] > low]:
            spans = {p: (max(ends[p][0], starts[p] - count), starts[p]) for p in missing}
            ticks = _ticks_in(consumer, spans, until_s - time.monotonic())
            best = max((one for one in (best, *ticks.values()) if one), key=lambda one: one.tick.up_to, default=None)
            # A partition that has a tick in what was read has no later one before it.
            starts |= {p: ends[p][0] if p in ticks else span[0] for p, span in spans.items()}
            count *= 8
        return best


def _ticks_in(consumer: Consumer, spans: Mapping[int, Span], timeout_s: float) -> dict[int, WrittenTick]:
    """Return the last tick in the offsets [start, end) of each partition that has one there."""
    found: dict[int, WrittenTick] = {}
    for message in read(consumer, {(topics.EVENTS, p): span for p, span in spans.items()}, timeout_s=timeout_s):
        if message.key() is None:
            record = _DECODER.decode(message.value())
            if isinstance(record.event, Tick):
                polled_offset = 0 if record.origin is None else record.origin[2]
                found[message.partition()] = WrittenTick(record.event, polled_offset)
    return found
