"""A new topic without a leader yet: its broker's answers are retried, and no other errors are."""

import threading
import time
from contextlib import closing

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from sinks.log_reader import assigned_consumer
from sinks.retriable import TRANSIENT, bounds, until_answered

MADE_AFTER_S = 0.7


@pytest.fixture
def consumer(kafka):
    """One that joins no group and makes no topic by asking for it."""
    with closing(assigned_consumer(kafka, {"allow.auto.create.topics": False})) as consumer:
        yield consumer


def test_bounds_waits_for_a_topic_that_is_still_being_made(kafka, consumer, topic_name):
    topic = topic_name("late")
    admin = AdminClient({"bootstrap.servers": kafka})
    make = threading.Timer(MADE_AFTER_S, lambda: admin.create_topics([NewTopic(topic, 1, 1)])[topic].result())
    began_s = time.monotonic()
    make.start()
    assert bounds(consumer, topic, 0) == (0, 0)
    assert time.monotonic() - began_s >= MADE_AFTER_S, "the topic was there before it was asked for"
    make.join()


def test_bounds_of_a_topic_that_never_comes_is_an_error_with_its_code(consumer, topic_name):
    with pytest.raises(KafkaException) as caught:
        bounds(consumer, topic_name("never"), 0, answer_s=1.0)
    assert caught.value.args[0].code() in TRANSIENT


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.COORDINATOR_LOAD_IN_PROGRESS])
def test_a_transient_error_is_retried(code):
    answers = iter([KafkaException(KafkaError(code)), KafkaException(KafkaError(code)), 42])

    def ask():
        answer = next(answers)
        if isinstance(answer, KafkaException):
            raise answer
        return answer

    assert until_answered(ask) == 42


def test_a_permanent_error_is_raised_at_once():
    asked = []

    def ask():
        asked.append(1)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    with pytest.raises(KafkaException):
        until_answered(ask)
    assert asked == [1]
