"""Reading `dlq.v1` or `late.v1`, and sending their records back to where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from config.settings import Settings
from domain import topics
from domain.outputs import DeadLetter
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from sinks.log_reader import read_topic
from streams.dead_letters import is_whole

_DECODER = msgspec.json.Decoder(DeadLetter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The outcome of dead letters that were to be sent again."""

    sent: int
    refused: tuple[tuple[DeadLetter, str], ...]  # with why


def read(settings: Settings, topic: str = topics.DEAD_LETTERS) -> Iterator[DeadLetter]:
    """Yield the dead letters that are in the topic now, in order.

    Raise KafkaException where it cannot be read, and ReadTimeout where no more come.
    """
    for message in read_topic(settings.kafka.bootstrap, topic, client_settings(settings.kafka)):
        yield _DECODER.decode(message.value())


def retry(settings: Settings, letters: Iterable[DeadLetter]) -> Retried:
    """Send payloads, with their keys and headers, to the topics they came from. Raise DeliveryFailed where that fails.

    Refused are dead letters that do not hold the whole record (secrets, a payload over 1 MiB, key or headers over 64
    KiB), and those of a topic that is no input: `events.v1` has one writer.
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
