"""Content-addressed artefacts in Kafka: a record whose key is the SHA-256 of its value, in 64 hex digits."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import KafkaException, Message

from sinks.kafka import Outbox
from sinks.log_reader import ReadTimeout, assigned_consumer, read
from sinks.retriable import bounds

CACHED_MAX = 64
PARTITION = 0  # artefact topics have one partition
_cache: dict[str, bytes] = {}  # by id: content cannot change under it


class ArtefactMissing(Exception):
    """No record of the topic has this id; the message names both."""


class ArtefactCorrupt(Exception):
    """The record of this id holds other bytes than those that the id names; the message names topic and id."""


def publish(outbox: Outbox, topic: str, body: bytes, *, timeout_s: float = 30.0) -> str:
    """Write the artefact, wait until it is acknowledged, and return its id.

    Raise DeliveryFailed where it is not acknowledged in `timeout_s` seconds.
    """
    content_id = hashlib.sha256(body).hexdigest()
    outbox.send(topic, body, key=content_id.encode())
    outbox.drain(timeout_s)
    return content_id


def fetch(
    bootstrap: str, topic: str, content_id: str, timeout_s: float, client: Mapping[str, Any] | None = None
) -> bytes:
    """Return the bytes of artefact `content_id`, verified. The topic is read once, to its present end.

    Raise ArtefactMissing where no record has the id or the broker did not answer in `timeout_s` seconds, and
    ArtefactCorrupt where the bytes of the record do not hash to it.
    """
    if (known := _cache.get(content_id)) is not None:
        return known
    corrupt = False
    for key, body in records(bootstrap, topic, timeout_s, client):
        if key != content_id.encode():
            continue
        if hashlib.sha256(body).hexdigest() == content_id:
            while len(_cache) >= CACHED_MAX:
                _cache.pop(next(iter(_cache)))
            _cache[content_id] = body
            return body
        corrupt = True  # a good copy may follow
    if corrupt:
        raise ArtefactCorrupt(f"{topic}: the record of artefact {content_id} does not hash to its id")
    raise ArtefactMissing(f"{topic} has no artefact {content_id}")


def records(
    bootstrap: str, topic: str, timeout_s: float, client: Mapping[str, Any] | None = None
) -> Iterator[tuple[bytes | None, bytes]]:
    """Yield (key, value) of every record with a value of a topic with one partition, as `messages` does."""
    for message in messages(bootstrap, topic, timeout_s, client):
        if (value := message.value()) is not None:
            yield message.key(), value


def messages(
    bootstrap: str, topic: str, timeout_s: float, client: Mapping[str, Any] | None = None
) -> Iterator[Message]:
    """Yield every record of a topic with one partition, from its start to its present end.

    Raise ArtefactMissing where the end cannot be reached in `timeout_s` seconds.
    """
    began_s = time.monotonic()
    with closing(assigned_consumer(bootstrap, client)) as consumer:
        try:
            known = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        except KafkaException as failure:
            text = f"{bootstrap}: {topic} could not be asked for in {timeout_s:g} s: {failure.args[0].str()}"
            raise ArtefactMissing(text) from failure
        if known.error is not None:
            raise ArtefactMissing(f"{bootstrap}: {topic} cannot be read: {known.error.str()}")
        try:
            span = bounds(consumer, topic, PARTITION, timeout_s)
            left_s = timeout_s - (time.monotonic() - began_s)
            yield from read(consumer, {(topic, PARTITION): span}, timeout_s=left_s)
        except ReadTimeout as failure:
            raise ArtefactMissing(
                f"{bootstrap}: {topic} not read to its end in {timeout_s:g} s: {failure}"
            ) from failure
        except KafkaException as failure:
            raise ArtefactMissing(f"{bootstrap}: {topic} cannot be read: {failure.args[0].str()}") from failure
