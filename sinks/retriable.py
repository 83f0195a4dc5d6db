"""Transient errors of Kafka: a new topic has its leader a moment later, a group its coordinator."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

ANSWER_S = 20.0
BOUNDS_S = 10.0
RETRY_S = 0.1
TRANSIENT = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._TIMED_OUT,
    }
)
_UNKNOWN = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)  # of a new topic; later on it is somebody's mistake
_OUTAGE = TRANSIENT - _UNKNOWN | {
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
}
T = TypeVar("T")


def is_transient(error: BaseException) -> bool:
    """Return whether asking again may help."""
    return isinstance(error, KafkaException) and error.args[0].code() in TRANSIENT


def is_outage(error: BaseException) -> bool:
    """Return whether the broker does not answer, or cannot yet; False where it refuses, or knows no such topic."""
    return isinstance(error, KafkaException) and error.args[0].code() in _OUTAGE


def until_answered(ask: Callable[[], T], answer_s: float = ANSWER_S) -> T:
    """Return what `ask` returns, calling it again while its error is transient.

    Raise the error after `answer_s` seconds.
    """
    give_up_s = time.monotonic() + answer_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not is_transient(error) or time.monotonic() > give_up_s:
                raise
        time.sleep(RETRY_S)


def bounds(consumer: Consumer, topic: str, partition: int, answer_s: float = BOUNDS_S) -> tuple[int, int]:
    """Return the first offset that a partition holds, and its end.

    Raise KafkaException where no answer comes in `answer_s` seconds. It may take twice as long, since the last question
    is waited for.
    """
    place = TopicPartition(topic, partition)
    low, end = until_answered(lambda: consumer.get_watermark_offsets(place, answer_s / 2), answer_s)
    return low, end
