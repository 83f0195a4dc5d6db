"""The one way out to Kafka: an idempotent producer that knows when its outputs are in the topics."""

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sinks.batch import BY_KEY, AckGroup, Headers, Outputs, Records
from sinks.sending import Sender

LINGER_MS_MAX = 50  # of who hurries when there is no more to send together
_IN_FLIGHT_MAX = 200_000
_IN_FLIGHT_BYTES_MAX = 1 << 30
_END_S_MAX = 2.0  # of a process that waits for its outbox to leave the broker
logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what goes wrong is raised; workers have their handler


class DeliveryFailed(Exception):
    """An output could not be delivered. The producer has ended, and the memory that made the output must be dropped."""


class Outbox:
    """An idempotent producer (acks=all, murmur2) that counts what is acknowledged.

    Outputs wait `linger_ms` for more, or until `flush_now`: a request is most of the cost of a few records.

    After a failed delivery nothing that was sent later to the same partition may land: a reader that keeps the highest
    offset would never take the lost output when it comes again. So no output expires by itself (that would leave a
    gap), and the first failure, or `silence_s_max` seconds without an acknowledgement, ends the producer with all that
    it has in flight.
    """

    def __init__(
        self,
        bootstrap: str,
        client: Mapping[str, Any] | None = None,
        *,
        linger_ms: int = 5,
        silence_s_max: float = 120.0,
        topic_s_max: float = 30.0,
    ) -> None:
        """Start a producer; `client` holds settings of aiokafka, as `sinks.client` makes them."""
        self._sender = Sender(bootstrap, client or {}, linger_ms / 1_000, topic_s_max)
        self._silence_s_max = silence_s_max
        self._heard_at_s = 0.0
        self._heard_count = 0
        self._stretch = AckGroup()  # of what comes next
        self._marked: deque[AckGroup] = deque()  # those before it that may be open
        self._landed_count = 0  # of those before them
        self._bytes_sent = 0
        self.sent_count = 0
        weakref.finalize(self, _end, self._sender)
        self._sender.start()

    @property
    def acknowledged_count(self) -> int:
        """Number of outputs that are acknowledged."""
        return self._sender.landed

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int = BY_KEY,
    ) -> None:
        """Queue one record; block while too much is in flight. Raise DeliveryFailed once any earlier one has failed."""
        self.send_batch(topic, Records.of([(key, value)]), headers=headers, partition=partition)

    def send_batch(self, topic: str, records: Records, *, headers: Headers = (), partition: int = BY_KEY) -> None:
        """Queue records of one topic in their order, as `send` does one by one. Raise DeliveryFailed as `send` does."""
        self._wait_for_room()
        ack_group, count = self._stretch, len(records)
        ack_group.sent += count
        self.sent_count += count
        self._bytes_sent += len(records.blob)
        self._sender.put(Outputs(topic, records, partition, headers, ack_group, int(time.time() * 1_000)))
        self._sender.wake()

    def poll(self) -> None:
        """Raise DeliveryFailed where an output has failed, or nothing was acknowledged for too long."""
        self._hear()

    def flush_now(self) -> None:
        """Send what was queued now, without waiting for more."""
        self._sender.flush_now()

    def mark(self) -> int:
        """Return the present position, for `is_acknowledged`."""
        self._settle()
        self._marked.append(self._stretch)
        self._stretch = AckGroup()
        return self._landed_count + len(self._marked)

    def is_acknowledged(self, mark: int) -> bool:
        """Return whether everything sent before a mark is acknowledged. Raise DeliveryFailed as `poll` does."""
        self._hear()
        self._settle()
        return self._landed_count >= mark

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until every output is acknowledged.

        Raise DeliveryFailed where that takes longer than `timeout_s` seconds.
        """
        self._sender.flush_now()
        self._wait(lambda: self._sender.landed == self.sent_count, timeout_s)
        self._raise_failure()
        if left := self.sent_count - self._sender.landed:
            self._sender.end(f"{left} outputs are not acknowledged after {timeout_s:g} s")
            self._raise_failure()

    def close(self) -> None:
        """End the producer. What is not acknowledged by now is dropped, or is written without anybody being told."""
        self._sender.end("closed")

    def _wait_for_room(self) -> None:
        self._raise_failure()
        if self.sent_count == self._sender.landed:
            self._heard_at_s = time.monotonic()
        while not self._has_room():
            self._sender.wake()
            self._wait(self._has_room, 1.0)
            self._hear()

    def _has_room(self) -> bool:
        sender = self._sender
        return (
            self.sent_count - sender.landed <= _IN_FLIGHT_MAX
            and self._bytes_sent - sender.bytes_acknowledged <= _IN_FLIGHT_BYTES_MAX
        )

    def _wait(self, is_reached: Callable[[], bool], timeout_s: float) -> None:
        with self._sender.changed:
            self._sender.changed.wait_for(lambda: bool(self._sender.failure) or is_reached(), timeout_s)

    def _hear(self) -> None:
        acknowledged = self._sender.landed
        if acknowledged != self._heard_count:
            self._heard_count, self._heard_at_s = acknowledged, time.monotonic()
        silence_s = time.monotonic() - self._heard_at_s
        if acknowledged < self.sent_count and silence_s > self._silence_s_max:
            self._sender.end(f"no acknowledgement for {silence_s:.0f} s")
        self._raise_failure()

    def _settle(self) -> None:
        while self._marked and not self._marked[0].is_open:
            self._marked.popleft()
            self._landed_count += 1

    def _raise_failure(self) -> None:
        if self._sender.failure:
            raise DeliveryFailed(self._sender.failure)


def _end(sender: Sender) -> None:
    """Run when an outbox is garbage or the process ends."""
    sender.end("closed")
    if threading.current_thread() is not sender:
        sender.join(_END_S_MAX)


@dataclass(slots=True)
class _Lane:
    """The groups of a lane whose outputs may be unacknowledged, each with its lowest mark, ascending."""

    open: deque[tuple[int, AckGroup]] = field(default_factory=deque)
    last_mark: int = 0

    def lowest_open(self) -> int | None:
        while self.open and not self.open[0][1].is_open:
            self.open.popleft()
        return self.open[0][0] if self.open else None


class MarkedOutbox(Outbox):
    """An outbox that knows the inputs of its unacknowledged outputs: for each lane, the lowest open mark.

    A lane is any hashable value, usually the input's topic and partition; a mark is the input's offset. Marks of a lane
    are sent in ascending order. Inputs from the lowest open mark on must not be committed. It is tracked by groups of
    outputs: the first mark of an AckGroup is open until all of the group is acknowledged.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lanes: dict[Any, _Lane] = {}

    def send_marked(
        self,
        topic: str,
        value: bytes | None,
        *,
        lane: Any,
        mark: int,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        """Send one record as `send` does, for the input `mark` of `lane`."""
        self.send_run(topic, Records.of([(key, value)]), lane=lane, marks=(mark, mark), headers=headers)

    def send_run(
        self,
        topic: str,
        records: Records,
        *,
        lane: Any,
        marks: tuple[int, int],
        headers: Headers = (),
    ) -> None:
        """Send records as `send_batch` does, for inputs of `lane` from the first to the last mark.

        Raise ValueError where marks of a lane do not ascend.
        """
        found = self._lanes.setdefault(lane, _Lane())
        if found.lowest_open() is not None and found.last_mark > marks[0]:
            raise ValueError(f"marks of lane {lane} must ascend: {marks[0]} after {found.last_mark}")
        found.last_mark = marks[1]
        found.open.append((marks[0], self._stretch))
        self.send_batch(topic, records, headers=headers)
        self.mark()

    def lowest_open(self, lane: Any) -> int | None:
        """Return the lowest mark of `lane` that may have an unacknowledged output; None where all are acknowledged."""
        found = self._lanes.get(lane)
        return None if found is None else found.lowest_open()
