"""Progress of score where the broker falls silent: learn waits, and a mistake of somebody's ends it by name."""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from config.settings import LearnSettings
from domain import topics
from domain.events import Feed, Tick
from embedded.kafka import Kafka
from streams.learn.learner import Learner
from streams.learn.months import Months
from streams.learn.score_progress import ScoreProgress
from tests.brokers import make_topics
from tests.reading import commit

DAY_MS = 86_400_000


def test_learn_waits_while_the_broker_is_silent_and_goes_on_once_it_answers(
    kafka_factory: Callable[..., Kafka], caplog: Any
) -> None:
    broker = kafka_factory()
    admin = AdminClient({"bootstrap.servers": broker.address})
    make_topics(admin, NewTopic(topics.EVENTS, 1, 1), NewTopic(topics.OBSERVATION, 1, 1))
    producer = Producer({"bootstrap.servers": broker.address})
    for _ in range(3):
        producer.produce(topics.EVENTS, b"x", partition=0)
    producer.flush(20)
    commit(broker.address, "g", {(topics.EVENTS, 0): 3})
    learner = Learner(LearnSettings(challengers=()), range(1))
    learner.event(Tick(up_to=70 * DAY_MS, feeds={"A": Feed(covered_up_to=60)}), 0, 2)
    progress = ScoreProgress(broker.address, "g", 1, timeout_s=0.5)

    async def story() -> None:
        silent = Months(progress, range(1), 0.0)
        broker.child.signal(signal.SIGSTOP)
        try:
            for _ in range(3):
                month, why = await silent.next(learner, {})
                assert month is None
                assert "Kafka, which does not say how far score has come" in why
        finally:
            broker.child.signal(signal.SIGCONT)
        for _ in range(20):
            month, why = await silent.next(learner, {})
            if month is not None:
                break
            await asyncio.sleep(0.5)
        assert (month, why) == (learner.due_month, "")

    with caplog.at_level(logging.INFO, "streams.learn.score_progress"):
        asyncio.run(story())
    said = [one.getMessage() for one in caplog.records if one.name == "streams.learn.score_progress"]
    assert len(said) == 2, said
    assert "does not say how far score has come, and learn waits" in said[0]
    assert said[1] == "learn: Kafka answers again"


def test_a_broker_that_is_gone_is_waited_for_too() -> None:
    found = asyncio.run(ScoreProgress("127.0.0.1:1", "g", 1, timeout_s=0.5)())
    assert (found.score_offsets, found.observation_ends) == ({}, {})
    assert found.unanswered


def test_a_topic_that_is_not_there_ends_it_by_name(
    kafka: str, monkeypatch: Any, make_topic: Any, topic_name: Any
) -> None:
    monkeypatch.setattr(topics, "EVENTS", make_topic("events"))
    monkeypatch.setattr(topics, "OBSERVATION", topic_name("none"))
    commit(kafka, group := topic_name("g"), {(topics.EVENTS, 0): 0})
    with pytest.raises(KafkaException, match=r"(?i)unknown topic"):
        asyncio.run(ScoreProgress(kafka, group, 1, timeout_s=0.5)())
