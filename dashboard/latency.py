"""Latency from the log to a score, in milliseconds, on a sample of records of `events.v1` and their scores.

Both times are Kafka's: the broker's append time of the record, and the producer's time of the score that has the
record's offset. A score worker with a wrong clock therefore shows a wrong latency. Records without a score are not in
the sample.
"""

import time
from collections import deque
from collections.abc import Mapping

import msgspec
from confluent_kafka import Consumer, Message, TopicPartition

from config.settings import KafkaSettings
from domain import topics
from replay.reading import consumer

RECORDS_PER_S_MAX = 1_000  # in the sample
WATCHED_S = 10.0  # until other partitions are taken
KEPT_S = 60.0
PENDING_MAX = 20_000
SAMPLES_MAX = 20_000


class _Place(msgspec.Struct, frozen=True):
    offset: int


_decode = msgspec.json.Decoder(_Place).decode


def quantile(ascending: list[int], of_hundred: int) -> int:
    """Return the nearest-rank quantile.

    >>> quantile([1, 2, 3, 4], 50), quantile([7], 99)
    (2, 7)
    """
    return ascending[max(0, -(-len(ascending) * of_hundred // 100) - 1)]


class LatencySample:
    """A sample of about RECORDS_PER_S_MAX records a second, from a subset of the partitions that changes."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._reading: Consumer | None = None
        self._since_s = 0.0
        self._turn = 0
        # By (partition, offset), in the order of arrival, until the other time is read: they come in either order.
        self._appended_ms: dict[tuple[int, int], int] = {}
        self._scored_ms: dict[tuple[int, int], int] = {}
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES_MAX)  # when, milliseconds

    def poll(
        self, log_ends: Mapping[int, int], score_ends: Mapping[int, int], records_per_s: int, for_s: float
    ) -> dict[str, int | None]:
        """Read for `for_s` seconds; return p50, p99 and count of the last minute (None without a sample).

        log_ends, score_ends: end offsets of `events.v1` and `score.v1` by partition, asked for at about the same time.
        """
        now_s = time.monotonic()
        if log_ends and (self._reading is None or now_s - self._since_s > WATCHED_S):
            self._watch(log_ends, score_ends, records_per_s)
        if self._reading is not None:
            for message in self._reading.consume(2 * RECORDS_PER_S_MAX, timeout=for_s):
                self.take(message, time.monotonic())
        while self._samples and now_s - self._samples[0][0] > KEPT_S:
            self._samples.popleft()
        ascending = sorted(latency for _, latency in self._samples)
        if not ascending:
            return {"p50_ms": None, "p99_ms": None, "sampled": 0}
        return {"p50_ms": quantile(ascending, 50), "p99_ms": quantile(ascending, 99), "sampled": len(ascending)}

    def take(self, message: Message, at_s: float) -> None:
        """Add one record of the log, or a score, read at `at_s` (monotonic seconds)."""
        value, (_, written_ms) = message.value(), message.timestamp()
        if message.error() is not None or value is None:
            return  # the workers report errors of the broker; the page shows an empty sample
        if message.topic() == topics.EVENTS:
            self._match((message.partition(), message.offset()), written_ms, self._appended_ms, self._scored_ms, at_s)
        else:
            place = (message.partition(), _decode(value).offset)
            self._match(place, written_ms, self._scored_ms, self._appended_ms, at_s)

    def _match(
        self,
        place: tuple[int, int],
        time_ms: int,
        own: dict[tuple[int, int], int],
        other: dict[tuple[int, int], int],
        at_s: float,
    ) -> None:
        if (other_ms := other.pop(place, None)) is not None:
            self._samples.append((at_s, abs(time_ms - other_ms)))
            return
        own.setdefault(place, time_ms)
        if len(own) > PENDING_MAX:
            del own[next(iter(own))]

    def close(self) -> None:
        """Close the consumer."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _watch(self, log_ends: Mapping[int, int], score_ends: Mapping[int, int], records_per_s: int) -> None:
        """Assign both topics' ends of the next partitions; a key has the same partition in both topics."""
        if self._reading is None:
            self._reading = consumer(self._kafka)
        per_partition = records_per_s / len(log_ends)
        count = min(len(log_ends), max(1, int(RECORDS_PER_S_MAX / max(per_partition, 1e-9))))
        numbers = sorted(log_ends)
        chosen = [numbers[(self._turn + i) % len(numbers)] for i in range(count)]
        self._turn = (self._turn + count) % len(numbers)
        if len(chosen) < len(numbers) or not self._since_s:
            ends = [TopicPartition(topics.EVENTS, number, log_ends[number]) for number in chosen]
            scores = [TopicPartition(topics.SCORE, number, score_ends[number]) for number in chosen]
            self._appended_ms.clear()
            self._scored_ms.clear()
            self._reading.assign([*ends, *scores])
        self._since_s = time.monotonic()
