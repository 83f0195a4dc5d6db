"""Reading `dlq.v1` or `late.v1`, opening the records in them, and sending them back to where they came from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import msgspec
from confluent_kafka import Message

from config.settings import Settings
from domain import topics
from domain.outputs import DeadLetter, Opened, QuarantinedBatch, Refused, Resent
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox
from sinks.log_reader import VALUE_S_MAX, assigned_consumer, read_topic, value_at
from sinks.log_reader import read as read_spans
from sinks.retriable import bounds
from streams.dead_letters import is_whole
from streams.seal import CannotOpen, Opener, load_opener, place_of

_DECODER = msgspec.json.Decoder(DeadLetter)
_unpack = msgspec.msgpack.Decoder(Refused).decode
_AUDIT = msgspec.json.Decoder(Opened | Resent)


_Note = TypeVar("_Note", Opened, Resent)


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
    _audit(settings, [_noted(Opened, one, by, reason) for one in opened])


def _noted(kind: type[_Note], one: DeadLetter | QuarantinedBatch, by: str, reason: str) -> _Note:
    return kind(
        topic=one.topic,
        partition=one.partition,
        offset=one.offset,
        reason_refused=one.reason,
        by=by,
        reason=reason,
        at=time.time_ns() // 1_000_000,
    )


def _audit(settings: Settings, notes: Iterable[Opened | Resent]) -> None:
    outbox = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka))
    for note in notes:
        outbox.send(topics.AUDIT, msgspec.json.encode(note))
    outbox.drain()


def openings(settings: Settings) -> Iterator[Opened | Resent]:
    """Yield what `audit.v1` says of letters opened, or sent without their source, in order. Raise as `read`."""
    for message in read_topic(settings.kafka.bootstrap, topics.AUDIT, client_settings(settings.kafka)):
        yield _AUDIT.decode(message.value())


class NotAsSent(Exception):
    """A dead letter does not hold what stands at its coordinates; the message says why."""


class Sources:
    """The records that letters say they were made of, as the topics hold them. Close it after use."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = assigned_consumer(settings.kafka.bootstrap, client_settings(settings.kafka))
        self._bounds: dict[tuple[str, int], tuple[int, int]] = {}
        self.close: Callable[[], None] = self._consumer.close

    def has(self, head: DeadLetter, record: Refused) -> bool:
        """Return True where this very record stands at the letter's coordinates, False where it is past retention.

        Raise NotAsSent where another one stands there or none ever did, KafkaException and ReadTimeout as `read`.
        """
        place = head.topic, head.partition
        if place not in self._bounds:
            known = self._consumer.list_topics(head.topic, VALUE_S_MAX).topics[head.topic].partitions
            self._bounds[place] = bounds(self._consumer, *place) if head.partition in known else (0, 0)
        begin, end = self._bounds[place]
        if 0 <= head.offset < begin:
            return False
        if begin <= head.offset < end:
            span = head.offset, head.offset + 1
            for message in read_spans(self._consumer, {place: span}, timeout_s=VALUE_S_MAX):
                if _is_same(message, record):
                    return True
                raise NotAsSent("another record stands at its coordinates")
        raise NotAsSent("no record stands at its coordinates")


def _is_same(message: Message, record: Refused) -> bool:
    try:
        found = message.headers() or ()
    except UnicodeDecodeError as error:
        raise NotAsSent("a header of its source has a name that is no text") from error
    headers = tuple((name, (value or b"").decode("utf-8", "replace")) for name, value in found)
    return (message.key(), message.value() or b"", headers) == (record.key, record.payload, record.headers)


def retry(settings: Settings, letters: Iterable[Letter], *, unseen: tuple[str, str] | None = None) -> Retried:
    """Send payloads, with their keys and headers, to the topics they came from. Raise DeliveryFailed where that fails.

    Who may write `dlq.v1` is not who may write those topics, and a seal says nothing of who sealed: so a record is sent
    only where it stands at the coordinates of its letter, byte for byte. Where it is past retention it is sent only
    where an operator says so. unseen: who says that, and why; `audit.v1` has acknowledged it before.

    Nobody sees what is opened for it. Refused are dead letters that are not sealed, do not hold the whole record
    (secrets, a payload over 1 MiB, key or headers over 64 KiB), or cannot be opened, and those of a topic that is no
    feed: `events.v1` has one writer, and what `control.v1` says is said anew. Raise SettingsError where the key to open
    them is missing, KafkaException and ReadTimeout where a source cannot be read.
    """
    contents, feeds = Contents(settings), _feeds(settings)
    proven: list[tuple[DeadLetter, Refused]] = []
    gone: list[tuple[DeadLetter, Refused]] = []
    refused: list[tuple[DeadLetter, str]] = []
    with closing(Sources(settings)) as sources:
        for letter in letters:
            try:
                record = _sendable(letter, feeds, contents)
                if sources.has(letter.head, record):
                    proven.append((letter.head, record))
                elif unseen is not None:
                    gone.append((letter.head, record))
                else:
                    raise NotAsSent("its source is past retention, nothing proves who sent it: --source-gone")
            except (CannotOpen, NotAsSent) as error:
                refused.append((letter.head, str(error)))
    if gone and unseen is not None:
        by, reason = unseen
        _audit(settings, [_noted(Resent, head, by, reason) for head, _ in gone])
    outbox = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka))
    for head, record in (*proven, *gone):
        headers = [(name, value.encode()) for name, value in record.headers]
        outbox.send(head.topic, record.payload, key=record.key, headers=headers, partition=head.partition)
    outbox.drain()
    return Retried(sent=len(proven) + len(gone), refused=tuple(refused))


def _feeds(settings: Settings) -> frozenset[str]:
    """Return the topics that are retried: those of what others send us, not of what operators decide."""
    return frozenset((*(topics.bank_events(bank.bank_id) for bank in settings.banks), topics.GATEWAY, topics.DESK))


def _sendable(letter: Letter, feeds: frozenset[str], contents: Contents) -> Refused:
    """Return the record of a letter of a feed. Raise NotAsSent or CannotOpen where it cannot be sent again."""
    head = letter.head
    if head.topic == topics.CONTROL:
        raise NotAsSent("control.v1 is for commands alone: give the command again")
    if head.topic not in feeds:
        raise NotAsSent("its topic is no feed")
    if head.sealed is None:
        raise NotAsSent("it is not sealed: a letter of an old version, which has to be sent by its bank")
    record = contents.sent_to_us(letter)
    if record is None or head.reason == "credentials" or not is_whole(record):
        raise NotAsSent("it is not held whole")
    return record
