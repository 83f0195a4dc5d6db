"""Reads whole topics, from their beginning to the end that they have now."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from config.settings import KafkaSettings
from replay.offsets import Offsets, Place
from sinks.client import client_settings
from sinks.passing import ANSWER_S

AT_ONCE = 5_000
SILENCE_S_MAX = 30.0
WAIT_S = 0.1  # the last messages before an end that a marker stands at wait for it in vain


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
    """A consumer that joins no group and commits nothing; the caller assigns and closes it."""
    return Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": f"{kafka.group_prefix}replay",  # required by the library
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 16 << 20,
            "queued.max.messages.kbytes": 64 << 10,
            "log_level": 2,  # what goes wrong is raised
            **client_settings(kafka),
        }
    )


def assign(reading: Consumer, places: Iterable[TopicPartition]) -> None:
    """Read on from there, at once. KafkaException where the broker does not answer.

    A partition whose broker the client has yet to find out would wait half a second for its first fetch.
    """
    reading.list_topics(timeout=ANSWER_S)
    reading.assign(list(places))


def read_topics(kafka: KafkaSettings, topics: Iterable[str]) -> Iterator[Read]:
    """Every record of `topics` that exist, in order within a partition. ReadingFailed where the broker falls silent."""
    offsets = Offsets(kafka)
    left: dict[Place, int] = {place: end for place, end in offsets.ends(offsets.partitions(topics)).items() if end > 0}
    if not left:
        return
    reading = consumer(kafka)
    try:
        assign(reading, (TopicPartition(*place, OFFSET_BEGINNING) for place in left))
        silent_s = 0.0
        position = dict.fromkeys(left, 0)
        while left:
            # Never ask for more than can be there: the library would wait for it.
            wanted = sum(end - position[place] for place, end in left.items())
            messages = reading.consume(min(AT_ONCE, max(1, wanted)), timeout=WAIT_S)
            silent_s = 0.0 if messages else silent_s + WAIT_S
            if not messages:
                _strike_out_read(reading, left)
                if silent_s > SILENCE_S_MAX:
                    raise ReadingFailed(f"{sorted(left)} could not be read to the end in {SILENCE_S_MAX:g} s")
            for message in messages:
                if (error := message.error()) is not None:
                    raise ReadingFailed(str(KafkaException(error)))
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                place = (topic, partition)
                position[place] = offset + 1
                end = left.get(place, 0)
                if offset < end:
                    told = message.key(), message.value(), message.headers() or ()
                    yield Read(topic, partition, offset, *told, message.timestamp()[1])
                    if offset >= end - 1:
                        del left[place]
    finally:
        reading.close()


def _strike_out_read(reading: Consumer, left: dict[Place, int]) -> None:
    """A partition whose last offsets are markers, or compacted away, ends without a last message."""
    for tp in reading.position([TopicPartition(*place) for place in left]):
        place = (tp.topic, tp.partition)
        if tp.offset >= left.get(place, 1 << 62):
            del left[place]
