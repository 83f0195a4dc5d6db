"""Reading `dlq.v1` or `late.v1`, opening the records in them, and sending them back to where they came from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec

from config.settings import Settings
from domain import topics
from domain.outputs import DeadLetter, Opened, QuarantinedBatch, Refused
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from sinks.log_reader import read_topic, value_at
from streams.dead_letters import is_whole
from streams.seal import CannotOpen, Opener, load_opener, place_of

_DECODER = msgspec.json.Decoder(DeadLetter)
_unpack = msgspec.msgpack.Decoder(Refused).decode
_AUDIT = msgspec.json.Decoder(Opened)


class Letter(NamedTuple):
    """A dead letter, and the record of the topic that it was read from."""

    head: DeadLetter
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The outcome of dead letters that were to be sent again."""

    sent: int
    refused: tuple[tuple[DeadLetter, str], ...]  # with why


def read(settings: Settings, topic: str = topics.DEAD_LETTERS) -> Iterator[Letter]:
    """Yield the dead letters that are in the topic now, in order.

    Raise KafkaException where it cannot be read, and ReadTimeout where no more come.
    """
    for message in read_topic(settings.kafka.bootstrap, topic, client_settings(settings.kafka)):
        value = message.value()
        yield Letter(_DECODER.decode(value), value)


class Contents:
    """The records in dead letters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _opener(self) -> Opener:
        return load_opener(self._settings.seal.private_key_file)

    def sent_to_us(self, letter: Letter) -> Refused | None:
        """Return the record of a bank, the gateway or an operator; None for one of our own topics.

        Raise SettingsError where the key to open it with is missing, and CannotOpen.
        """
        head = letter.head
        if head.sealed is not None:
            return _unpack(self._opener.open(head.sealed, place_of(head.topic, head.partition, head.offset)))
        return of_old(letter)

    def of(self, letter: Letter) -> Refused | None:
        """Return the record, one of our own topics as it stands there; None where it does not any more.

        Raise SettingsError, CannotOpen, and what reading a topic raises.
        """
        if (found := self.sent_to_us(letter)) is not None:
            return found
        kafka, head = self._settings.kafka, letter.head
        value = value_at(kafka.bootstrap, client_settings(kafka), head.topic, head.partition, head.offset)
        return None if value is None else Refused(payload_sha256="", payload=value)


def of_old(letter: Letter) -> Refused | None:
    """Return the record of a letter of before they were sealed; None where it is no such letter."""
    try:
        return msgspec.json.decode(letter.value, type=Refused)
    except msgspec.ValidationError:
        return None


def note_opening(settings: Settings, opened: Iterable[DeadLetter | QuarantinedBatch], *, by: str, reason: str) -> None:
    """Write to `audit.v1` who opens these and why, and wait until it is acknowledged. Raise DeliveryFailed."""
    outbox = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka))
    for one in opened:
        said = Opened(
            topic=one.topic,
            partition=one.partition,
            offset=one.offset,
            reason_refused=one.reason,
            by=by,
            reason=reason,
            at=time.time_ns() // 1_000_000,
        )
        outbox.send(topics.AUDIT, msgspec.json.encode(said))
    outbox.drain()


def openings(settings: Settings) -> Iterator[Opened]:
    """Yield what `audit.v1` says of opened letters, in order. Raise as `read`."""
    for message in read_topic(settings.kafka.bootstrap, topics.AUDIT, client_settings(settings.kafka)):
        yield _AUDIT.decode(message.value())


def retry(settings: Settings, letters: Iterable[Letter]) -> Retried:
    """Send payloads, with their keys and headers, to the topics they came from. Raise DeliveryFailed where that fails.

    Nobody sees what is opened for it. Refused are dead letters that do not hold the whole record (secrets, a payload
    over 1 MiB, key or headers over 64 KiB), or cannot be opened, and those of a topic that is no input: `events.v1` has
    one writer. Raise SettingsError where the key to open them is missing.
    """
    outbox, contents = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka)), Contents(settings)
    sent, refused = 0, []
    for letter in letters:
        head = letter.head
        if topics.bank_of(head.topic) is None and head.topic not in (topics.GATEWAY, topics.DESK, topics.CONTROL):
            refused.append((head, "its topic is no input of ingest"))
            continue
        try:
            record = contents.sent_to_us(letter)
        except CannotOpen as error:
            refused.append((head, str(error)))
            continue
        if record is None or head.reason == "credentials" or not is_whole(record):
            refused.append((head, "it is not held whole"))
        else:
            headers = [(name, value.encode()) for name, value in record.headers]
            outbox.send(head.topic, record.payload, key=record.key, headers=headers, partition=head.partition)
            sent += 1
    outbox.drain()
    return Retried(sent=sent, refused=tuple(refused))
