"""Feeds that are held: at a batch that cannot be read, at an enterprise beyond their bank's quota of new ones, or at a
record that is refused beyond what an hour may be.

Each such place is kept once in `quarantine.v1`, then its feed is paused (or, with a setting, goes on after a batch).
A paused feed goes on when an operator's control record says so. Only one worker is assigned `control.v1`, so each
worker that has met such a place reads that topic by itself, from its start. After a restart the place is met again.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import google_crc32c
import msgspec
from confluent_kafka import KafkaException, Message, TopicPartition

from config.credentials import forbidden
from config.settings import Settings
from domain import topics
from domain.calendar import date_of
from domain.outputs import QuarantinedBatch
from sinks.artefacts import ArtefactMissing, records
from sinks.client import client_settings
from sinks.kafka import MarkedOutbox
from sinks.log_reader import FOLLOWING, ReadTimeout, assigned_consumer, poll, read
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
        if (place := _place_of(batch)) not in seen:
            seen.add(place)
            yield batch


class Decisions:
    """Decisions of operators on held feeds, read from the start of `control.v1` on."""

    def __init__(self, settings: Settings) -> None:
        """Connect to the broker. Raise KafkaException where it does not answer."""
        self._consumer = assigned_consumer(settings.kafka.bootstrap, {**FOLLOWING, **client_settings(settings.kafka)})
        self._offset = 0
        self._newly_resumed: set[Place] = set()
        self.resumes: set[Place] = set()
        self.skips: dict[Place, int] = {}  # where each feed goes on; of several controls the first counts

    def catch_up(self) -> None:
        """Read to the present end. Raise KafkaException or ReadTimeout where the topic cannot be read."""
        low, end = bounds(self._consumer, topics.CONTROL, 0)
        span = max(low, self._offset), end
        self._take(read(self._consumer, {(topics.CONTROL, 0): span}, timeout_s=READ_S_MAX))
        self._offset = max(self._offset, end)
        self._consumer.assign([TopicPartition(topics.CONTROL, 0, self._offset)])

    def poll(self) -> set[Place]:
        """Take in the decisions since the last call, without waiting.

        Return the places that are resumed since then.
        """
        self._take(poll(self._consumer))
        resumed, self._newly_resumed = self._newly_resumed, set()
        return resumed

    def _take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._offset = message.offset() + 1
            said = control_of(message.value())
            if said is None or said.action not in _ACTIONS or said.topic is None:
                continue
            place = said.topic, said.partition or 0, said.offset or 0
            if said.action == "feed_resume":
                self._newly_resumed.add(place)
                self.resumes.add(place)
            elif said.next_offset is not None and said.next_offset > place[2]:
                self.skips.setdefault(place, said.next_offset)

    def close(self) -> None:
        """Close the connection to the broker."""
        self._consumer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRecord:
    """The record at which a feed is held. raw: its value."""

    offset: int
    raw: bytes
    reason: ClassVar[str]

    @property
    def next_offset(self) -> int:
        """Offset after the record."""
        return self.offset + 1

    @property
    def crc(self) -> int:
        """CRC-32C of the record's value, `raw`."""
        return int(google_crc32c.value(self.raw))

    @property
    @abstractmethod
    def detail(self) -> str:
        """A sentence for the operator."""

    def __str__(self) -> str:
        return f"at offset {self.offset}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BeyondQuota(HeldRecord):
    """It is of one enterprise more than the bank may bring on a day.

    day: a day number. brought: how many it has brought on that.
    """

    day: int
    brought: int
    reason: ClassVar = "new_enterprises"

    @property
    def detail(self) -> str:
        """A sentence for the operator."""
        return f"one more new enterprise, after {self.brought:,} on {date_of(self.day)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BeyondRefused(HeldRecord):
    """It would be one dead letter more than the feed may bring in an hour. an_hour: how many that are."""

    an_hour: int
    reason: ClassVar = "refused_records"

    @property
    def detail(self) -> str:
        """A sentence for the operator."""
        return f"one more refused record, beyond {self.an_hour:,} an hour; dlq.v1 holds those before it"


class GoesOn(NamedTuple):
    """Offset at which a paused feed goes on, and why it was paused."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Paused:
    """A paused feed. next_offset: where it goes on by itself. unsent: None once it is kept in the topic."""

    offset: int
    reason: str
    next_offset: int | None
    unsent: UnreadableBatch | HeldRecord | None


class Quarantine:
    """The feeds of this worker that are held at a batch or a record. Call `settle` often.

    counts: what was sent to `quarantine.v1`, by (topic, partition, reason).
    """

    def __init__(self, settings: Settings, sealer: Sealer) -> None:
        self.counts: Counter[tuple[str, int, str]] = Counter()
        self._settings, self._sealer = settings, sealer
        self._paused: dict[TP, _Paused] = {}
        self._kept: dict[Place, QuarantinedBatch] | None = None  # what the topic holds; None: to be read
        self._reading: asyncio.Task[dict[Place, QuarantinedBatch]] | None = None
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

    def pause(self, tp: TP, at: UnreadableBatch | HeldRecord) -> None:
        """Pause a feed."""
        log.error("feed %s[%d] is paused: %s", tp.topic, tp.partition, at)
        next_offset = None
        if isinstance(at, UnreadableBatch) and self._settings.ingest.unreadable == "skip":
            next_offset = at.next_offset
        self._paused[tp] = _Paused(at.offset, at.reason, next_offset, at)

    def has_read(self) -> bool:
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
            except (KafkaException, ArtefactMissing, ReadTimeout) as error:
                log.warning("held feeds are not yet in quarantine.v1, to be tried again: %s", error)
        return self._kept is not None

    def refusable(self, tp: TP, offsets: Sequence[int]) -> int:
        """Return how many of these offsets are before the first at which the feed is held for its refused records.

        So a restart, whose allowance is full, does not pass a place that no operator has resumed. The content of the
        topic must be known.
        """
        assert self._kept is not None
        assert self._decisions is not None
        places = [(*tp, offset) for offset in offsets]
        held = (
            i
            for i, place in enumerate(places)
            if (kept := self._kept.get(place)) is not None
            and kept.reason == BeyondRefused.reason
            and place not in self._decisions.resumes
        )
        return next(held, len(places))

    def granted(self, topic: str, day: int) -> int | None:
        """Return how many new enterprises a feed may bring on a day; None while that is to be read.

        A quota, and for each place of that day where operators have resumed the feed, a quota from there on.
        """
        if not self.has_read():
            return None
        assert self._kept is not None
        assert self._decisions is not None
        quota = self._settings.ingest.new_enterprises_max
        resumed = (self._kept[place] for place in self._decisions.resumes & self._kept.keys())
        brought = [one.new_enterprises or 0 for one in resumed if (one.topic, one.day) == (topic, day)]
        return quota + max(brought, default=0)

    def keep(self, outbox: MarkedOutbox, tp: TP, batch: UnreadableBatch) -> bool:
        """Keep a batch that its partition passes over at once; return False while the content is not known."""
        if self.has_read():
            self._keep(outbox, tp, batch)
        return self._kept is not None

    def settle(self, outbox: MarkedOutbox) -> dict[TP, GoesOn]:
        """Keep new places in the topic; return the feeds that are no longer paused.

        Waits for nothing.
        """
        if not self._paused or not self.has_read():
            return {}
        assert self._decisions is not None  # it comes with what was read
        resumed, goes_on = self._decisions.poll(), dict[TP, GoesOn]()
        for tp, at in list(self._paused.items()):
            if at.unsent is not None:
                self._keep(outbox, tp, at.unsent)
                self._paused[tp] = _Paused(at.offset, at.reason, at.next_offset, None)
            next_offset = self._decisions.skips.get((*tp, at.offset), at.next_offset)
            if next_offset is None and (*tp, at.offset) in resumed:
                next_offset = at.offset
            if next_offset is not None:
                log.warning("feed %s[%d] goes on from offset %d at %d", *tp, at.offset, next_offset)
                goes_on[tp] = GoesOn(next_offset, at.reason)
                del self._paused[tp]
        return goes_on

    def _read(self) -> dict[Place, QuarantinedBatch]:
        if self._decisions is None:
            self._decisions = Decisions(self._settings)
        kept = (msgspec.structs.replace(one, sealed=None, batch=b"") for one in quarantined(self._settings))
        found = {_place_of(one): one for one in kept}
        self._decisions.catch_up()
        return found

    def _keep(self, outbox: MarkedOutbox, tp: TP, at: UnreadableBatch | HeldRecord) -> None:
        """Send the place to the topic, after its feed's earlier outputs.

        Nothing is committed past it until it is acknowledged.
        """
        assert self._kept is not None
        place = (*tp, at.offset)
        if place in self._kept:
            return
        batch = _record_of(tp, at, self._settings.ingest.quarantine_bytes_max, self._sealer)
        self._kept[place] = msgspec.structs.replace(batch, sealed=None)
        self.counts[tp.topic, tp.partition, batch.reason] += 1
        value = msgspec.json.encode(batch)
        outbox.send_marked(topics.QUARANTINE, value, key=tp.topic.encode(), lane=tp, mark=at.offset)


def _place_of(batch: QuarantinedBatch) -> Place:
    return batch.topic, batch.partition, batch.offset


def _record_of(tp: TP, at: UnreadableBatch | HeldRecord, bytes_max: int, sealer: Sealer) -> QuarantinedBatch:
    beyond = at if isinstance(at, BeyondQuota) else None
    kept, place = at.raw[:bytes_max], place_of(tp.topic, tp.partition, at.offset)
    is_kept = not isinstance(at, BeyondRefused) and not forbidden().seen_in(kept)
    return QuarantinedBatch(
        topic=tp.topic,
        partition=tp.partition,
        offset=at.offset,
        next_offset=at.next_offset,
        reason=at.reason,
        detail=at.detail[:500],
        batch_bytes=len(at.raw),
        batch_crc32c=at.crc,
        sealed=sealer.seal(kept, place) if is_kept else None,
        day=None if beyond is None else beyond.day,
        new_enterprises=None if beyond is None else beyond.brought,
    )
