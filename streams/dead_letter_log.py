"""Reading `dlq.v1` or `late.v1`, and sending their records back to where they came from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from config.settings import Settings
from domain import topics
from domain.outputs import DeadLetter
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from sinks.retriable import bounds
from streams.dead_letters import is_whole

SILENCE_S_MAX = 30.0
_DECODER = msgspec.json.Decoder(DeadLetter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of dead letters that were to be sent again."""

    sent: int
    refused: tuple[tuple[DeadLetter, str], ...]  # with why


def read(settings: Settings, topic: str = topics.DEAD_LETTERS) -> Iterator[DeadLetter]:
    """Every letter in the topic now, in order. KafkaException, or TimeoutError where the broker falls silent."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "group.id": "xinliu-dlq",  # never used: the partition is assigned, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 5,  # the end is told when a fetch finds nothing more: half a second by default
            "auto.offset.reset": "earliest",
            "log_level": 2,  # what goes wrong is raised
            **client_settings(settings.kafka),
        }
    )
    try:
        _, end = bounds(consumer, topic, 0)
        consumer.assign([TopicPartition(topic, 0, 0)])
        heard_at = time.monotonic()
        while True:
            for message in consumer.consume(500, 0.05):
                heard_at = time.monotonic()
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return
                if error is not None:
                    raise KafkaException(error)
                if message.offset() >= end:
                    return
                yield _DECODER.decode(message.value())
            if time.monotonic() - heard_at > SILENCE_S_MAX:
                raise TimeoutError(f"{topic}: nothing came for {SILENCE_S_MAX:g} s")
    finally:
        consumer.close()


def retry(settings: Settings, letters: Iterable[DeadLetter]) -> Retried:
    """Send payloads, with their keys and headers, to the topics they came from. DeliveryFailed where that fails.

    Refused are those that are not held whole (secrets, a payload over 1 MiB, key or headers over 64 KiB), and those of
    a topic that is no input: `events.v1` has one writer.
    """
    outbox = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka))
    sent, refused = 0, []
    for letter in letters:
        if topics.bank_of(letter.topic) is None and letter.topic not in (topics.GATEWAY, topics.CONTROL):
            refused.append((letter, "its topic is no input of ingest"))
        elif letter.reason == "credentials" or not is_whole(letter):
            refused.append((letter, "it is not held whole"))
        else:
            headers = [(name, value.encode()) for name, value in letter.headers]
            outbox.send(letter.topic, letter.payload, key=letter.key, headers=headers, partition=letter.partition)
            sent += 1
    outbox.drain()
    return Retried(sent=sent, refused=tuple(refused))
