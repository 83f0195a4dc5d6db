"""Reads whole topics, from their beginning to the end that they have now."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from config.settings import KafkaSettings
from replay.offsets import Offsets
from sinks.client import client_settings
from sinks.log_reader import FOLLOWING, ReadTimeout, assigned_consumer, read
from sinks.retriable import ANSWER_S

AT_ONCE = 5_000
SILENCE_S_MAX = 30.0


class Read(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int = 0


class ReadingFailed(Exception):
    """A topic could not be read to its end."""


def consumer(kafka: KafkaSettings) -> Consumer:
    """Return a consumer that joins no group and commits nothing; the caller assigns and closes it."""
    settings = {"auto.offset.reset": "earliest", "enable.partition.eof": False, **FOLLOWING, **client_settings(kafka)}
    return assigned_consumer(kafka.bootstrap, settings)


def assign(reading: Consumer, places: Iterable[TopicPartition]) -> None:
    """Read on from these places at once. Raise KafkaException where the broker does not answer.

    A partition whose broker the client does not know yet would wait half a second for its first fetch.
    """
    reading.list_topics(timeout=ANSWER_S)
    reading.assign(list(places))


def read_topics(kafka: KafkaSettings, topics: Iterable[str]) -> Iterator[Read]:
    """Yield every record of `topics` that exist, in order within a partition.

    Raise ReadingFailed where the broker is silent.
    """
    offsets = Offsets(kafka)
    places = offsets.partitions(topics)
    begins, ends = offsets.ends(places, OffsetSpec.earliest()), offsets.ends(places)
    with closing(assigned_consumer(kafka.bootstrap, client_settings(kafka))) as reader:
        reader.list_topics(timeout=ANSWER_S)  # else the first fetch waits until the brokers are known
        try:
            for message in read(reader, {place: (begins[place], ends[place]) for place in places}):
                place = message.topic(), message.partition()
                headers, (_, time_ms) = message.headers() or (), message.timestamp()
                yield Read(*place, message.offset(), message.key(), message.value(), headers, time_ms)
        except (KafkaException, ReadTimeout) as error:
            raise ReadingFailed(str(error)) from error
