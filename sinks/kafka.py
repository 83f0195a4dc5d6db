"""The one way out to Kafka: an idempotent producer that knows when its outputs are in the topics."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer

Headers = Sequence[tuple[str, bytes | None]]
KeyAndValue = tuple[bytes | None, bytes | None]
GATHERED_MAX = 500  # some 15 ms of making them
COMPRESSION = "lz4"  # our records are JSON that repeats itself: a fifth of the bytes, and half the broker's work
_IN_FLIGHT_MAX = 200_000


class DeliveryFailed(Exception):
    """An output could not be delivered. The producer is at its end, and with it the memory that it came from."""


class _Stretch:
    """Outputs that follow each other, and how many of them are not acknowledged."""

    __slots__ = ("_reported", "open_count")

    def __init__(self, reported: Callable[[KafkaError | None, Message], None]) -> None:
        self._reported, self.open_count = reported, 0

    def acknowledged(self, error: KafkaError | None, message: Message) -> None:
        """Called for each of them. An exception may be pending then, and Python finds no inherited method."""
        if error is None:
            self.open_count -= 1
        else:
            self._reported(error, message)


class Outbox:
    """An idempotent producer (acks=all, murmur2) that counts what is acknowledged.

    After a failed delivery nothing that was sent later to the same partition may land: a reader that keeps the highest
    would never take the lost one when it comes again. So the producer is gapless, no output expires by itself (that
    would leave a gap), and the first failure, or `silence_s_max` without an acknowledgement, ends it with all that it
    has in flight.
    """

    def __init__(
        self,
        bootstrap: str,
        client: Mapping[str, Any] | None = None,
        *,
        linger_ms: int = 5,
        silence_s_max: float = 120.0,
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "acks": "all",
                "partitioner": "murmur2_random",  # as Java's and aiokafka's: every producer agrees on a key's partition
                "linger.ms": linger_ms,
                "compression.type": COMPRESSION,
                "queue.buffering.max.messages": 2 * _IN_FLIGHT_MAX,
                "queue.buffering.max.kbytes": 1024 * 1024,
                "message.max.bytes": 8 * 1024 * 1024 + 65_536,
                "delivery.timeout.ms": 0,  # none of librdkafka's: see the class
                **(client or {}),
            },
            # librdkafka reports e.g. "all brokers down" here and goes on trying; delivery has its own verdict.
        )
        self._failure = ""
        self._silence_s_max = silence_s_max
        self._heard_at_s = 0.0
        self._heard_count = 0
        self._stretch = _Stretch(self._reported)  # of what comes next
        self._marked: deque[_Stretch] = deque()  # those before it that may be open
        self._landed_count = 0  # of those before them
        self.sent_count = 0

    @property
    def acknowledged_count(self) -> int:
        """How many outputs are in the topics."""
        return self.sent_count - len(self._producer)

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        """Queue one record; blocks while the local queue is full. DeliveryFailed once any earlier one has failed."""
        stretch = self._stretch
        stretch.open_count += 1
        self._produce(topic, [(key, value)], partition, headers, stretch)
        self._serve(self._producer.poll, 0)

    def send_batch(self, topic: str, records: Sequence[dict[str, Any]], *, partition: int = -1) -> None:
        """Queue records ({"key": …, "value": …}) of one topic, in their order, as `send` does one by one.

        In one partition they are acknowledged in their order, and none where an earlier one failed: there only the last
        of them is reported.
        """
        count, stretch = len(records), self._stretch
        reported, of_all = (records, stretch.acknowledged) if partition < 0 else (records[-1:], None)
        stretch.open_count += len(reported)
        if of_all is None and records:
            records[-1]["callback"] = stretch.acknowledged
        self._begin(count)
        try:
            queued = self._producer.produce_batch(topic, records, partition=partition, on_delivery=of_all)
        except (KafkaException, BufferError) as error:
            self._refused(topic, error)
        if queued < count:
            # Those behind the refused one may have been taken: sent again, they would stand out of order.
            self._refused(topic, next(record["_error"] for record in records if "_error" in record))
        self._serve(self._producer.poll, 0)

    def poll(self) -> None:
        """Serve acknowledgements; DeliveryFailed where one of the outputs has failed, or none came for too long."""
        self._hear()

    def _hear(self) -> None:
        self._serve(self._producer.poll, 0)
        acknowledged = self.acknowledged_count
        if acknowledged != self._heard_count:
            self._heard_count, self._heard_at_s = acknowledged, time.monotonic()
        silence_s = time.monotonic() - self._heard_at_s
        if acknowledged < self.sent_count and silence_s > self._silence_s_max:
            self._failure = self._failure or f"no acknowledgement for {silence_s:.0f} s"
        self._raise_failure()

    def mark(self) -> int:
        """A number for all that was sent so far, to ask `has_landed` for."""
        self._settle()
        self._marked.append(self._stretch)
        self._stretch = _Stretch(self._reported)
        return self._landed_count + len(self._marked)

    def has_landed(self, mark: int) -> bool:
        """Whether all that was sent before a mark is acknowledged, whatever came after it; DeliveryFailed as `poll`."""
        self._hear()
        self._settle()
        return self._landed_count >= mark

    def _settle(self) -> None:
        while self._marked and not self._marked[0].open_count:
            self._marked.popleft()
            self._landed_count += 1

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until every output is acknowledged; DeliveryFailed where that does not come in time."""
        left = self._serve(self._producer.flush, timeout_s)
        self._raise_failure()
        if left:
            self._failure = f"{left} outputs are not acknowledged after {timeout_s:g} s"
            self._raise_failure()

    def close(self) -> None:
        """End it: what is not acknowledged by now is dropped, or lands without anybody hearing of it."""
        self._failure = self._failure or "closed"
        self._producer.purge()

    def _produce(
        self,
        topic: str,
        records: Sequence[KeyAndValue],
        partition: int,
        headers: Headers | None,
        stretch: _Stretch,
    ) -> None:
        """Queue records that their stretch has counted."""
        self._begin(len(records))
        produce, headers, on_delivery = self._producer.produce, list(headers or ()), stretch.acknowledged
        try:
            for key, value in records:
                produce(topic, value, key, partition=partition, headers=headers, on_delivery=on_delivery)
        except (KafkaException, BufferError) as error:
            self._refused(topic, error)

    def _begin(self, records: int) -> None:
        """Wait for room: a queue that is full in the midst of a batch could change its order."""
        self._raise_failure()
        in_flight = len(self._producer)
        if not in_flight:
            self._heard_at_s = time.monotonic()
        while in_flight > _IN_FLIGHT_MAX:
            self._serve(self._producer.poll, 0.05)
            self._hear()
            in_flight = len(self._producer)
        self.sent_count += records

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = self._failure or f"{message.topic()}: {error.str()}"

    def _refused(self, topic: str, error: object) -> NoReturn:
        """Refused at once: too large, unknown topic, no room for its bytes, the producer at its end."""
        self._serve(self._producer.poll, 0)  # where it is at its end, why
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        self._failure = self._failure or f"{topic}: {said}"
        self._raise_failure()
        raise AssertionError("a failure raises")

    def _serve(self, serve: Callable[[float], int], timeout_s: float) -> int:
        """Poll or flush. confluent-kafka raises a producer's end from there, or from whichever callback comes next,
        and now and then without saying which error it was: it is a failure all the same."""
        try:
            return serve(timeout_s)
        except (KafkaException, SystemError) as error:
            cause = error if isinstance(error, KafkaException) else error.__cause__
            said = cause.args[0].str() if isinstance(cause, KafkaException) else str(error)
            self._failure = self._failure or said
            return 0

    def _raise_failure(self) -> None:
        if self._failure:
            self.close()
            raise DeliveryFailed(self._failure)


@dataclass(slots=True)
class _Lane:
    """The stretches with outputs of a lane that may not be acknowledged, with the lowest mark in each, ascending."""

    open: deque[tuple[int, _Stretch]] = field(default_factory=deque)
    last_mark: int = 0

    def lowest_open(self) -> int | None:
        while self.open and not self.open[0][1].open_count:
            self.open.popleft()
        return self.open[0][0] if self.open else None


class MarkedOutbox(Outbox):
    """An outbox that knows which inputs its unacknowledged outputs belong to: per lane, the lowest open mark.

    A lane is any hashable value, usually the input's topic and partition; a mark is the input's offset, and marks of a
    lane are sent in ascending order. What is above the lowest open mark must not be committed. It is known by stretches
    of outputs: the first mark of a stretch is open until all of the stretch is acknowledged.

    Between `gather` and `hand_over` outputs are kept back, up to a bound, and then go to the producer in one go. Its
    batches, and so the broker's requests, are as large as what comes to it within `linger_ms`: where each output takes
    its time to be made, that is a few records a request, and the broker works more than all others.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lanes: dict[Any, _Lane] = {}
        self._gathers = False
        self._gathered: deque[tuple[str, Sequence[KeyAndValue], Headers | None, _Stretch]] = deque()
        self._gathered_count = 0
        self._sending = threading.Lock()  # a thread may drain while another sends: their order stays

    def gather(self) -> None:
        """Keep outputs back from now on."""
        self._gathers = True

    def hand_over(self) -> None:
        """Send what was kept back, and whatever comes at once again."""
        self._gathers = False
        self._send_gathered()

    def poll(self) -> None:
        """As an outbox's, of what was kept back too."""
        self._send_gathered()
        super().poll()

    def drain(self, timeout_s: float = 30.0) -> None:
        """As an outbox's, of what was kept back too."""
        self._send_gathered()
        super().drain(timeout_s)

    def send_marked(
        self,
        topic: str,
        value: bytes | None,
        *,
        lane: Any,
        mark: int,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> None:
        """As `send`, for the input `mark` of `lane`."""
        self.send_run(topic, [(key, value)], lane=lane, marks=(mark, mark), headers=headers)

    def send_run(
        self,
        topic: str,
        records: Sequence[KeyAndValue],
        *,
        lane: Any,
        marks: tuple[int, int],
        headers: Headers | None = None,
    ) -> None:
        """As `send`, of several (key, value) in their order, for inputs of `lane` from the first to the last mark."""
        found = self._lanes.setdefault(lane, _Lane())
        if found.lowest_open() is not None and found.last_mark > marks[0]:
            raise ValueError(f"marks of lane {lane} must ascend: {marks[0]} after {found.last_mark}")
        found.last_mark = marks[1]
        count = len(records)  # before the sum: a call within it would let another thread in
        with self._sending:
            stretch = self._stretch
            if not found.open or found.open[-1][1] is not stretch:
                found.open.append((marks[0], stretch))
            stretch.open_count += count
            self._gathered.append((topic, records, headers, stretch))
            self._gathered_count += count
        if not self._gathers or self._gathered_count >= GATHERED_MAX:
            self._send_gathered()

    def lowest_open(self, lane: Any) -> int | None:
        """The lowest mark of `lane` that may have an unacknowledged output; None where all are acknowledged."""
        found = self._lanes.get(lane)
        return None if found is None else found.lowest_open()

    def _send_gathered(self) -> None:
        with self._sending:
            if self._gathered:
                self.mark()
                self._gathered_count = 0
            while self._gathered:
                topic, records, headers, stretch = self._gathered.popleft()
                self._produce(topic, records, -1, headers, stretch)
            self._serve(self._producer.poll, 0)
