"""The records and offsets that a broker holds now. Nothing here joins a group."""

import functools
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from config.settings import KafkaSettings
from replay.offsets import Offsets, Place
from replay.reading import Read, read_topics
from sinks.client import QUICK_START
from sinks.log_reader import member_consumer
from sinks.retriable import ANSWER_S, is_transient, until_answered


def read(bootstrap: str, topic: str) -> list[Read]:
    """Return every record of a topic, partition by partition, each in its order."""
    return [record for records in read_partitions(bootstrap, topic).values() for record in records]


def read_partitions(bootstrap: str, topic: str) -> dict[int, list[Read]]:
    """Return every record of a topic by partition, in their order."""
    found: dict[int, list[Read]] = {partition: [] for partition in ends(bootstrap, topic)}
    for record in read_topics(KafkaSettings(bootstrap=bootstrap), [topic]):
        found[record.partition].append(record)
    return found


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the offset after the last record by partition."""
    offsets = Offsets(KafkaSettings(bootstrap=bootstrap))
    places = offsets.partitions([topic])
    assert places, f"there is no topic {topic}"
    return {partition: end for (_, partition), end in sorted(offsets.ends(places).items())}


def committed(bootstrap: str, group: str, topic: str, partitions: int = 1) -> dict[int, int]:
    """Return a group's offset by partition, of those that have one: none while its coordinator is starting."""
    asked = [TopicPartition(topic, partition) for partition in range(partitions)]
    try:
        found = _member(bootstrap, group).committed(asked, ANSWER_S)
    except KafkaException as error:
        if is_transient(error):
            return {}
        raise
    return {tp.partition: tp.offset for tp in found if tp.offset >= 0}


def commit(bootstrap: str, group: str, offsets: Mapping[Place, int]) -> None:
    """Commit in a group's name, again while its coordinator is starting."""
    positions = [TopicPartition(*place, offset) for place, offset in offsets.items()]
    until_answered(lambda: _member(bootstrap, group).commit(offsets=positions, asynchronous=False))


@functools.cache
def _member(bootstrap: str, group: str) -> Consumer:
    return member_consumer(bootstrap, group, QUICK_START)
