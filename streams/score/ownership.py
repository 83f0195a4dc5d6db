"""Who owns a partition: a record in `owner.v1`, whose offset is the epoch of the fence."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from domain import topics

_ACKNOWLEDGED_S_MAX = 10


class OwnershipUnknown(Exception):
    """`owner.v1` could not be written or read in time."""


def take(bootstrap: str, client: Mapping[str, Any], partitions: Iterable[int], owner: str) -> dict[int, int]:
    """Write an ownership record for each partition; returns their epochs.

    Not idempotent, which would take half a second more: a record written twice is an epoch that nobody uses.
    """
    epochs: dict[int, int] = {}
    failures: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, **client})

    def delivered(number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)
        else:
            epochs[number] = message.offset()

    for number in sorted(set(partitions)):
        producer.produce(
            topics.OWNER,
            owner.encode(),
            str(number).encode(),
            partition=0,
            on_delivery=lambda error, message, number=number: delivered(number, error, message),
        )
    left = producer.flush(_ACKNOWLEDGED_S_MAX)
    if failures or left:
        why = failures[0].str() if failures else f"no acknowledgement in {_ACKNOWLEDGED_S_MAX} s"
        raise OwnershipUnknown(f"{topics.OWNER}: {why}")
    return epochs


def owned_before(bootstrap: str, client: Mapping[str, Any]) -> set[int]:
    """Partitions that ever had an owner: where Redis knows nothing of one of these, it has lost what it knew."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "xinliu-owners", "enable.auto.commit": False, **client}
    )
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topics.OWNER, 0), timeout=_ACKNOWLEDGED_S_MAX)
        consumer.assign([TopicPartition(topics.OWNER, 0, OFFSET_BEGINNING)])
        owned: set[int] = set()
        position = 0
        while position < end:
            message = consumer.poll(_ACKNOWLEDGED_S_MAX)
            if message is None:
                raise OwnershipUnknown(f"{topics.OWNER}: read to {position} of {end}, then nothing")
            if message.error():
                raise OwnershipUnknown(f"{topics.OWNER}: {message.error().str()}")
            position = message.offset() + 1
            owned.add(int(message.key()))
        return owned
    except KafkaException as error:
        raise OwnershipUnknown(f"{topics.OWNER}: {error.args[0].str()}") from error
    finally:
        consumer.close()
