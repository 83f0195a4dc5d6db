"""Readers of topics beside the flow of events: partitions are assigned, no group is joined, nothing is committed."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sinks.retriable import TRANSIENT, bounds

AT_ONCE = 5_000  # records
SILENCE_S_MAX = 30.0
VALUE_S_MAX = 10.0
WAIT_S = 0.05  # for records that a poll does not find at once
FOLLOWING = {"fetch.wait.max.ms": 50}  # of a consumer that stays at the end: how long a fetch waits for records

Place = tuple[str, int]
"""Topic and partition."""
Span = tuple[int, int]
"""First offset, and the offset after the last."""


class ReadTimeout(TimeoutError):
    """Records did not come in time; the message names the partitions and how far each was read."""


def assigned_consumer(bootstrap: str, client: Mapping[str, Any] | None = None) -> Consumer:
    """Return a consumer of committed records, to be given partitions by `assign`; it reports where a partition ends.

    client: settings of librdkafka, as `sinks.client.client_settings` makes them; they override the defaults, which are
    those of who reads to an end and goes. Who stays adds FOLLOWING.
    """
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "xinliu-log-reader",  # required by the library, never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 16 << 20,
            "fetch.wait.max.ms": 5,  # that a partition ends in markers is known when a fetch finds nothing more
            "queued.max.messages.kbytes": 64 << 10,
            "log_level": 2,  # what goes wrong is raised
            **(client or {}),
        }
    )


def member_consumer(bootstrap: str, group: str, client: Mapping[str, Any] | None = None) -> Consumer:
    """Return a consumer to ask for the committed offsets of a group, which it never joins.

    AdminClient.list_consumer_group_offsets is meant for this, but librdkafka 2.16 aborts the process (rd_kafka_cgrp_op
    on a client without a group) when the group's coordinator answers with an error.
    """
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "log_level": 2,
            **(client or {}),
        }
    )


def poll(consumer: Consumer, records_max: int = AT_ONCE, wait_s: float = 0.0) -> list[Message]:
    """Return the records that have come, at most `records_max`.

    Raise KafkaException for an error that is not transient.
    """
    return [message for message in _messages(consumer, records_max, wait_s) if message.error() is None]


def read(
    consumer: Consumer,
    spans: Mapping[Place, Span],
    *,
    timeout_s: float | None = None,
    silence_s_max: float = SILENCE_S_MAX,
) -> Iterator[Message]:
    """Assign partitions and yield the records of their spans, in order within each.

    Raise KafkaException where a partition cannot be read, ReadTimeout after `timeout_s` in all, or after
    `silence_s_max` without a record.
    """
    ends = {place: end for place, (begin, end) in spans.items() if begin < end}
    positions = {place: spans[place][0] for place in ends}
    if not ends:
        return
    consumer.assign([TopicPartition(*place, begin) for place, begin in positions.items()])
    began_s = heard_s = time.monotonic()
    while ends:
        # The library waits for as many records as it is asked for, and behind markers fewer come than offsets say.
        messages = _messages(consumer, 1, WAIT_S) + _messages(consumer, AT_ONCE, 0.0)
        now_s = time.monotonic()
        heard_s = now_s if messages else heard_s
        if (timeout_s is not None and now_s - began_s > timeout_s) or now_s - heard_s > silence_s_max:
            raise ReadTimeout(_progress(positions, ends))
        for message in messages:
            place, offset = (message.topic(), message.partition()), message.offset()
            if place not in ends:
                continue
            # At its end a partition gives no record but the next offset, behind markers of transactions too.
            is_record = message.error() is None
            positions[place] = offset + 1 if is_record else offset
            if is_record and offset < ends[place]:
                yield message
            if positions[place] >= ends[place]:
                del ends[place]


def read_topic(
    bootstrap: str,
    topic: str,
    client: Mapping[str, Any] | None = None,
    *,
    partition: int = 0,
    begin: int = 0,
    timeout_s: float | None = None,
) -> Iterator[Message]:
    """Yield the records of a partition from `begin`, or the first that is still there, to its present end.

    Raise KafkaException and ReadTimeout as `read`.
    """
    with closing(assigned_consumer(bootstrap, client)) as consumer:
        low, end = bounds(consumer, topic, partition)
        yield from read(consumer, {(topic, partition): (max(begin, low), end)}, timeout_s=timeout_s)


def value_at(bootstrap: str, client: Mapping[str, Any] | None, topic: str, partition: int, offset: int) -> bytes | None:
    """Return the value at an offset, None where there is none. Raise KafkaException and ReadTimeout as `read`."""
    with closing(assigned_consumer(bootstrap, client)) as consumer:
        known = consumer.list_topics(topic, VALUE_S_MAX).topics[topic]
        if partition not in known.partitions:
            return None
        begin, end = bounds(consumer, topic, partition)
        if not begin <= offset < end:
            return None
        for message in read(consumer, {(topic, partition): (offset, offset + 1)}, timeout_s=VALUE_S_MAX):
            value: bytes | None = message.value()
            return value
    return None


def _messages(consumer: Consumer, records_max: int, wait_s: float) -> list[Message]:
    """Return records and ends of partitions, without transient errors."""
    found: list[Message] = []
    for message in consumer.consume(records_max, wait_s):
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            found.append(message)
        elif not error.retriable() and error.code() not in (*TRANSIENT, KafkaError._ALL_BROKERS_DOWN):
            raise KafkaException(error)
    return found


def _progress(positions: Mapping[Place, int], ends: Mapping[Place, int]) -> str:
    return ", ".join(f"{topic}[{p}] read to {positions[topic, p]} of {end}" for (topic, p), end in sorted(ends.items()))
