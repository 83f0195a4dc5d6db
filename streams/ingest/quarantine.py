"""Feeds at batches that cannot be read: each batch is kept once in `quarantine.v1`, then its feed is paused or goes on.

A paused feed goes on when an operator's control record says so. Only one worker is assigned `control.v1`, so each
worker that has met such a batch reads that topic by itself, from its start. After a restart the batch is fetched again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from config.credentials import forbidden
from config.settings import Settings
from domain import topics
from domain.outputs import QuarantinedBatch
from sinks.artefacts import ArtefactMissing, records
from sinks.client import client_settings
from sinks.kafka import MarkedOutbox
from sinks.log_reader import FOLLOWING, assigned_consumer, poll
from sinks.retriable import bounds
from streams.control_log import control_of
from streams.seal import Sealer, place_of
from streams.transport import UnreadableBatch
from streams.worker.role import TP

log = logging.getLogger(__name__)

READ_S_MAX = 60.0
_ACTIONS = frozenset({"feed_resume", "feed_skip"})
_decode_batch = msgspec.json.Decoder(QuarantinedBatch).decode
Place = tuple[str, int, int]  # topic, partition, offset


def quarantined(settings: Settings) -> Iterator[QuarantinedBatch]:
    """Yield the content of `quarantine.v1` as of now, each batch once.

    Raise ArtefactMissing where it cannot be read.
    """
    seen: set[Place] = set()
    kafka = settings.kafka
    for _, value in records(kafka.bootstrap, topics.QUARANTINE, READ_S_MAX, client_settings(kafka)):
        batch = _decode_batch(value)
        if (place := (batch.topic, batch.partition, batch.offset)) not in seen:
            seen.add(place)
            yield batch


class Decisions:
    """Decisions of operators on unreadable batches, polled from the start of `control.v1` on."""

    def __init__(self, settings: Settings) -> None:
        """Connect to the broker. Raise KafkaException where it does not answer."""
        self._consumer = assigned_consumer(settings.kafka.bootstrap, {**FOLLOWING, **client_settings(settings.kafka)})
        begin, _ = bounds(self._consumer, topics.CONTROL, 0)
        self._consumer.assign([TopicPartition(topics.CONTROL, 0, begin)])
        self.skips: dict[Place, int] = {}  # where each feed goes on; of several controls the first counts

    def poll(self) -> set[Place]:
        """Take in the decisions since the last call, without waiting.

        Return the places that are to be fetched again.
        """
        resumed: set[Place] = set()
        for message in poll(self._consumer):
            said = control_of(message.value())
            if said is None or said.action not in _ACTIONS or said.topic is None:
                continue
            place = said.topic, said.partition or 0, said.offset or 0
            if said.action == "feed_resume":
                resumed.add(place)
            elif said.next_offset is not None and said.next_offset > place[2]:
                self.skips.setdefault(place, said.next_offset)
        return resumed

    def close(self) -> None:
        """Close the connection to the broker."""
        self._consumer.close()


@dataclass(frozen=True, slots=True)
class _Paused:
    """A feed at a batch that cannot be read. `batch` is None once it is kept in the topic."""

    offset: int
    next_offset: int | None
    batch: UnreadableBatch | None


class Quarantine:
    """The feeds of this worker that are at batches that cannot be read. Call `settle` often.

    counts: batches sent to `quarantine.v1`, by (topic, partition, reason).
    """

    def __init__(self, settings: Settings, sealer: Sealer) -> None:
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self._settings, self._sealer = settings, sealer
        self._paused: dict[TP, _Paused] = {}
        self._kept: set[Place] | None = None  # what the topic holds; None: to be read
        self._reading: asyncio.Task[set[Place]] | None = None
        self._is_old = False  # what is being read was asked for before `begin`
        self._decisions: Decisions | None = None

    @property
    def paused(self) -> frozenset[TP]:
        """Feeds that are paused."""
        return frozenset(self._paused)

    def begin(self) -> None:
        """Forget the feeds and the content of the topic: other workers may have written to it meanwhile."""
        self._paused, self._kept, self._is_old = {}, None, self._reading is not None

    async def close(self) -> None:
        """Close the connection to the broker."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if self._decisions is not None:
            await asyncio.to_thread(self._decisions.close)

    def pause(self, tp: TP, batch: UnreadableBatch) -> None:
        """Pause a feed at a batch."""
        log.error("feed %s[%d] is paused: %s", tp.topic, tp.partition, batch)
        self._paused[tp] = _Paused(batch.offset, batch.next_offset, batch)

    def settle(self, outbox: MarkedOutbox) -> dict[TP, int]:
        """Keep new batches in the topic; return the feeds that are no longer paused, each with its next offset.

        Waits for nothing.
        """
        if not self._paused or not self._has_read():
            return {}
        assert self._decisions is not None  # it comes with what was read
        resumed, goes_on = self._decisions.poll(), {}
        for tp, at in list(self._paused.items()):
            if at.batch is not None:
                self._keep(outbox, tp, at.batch)
                self._paused[tp] = _Paused(at.offset, at.next_offset, None)
            next_offset = self._decisions.skips.get((*tp, at.offset))
            if next_offset is None and self._settings.ingest.unreadable == "skip":
                next_offset = at.next_offset
            if next_offset is None and (*tp, at.offset) in resumed:
                next_offset = at.offset
            if next_offset is not None:
                log.warning("feed %s[%d] goes on from offset %d at %d", *tp, at.offset, next_offset)
                goes_on[tp] = next_offset
                del self._paused[tp]
        return goes_on

    def _has_read(self) -> bool:
        """Return whether the content of the topic is known.

        It is read in the background, and again where that fails.
        """
        if self._kept is None and self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(self._read))
        if self._reading is not None and self._reading.done():
            task, self._reading, is_old, self._is_old = self._reading, None, self._is_old, False
            try:
                kept = task.result()
                self._kept = None if is_old else kept
            except (KafkaException, ArtefactMissing) as error:
                log.warning("unreadable batches are not yet quarantined, to be tried again: %s", error)
        return self._kept is not None

    def _read(self) -> set[Place]:
        if self._decisions is None:
            self._decisions = Decisions(self._settings)
        return {(batch.topic, batch.partition, batch.offset) for batch in quarantined(self._settings)}

    def _keep(self, outbox: MarkedOutbox, tp: TP, batch: UnreadableBatch) -> None:
        """Send the batch to the topic, after its feed's earlier outputs.

        Nothing is committed past it until it is acknowledged.
        """
        assert self._kept is not None
        place = (*tp, batch.offset)
        if place in self._kept:
            return
        self._kept.add(place)
        self.counts[tp.topic, tp.partition, batch.reason] += 1
        value = msgspec.json.encode(_record_of(tp, batch, self._settings.ingest.quarantine_bytes_max, self._sealer))
        outbox.send_marked(topics.QUARANTINE, value, key=tp.topic.encode(), lane=tp, mark=batch.offset)


def _record_of(tp: TP, batch: UnreadableBatch, bytes_max: int, sealer: Sealer) -> QuarantinedBatch:
    kept, place = batch.raw[:bytes_max], place_of(tp.topic, tp.partition, batch.offset)
    return QuarantinedBatch(
        topic=tp.topic,
        partition=tp.partition,
        offset=batch.offset,
        next_offset=batch.next_offset,
        reason=batch.reason,
        detail=batch.detail[:500],
        batch_bytes=len(batch.raw),
        batch_crc32c=batch.crc,
        sealed=None if forbidden().seen_in(kept) else sealer.seal(kept, place),
    )
