"""Reads what feeds hold as ingest does, with the transport's parser: librdkafka stops at batches that ingest reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.settings import KafkaSettings
from replay.offsets import Place
from replay.reading import SILENCE_S_MAX, ReadingFailed
from sinks.client import aiokafka_settings
from streams.transport import Chunk, Unreadable, UnreadableBatch, aiokafka_seam
from streams.transport.driver import PARSERS, TransportOptions

Spans = Mapping[Place, Sequence[tuple[int, int]]]
"""By partition, [begin, end) of offsets, ascending and none over another."""
WAIT_S = 0.5


def read_chunks(
    kafka: KafkaSettings, begins: Mapping[Place, int], ends: Mapping[Place, int], spans: Spans
) -> Iterator[Chunk]:
    """Yield the records of each partition from its begin on to its end, but for those in `spans`; in order within it.

    ReadingFailed where the broker falls silent, or what lies outside of `spans` cannot be read.
    """
    with asyncio.Runner() as runner:
        reader = _Reader(kafka, begins, ends, spans)
        runner.run(reader.start())
        try:
            while reader.left:
                yield from runner.run(reader.read())
        finally:
            runner.run(reader.stop())


class _Reader:
    """left: the partitions that are not read to their end."""

    def __init__(
        self, kafka: KafkaSettings, begins: Mapping[Place, int], ends: Mapping[Place, int], spans: Spans
    ) -> None:
        self._kafka, self._ends, self._spans = kafka, ends, spans
        self._positions = {place: self._past(place, begins[place]) for place in ends}
        self.left = {TopicPartition(*place) for place, at in self._positions.items() if at < ends[place]}
        self._heard_s = time.monotonic()

    async def start(self) -> None:
        options = TransportOptions()
        aiokafka_seam.use_raw_records()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=options.fetch_bytes,
            fetch_max_bytes=options.fetch_total_bytes,
            **aiokafka_settings(self._kafka),
        )
        await self._consumer.start()
        if self.left:
            self._consumer.assign(list(self.left))
        for tp in self.left:
            self._consumer.seek(tp, self._positions[tp.topic, tp.partition])

    async def stop(self) -> None:
        await self._consumer.stop()

    async def read(self) -> list[Chunk]:
        """Wait for the next chunks."""
        fetched = await aiokafka_seam.fetched_chunks(
            self._consumer._fetcher, self.left, WAIT_S, lambda: True, self._parse
        )
        now_s = time.monotonic()
        self._heard_s = now_s if fetched else self._heard_s
        if now_s - self._heard_s > SILENCE_S_MAX:
            raise ReadingFailed(f"{sorted(self.left)} could not be read to the end in {SILENCE_S_MAX:g} s")
        return [chunk for tp, found in fetched.items() for chunk in self._wanted(tp, found)]

    def _parse(self, tp: TopicPartition, raw: memoryview, position: int, aborted: Any) -> Chunk | Unreadable:
        where: dict[str, Any] = {"topic": tp.topic, "partition": tp.partition, "start_offset": position}
        bound = {"unpacked_bytes_max": self._kafka.unpacked_bytes_max}
        try:
            return PARSERS[self._kafka.parser](raw, aborted=aborted, **where, **bound)
        except UnreadableBatch as batch:
            return Unreadable(batch, position, -1)

    def _wanted(self, tp: TopicPartition, found: Chunk | Unreadable) -> Iterator[Chunk]:
        """Yield what of it lies before the end and outside of spans; go on behind a span."""
        place = (tp.topic, tp.partition)
        position, end = self._positions[place], self._ends[place]
        after = self._past(place, found.next_offset)
        if isinstance(found, Unreadable):
            if after == found.next_offset:
                raise ReadingFailed(str(found.batch)) from found.batch
        else:
            for begin, past in [*self._spans.get(place, ()), (end, found.next_offset)]:
                first, last = np.searchsorted(found.offset, (position, begin)).tolist()
                if first < last:
                    yield found.part(first, last)
                position = max(position, past)
        self._positions[place] = after
        if after >= end:
            self.left.discard(tp)
        elif after != found.next_offset:
            self._consumer.seek(tp, after)

    def _past(self, place: Place, offset: int) -> int:
        for begin, end in self._spans.get(place, ()):
            if begin <= offset < end:
                offset = end
        return offset
