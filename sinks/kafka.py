"""The one way out to Kafka: an idempotent producer that knows which inputs its unacknowledged outputs belong to."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

Headers = Sequence[tuple[str, bytes]]


class DeliveryFailed(Exception):
    """An output could not be delivered. The producer is at its end, and with it the memory that it came from."""


class Outbox:
    """An idempotent producer (acks=all, murmur2) with, per lane, the lowest mark that is not yet acknowledged.

    A lane is any hashable value, usually the input's topic and partition; a mark is the input's offset, and marks of a
    lane are sent in ascending order. What is above the lowest open mark must not be committed.
    """

    def __init__(self, bootstrap: str, client: Mapping[str, Any] | None = None, *, linger_ms: int = 5) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",  # as Java's and aiokafka's: every producer agrees on a key's partition
                "linger.ms": linger_ms,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 256 * 1024,
                "message.max.bytes": 8 * 1024 * 1024 + 65_536,
                "delivery.timeout.ms": 120_000,
                **(client or {}),
            },
            # librdkafka reports e.g. "all brokers down" here and goes on trying; delivery has its own verdict.
        )
        self._open: dict[Any, deque[list[int]]] = {}  # lane -> [mark, outputs in flight], ascending
        self._failure: KafkaError | None = None
        self.sent_count = 0
        self.acknowledged_count = 0

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
        lane: Any = None,
        mark: int = -1,
    ) -> None:
        """Queue one record; blocks while the local queue is full. DeliveryFailed once any earlier one has failed."""
        self._raise_failure()
        marks = self._open.setdefault(lane, deque())
        if not marks or marks[-1][0] != mark:
            if marks and marks[-1][0] > mark:
                raise ValueError(f"marks of lane {lane} must ascend: {mark} after {marks[-1][0]}")
            marks.append([mark, 0])
        entry = marks[-1]
        entry[1] += 1
        self.sent_count += 1

        def acknowledged(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._failure = self._failure or error
                return
            self.acknowledged_count += 1
            entry[1] -= 1
            while marks and marks[0][1] == 0:
                marks.popleft()

        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition=partition, headers=list(headers or ()), on_delivery=acknowledged
                )
                break
            except BufferError:
                self._producer.poll(0.05)
                self._raise_failure()
            except KafkaException as error:  # refused at once: too large, unknown topic
                raise DeliveryFailed(f"{topic}: {error.args[0].str()}") from error
        self._producer.poll(0)

    def lowest_open(self, lane: Any) -> int | None:
        """The lowest mark of `lane` with an unacknowledged output; None where all are acknowledged."""
        marks = self._open.get(lane)
        return marks[0][0] if marks else None

    def poll(self) -> None:
        """Serve acknowledgements; DeliveryFailed where one of the outputs has failed."""
        self._producer.poll(0)
        self._raise_failure()

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until every output is acknowledged; DeliveryFailed where that does not come in time."""
        left = self._producer.flush(timeout_s)
        self._raise_failure()
        if left:
            raise DeliveryFailed(f"{left} outputs are not acknowledged after {timeout_s:g} s")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise DeliveryFailed(self._failure.str())
