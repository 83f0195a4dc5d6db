"""Sends a source's deliveries to their topics, in their order, from where an earlier run left off."""

import threading
import time
from collections import Counter, defaultdict

import msgspec
from confluent_kafka import TopicPartition

from config.errors import SettingsError
from config.settings import KafkaSettings
from domain import topics
from domain.events import SCHEMA, Receipt
from replay.offsets import Offsets, Place
from replay.reading import assign, consumer, read_topics
from replay.sources import Delivery, Source
from sinks.batch import KeyAndValue, Records
from sinks.client import aiokafka_settings
from sinks.kafka import Outbox

HEADERS = (("schema", SCHEMA.encode()),)
SLEEP_S_MAX = 0.2
FIRST_S_MAX = 20.0
DRAIN_S_MAX = 120.0
BACKLOG_LINGER_MS, PACED_LINGER_MS = 2_000, 20  # a backlog over many topics waits for batches of more than a record
GATHERED_MAX = 4_096  # deliveries of a backlog that are handed over together: one by one that costs more than all else
_encode = msgspec.json.Encoder().encode


class ForeignRecords(Exception):
    """A topic holds records that are not of this source; the message names it."""


class Sending(threading.Thread):
    """The sender, in a thread of its own; the numbers may be read from another at any time.

    A topic's end offset is the number of deliveries that it has: only we write it, idempotently, so what an earlier run
    has sent is skipped by count. In `control.v1` others write too: there a delivery is known by its bytes, and it waits
    for nothing, since that topic is read before all others. `speed` is event time against wall time, None: as fast as
    may be. With `live_from_ms` what is delivered before it goes as fast as may be; then the sender waits for `go_live`,
    and `speed` counts. What goes as fast as may be is handed to the outbox by the thousand. `only_own` looks whether
    the first record of each topic is the source's: ForeignRecords where it is not.
    """

    def __init__(
        self,
        source: Source,
        kafka: KafkaSettings,
        *,
        speed: float | None,
        live_from_ms: int | None = None,
        only_own: bool = False,
    ) -> None:
        super().__init__(name="sending", daemon=True)
        self._source, self._kafka, self._speed = source, kafka, speed
        self._live_from_ms, self._only_own = live_from_ms, only_own
        self._live, self._ending, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._outbox: Outbox | None = None
        self._gathered: dict[str, list[KeyAndValue]] = defaultdict(list)  # by topic
        self._gathered_count = 0
        self.history_sent = False  # and acknowledged; only where there is a `live_from_ms`
        self.sent: Counter[str] = Counter()  # by topic, in this run
        self.skipped: Counter[str] = Counter()  # by topic, sent by an earlier run
        self.kinds: Counter[tuple[str, str]] = Counter()  # by topic and type of event, both of them
        self.at_ms: int | None = None  # event time reached
        self.finished = False
        self.failure: Exception | None = None

    @property
    def paced(self) -> bool:
        """Whether it waits for event time."""
        return self._speed is not None

    def run(self) -> None:
        """Send everything; `finished` when all is acknowledged, else `failure` says why not."""
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001  handed to the thread that asks
            if not self._closing.is_set():
                self.failure = error

    def go_live(self) -> None:
        """Send on after the history."""
        self._live.set()

    def end(self) -> None:
        """Stop early, and wait until all that was sent is acknowledged."""
        self._ending.set()
        self._live.set()
        if self.is_alive():
            self.join()

    def close(self) -> None:
        """Stop at once, also where the broker has ended: what is not acknowledged comes in the next run."""
        self._closing.set()
        if self._outbox is not None:
            self._outbox.close()
        self.end()

    def _send_all(self) -> None:
        offsets = Offsets(self._kafka)
        is_backlog = self._speed is None or self._live_from_ms is not None
        outbox = self._open(BACKLOG_LINGER_MS if is_backlog else PACED_LINGER_MS)
        present: dict[str, int] = {}
        said: frozenset[bytes | None] | None = None
        start: tuple[int, float] | None = None
        for delivery in self._source.deliveries():
            if self._ending.is_set():
                break
            topic = delivery.topic
            if topic == topics.CONTROL:
                said = _values(offsets, self._kafka) if said is None else said
                self._tell(outbox, delivery, said)
                continue
            if topic not in present:
                present[topic] = sum(offsets.ends(_places(offsets, topic)).values())
                if self._only_own and present[topic] and _first_record(self._kafka, topic) != _encode(delivery.event):
                    raise ForeignRecords(f"{topic} holds records of another source, or its first ones are gone")
            self.kinds[topic, type(delivery.event).__name__] += 1
            if self.skipped[topic] < present[topic]:
                self.skipped[topic] += 1
                continue
            if self._live_from_ms is not None:
                if delivery.at_ms < self._live_from_ms:
                    self._gather(outbox, delivery)
                    continue
                outbox = self._await_live(outbox)
            if self._speed is not None:
                start = start or (delivery.at_ms, time.monotonic())
                self._wait_until(start, delivery.at_ms, self._speed, outbox)
            self._gather(outbox, delivery)
            if self._speed is not None:
                self._hand_over(outbox)
        if not self._closing.is_set():
            self._drain(outbox)
        self.finished = not self._ending.is_set()

    def _tell(self, outbox: Outbox, delivery: Delivery, said: frozenset[bytes | None]) -> None:
        """Send to `control.v1` what is not among its values."""
        self.kinds[delivery.topic, type(delivery.event).__name__] += 1
        if _encode(delivery.event) in said:
            self.skipped[delivery.topic] += 1
        else:
            self._gather(outbox, delivery)
            self._hand_over(outbox)

    def _open(self, linger_ms: int) -> Outbox:
        self._outbox = Outbox(self._kafka.bootstrap, aiokafka_settings(self._kafka), linger_ms=linger_ms)
        return self._outbox

    def _await_live(self, outbox: Outbox) -> Outbox:
        """Wait at the end of the history; return the outbox to go on with."""
        if self.history_sent:
            return outbox
        self._drain(outbox)
        self.history_sent = True
        self._live.wait()
        return self._open(PACED_LINGER_MS)

    def _gather(self, outbox: Outbox, delivery: Delivery) -> None:
        event = delivery.event
        key = None if isinstance(event, Receipt) else event.enterprise_id.encode()
        self._gathered[delivery.topic].append((key, _encode(event)))
        self._gathered_count += 1
        self.sent[delivery.topic] += 1
        self.at_ms = delivery.at_ms
        if self._gathered_count >= GATHERED_MAX:
            self._hand_over(outbox)

    def _hand_over(self, outbox: Outbox) -> None:
        for topic, records in self._gathered.items():
            outbox.send_batch(topic, Records.of(records), headers=HEADERS)
        self._gathered.clear()
        self._gathered_count = 0

    def _drain(self, outbox: Outbox) -> None:
        self._hand_over(outbox)
        outbox.drain(DRAIN_S_MAX)

    def _wait_until(self, start: tuple[int, float], at_ms: int, speed: float, outbox: Outbox) -> None:
        due_s = start[1] + (at_ms - start[0]) / 1000 / speed
        while (left_s := due_s - time.monotonic()) > 0 and not self._ending.is_set():
            outbox.poll()
            self._ending.wait(min(left_s, SLEEP_S_MAX))


def _places(offsets: Offsets, topic: str) -> list[Place]:
    """Return the partitions of a topic. Raise SettingsError where there is none: an outbox would wait for it."""
    places = offsets.partitions([topic])
    if not places:
        raise SettingsError(f"the broker has no topic {topic}: run `xinliu topics create`")
    return places


def _values(offsets: Offsets, kafka: KafkaSettings) -> frozenset[bytes | None]:
    """Return the values of `control.v1`: the words of operators and learn, and what an earlier run has sent."""
    _places(offsets, topics.CONTROL)
    return frozenset(read.value for read in read_topics(kafka, [topics.CONTROL]))


def _first_record(kafka: KafkaSettings, topic: str) -> bytes | None:
    """Return the value of the record at offset 0; None where retention has taken it."""
    reading = consumer(kafka)
    try:
        assign(reading, [TopicPartition(topic, 0, 0)])
        found = reading.consume(1, timeout=FIRST_S_MAX)
        if not found or found[0].error() is not None or found[0].offset() != 0:
            return None
        value: bytes | None = found[0].value()
        return value
    finally:
        reading.close()
