"""A stand-in for the Kafka client library under a seeded scheduler: topics of one partition, fencing, and nothing lost.

What ingest runs on it is the code that it runs on a broker. Here the scheduler decides when a record that was sent
lands in its topic, when its sender hears of that, how much of `feed.v1` a reader gets, and where a process stands
still.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import ProducerFenced
from confluent_kafka import OFFSET_END, KafkaError, TopicPartition

from sinks.batch import AckGroup, Outputs


class Killed(BaseException):
    """This process has been killed where it stood."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a topic, and the message that a reader gets of it."""

    topic_name: str
    at: int
    raw: bytes | None
    raw_key: bytes | None
    appended_ms: int

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return self.topic_name

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def value(self) -> bytes | None:
        return self.raw

    def key(self) -> bytes | None:
        return self.raw_key

    def timestamp(self) -> tuple[int, int]:
        return 2, self.appended_ms


class _End:
    """The end of a partition, as `enable.partition.eof` has it."""

    def __init__(self, topic: str, offset: int) -> None:
        self._topic, self._offset = topic, offset

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._PARTITION_EOF)

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


@dataclass(slots=True)
class SimKafka:
    """The topics. `stand_still` is called wherever a process may be paused in the middle of something, `made` with each
    sender of the process that runs."""

    rng: random.Random
    stand_still: Callable[[], None] = lambda: None
    made: Callable[[Sender], None] = lambda _: None
    now_ms: int = 0
    logs: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    epochs: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # of transactional ids

    def append(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        log = self.logs[topic]
        log.append(Entry(topic, len(log), value, key, self.now_ms))

    def sender(self, *_: Any) -> Sender:
        """In the place of sinks.sending.Sender."""
        sender = Sender(self)
        self.made(sender)
        return sender

    def transactional(self, *, transactional_id: str, **_: Any) -> TransactionalProducer:
        """In the place of aiokafka.AIOKafkaProducer."""
        return TransactionalProducer(self, transactional_id)

    def consumer(self, conf: dict[str, Any]) -> Consumer:
        """In the place of confluent_kafka.Consumer."""
        return Consumer(self, bool(conf.get("enable.partition.eof")))


class Sender:
    """A replacement of sinks.sending.Sender: topics keep their order, and the scheduler lands records in flight."""

    failure = ""

    def __init__(self, kafka: SimKafka) -> None:
        self._kafka = kafka
        self.flying: dict[str, deque[tuple[bytes | None, bytes | None, AckGroup]]] = defaultdict(deque)
        self.landed = self.bytes_acknowledged = 0
        self.changed = _Waiting(self)

    def start(self) -> None:
        """It has no thread."""

    def put(self, outputs: Outputs) -> None:
        for key, value in outputs.records:
            self._kafka.stand_still()
            self.flying[outputs.topic].append((value, key, outputs.ack_group))

    def wake(self) -> None:
        """It is the scheduler who does."""

    flush_now = wake

    def land(self, topic: str, count: int) -> None:
        """Append the first `count` records in flight to their topic, and acknowledge them."""
        flying = self.flying[topic]
        for _ in range(min(count, len(flying))):
            value, key, ack_group = flying.popleft()
            self._kafka.append(topic, value, key)
            ack_group.landed += 1
            self.landed += 1
            self.bytes_acknowledged += len(key or b"") + len(value or b"")

    def land_all(self) -> None:
        self._kafka.stand_still()
        for topic in list(self.flying):
            self.land(topic, len(self.flying[topic]))

    def end(self, _why: str) -> None:
        self.flying.clear()

    def join(self, _timeout_s: float) -> None:
        """It has no thread."""


class _Waiting:
    """A condition whose wait lands all records in flight."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def wait_for(self, is_reached: Callable[[], bool], _timeout_s: float) -> bool:
        self._sender.land_all()
        return is_reached()


class TransactionalProducer:
    """A producer whose records land with the commit."""

    def __init__(self, kafka: SimKafka, transactional_id: str) -> None:
        self._kafka, self._id, self._epoch = kafka, transactional_id, -1
        self._sent: list[tuple[str, bytes]] = []

    async def start(self) -> None:
        self._kafka.epochs[self._id] += 1
        self._epoch = self._kafka.epochs[self._id]

    async def stop(self) -> None:
        pass

    async def begin_transaction(self) -> None:
        self._sent = []

    async def send(self, topic: str, value: bytes, *, partition: int, headers: Sequence[Any]) -> asyncio.Future[None]:
        self._kafka.stand_still()
        self._sent.append((topic, value))
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    async def commit_transaction(self) -> None:
        self._kafka.stand_still()
        if self._epoch != self._kafka.epochs[self._id]:
            raise ProducerFenced
        for topic, value in self._sent:
            self._kafka.append(topic, value)
        self._kafka.stand_still()


class Consumer:
    """Reads one topic; without a time to wait it gets as much as the scheduler gives."""

    def __init__(self, kafka: SimKafka, tells_end: bool) -> None:
        self._kafka, self._tells_end = kafka, tells_end
        self._topic, self._position = "", 0

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        (one,) = partitions
        self._topic, self._position = one.topic, one.offset

    def get_watermark_offsets(self, partition: TopicPartition, _timeout_s: float) -> tuple[int, int]:
        return 0, len(self._kafka.logs[partition.topic])

    def offsets_for_times(self, partitions: Sequence[TopicPartition], _timeout_s: float) -> list[TopicPartition]:
        (one,) = partitions
        at = [entry.at for entry in self._kafka.logs[one.topic] if entry.appended_ms >= one.offset]
        return [TopicPartition(one.topic, one.partition, at[0] if at else OFFSET_END)]

    def consume(self, count: int, timeout_s: float) -> list[Any]:
        log = self._kafka.logs[self._topic]
        left = min(count, len(log) - self._position)
        taken = left if timeout_s else self._kafka.rng.randint(0, left)
        found: list[Any] = log[self._position : self._position + taken]
        self._position += taken
        return found if found or not self._tells_end else [_End(self._topic, self._position)]

    def close(self) -> None:
        """Nothing to end."""
