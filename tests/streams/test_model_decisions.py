"""A decision on a real broker: it is written once whoever reads to the end of the topic reads it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaException, Producer

from config.settings import KafkaSettings, Settings
from domain import topics
from domain.events import Control
from sinks.retriable import RETRY_S
from streams.model_decisions import Deciding
from streams.model_history import read_history
from streams.topics import create_topics
from tests.brokers import ANSWER_S

WORD = Control(control_id="x", action="model_resume", by="zhang", reason="why")


@pytest.fixture
def site(empty_kafka: str) -> KafkaSettings:
    made = KafkaSettings(bootstrap=empty_kafka)
    create_topics(Settings(kafka=made))
    return made


@pytest.fixture
def older(site: KafkaSettings) -> Producer:
    """A transaction that is still open: it hides what comes after it, as a commit does that Kafka has not ended."""
    producer = Producer({"bootstrap.servers": site.bootstrap, "transactional.id": "older"})
    producer.init_transactions(ANSWER_S)
    producer.begin_transaction()
    producer.produce(topics.CONTROL, b"", partition=0)
    assert producer.flush(ANSWER_S) == 0
    return producer


def test_a_decision_is_written_once_it_can_be_read(site: KafkaSettings, older: Producer) -> None:
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(Deciding(site).write, WORD)
        with pytest.raises(TimeoutError):
            written.result(timeout=10 * RETRY_S)
        older.abort_transaction(ANSWER_S)
        written.result()
    assert [one.control.control_id for one in read_history(site).said] == ["x"]


def test_that_it_cannot_be_read_in_time_is_told(site: KafkaSettings, older: Producer) -> None:
    with pytest.raises(KafkaException, match="a commit that Kafka is still ending"):
        Deciding(site, timeout_s=5.0).write(WORD)
    older.abort_transaction(ANSWER_S)
