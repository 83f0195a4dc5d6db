"""A late record that an operator's word admits, read back from where it stands in `events.v1`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from domain import topics
from domain.events import EnterpriseEvent, LogRecord
from domain.reject import Reason, Rejected

TIMEOUT_S = 10.0
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._PARTITION_EOF)
_UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)
_DECODER = msgspec.json.Decoder(LogRecord)


def admitted(bootstrap: str, client: Mapping[str, Any], where: str) -> LogRecord | Rejected:
    """The record at `where` (streams.control_log.coordinates), admitted; Rejected where no enterprise's event is there.

    KafkaException or TimeoutError where the log cannot be read.
    """
    topic, _, place = where.partition(":")
    partition, _, offset = place.partition(":")
    if topic != topics.EVENTS or not (partition.isdecimal() and offset.isdecimal()):
        return _rejected(f"{where!r} is no record of {topics.EVENTS}")
    value = _value_at(bootstrap, client, int(partition), int(offset))
    try:
        record = None if value is None else _DECODER.decode(value)
    except msgspec.DecodeError:
        record = None
    if record is None or not isinstance(record.event, EnterpriseEvent):
        return _rejected(f"{where} holds no event of an enterprise, or not any more")
    return msgspec.structs.replace(record, admitted=True)


def _rejected(detail: str) -> Rejected:
    return Rejected(reason=Reason.OUT_OF_RANGE, field="artefact_id", detail=detail)


def _value_at(bootstrap: str, client: Mapping[str, Any], partition: int, offset: int) -> bytes | None:
    """The value at an offset of `events.v1`; None where there is none."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "xinliu-admission",  # never used: the partition is assigned, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            **client,
        }
    )
    until_s = time.monotonic() + TIMEOUT_S
    try:
        consumer.assign([TopicPartition(topics.EVENTS, partition, offset)])
        while time.monotonic() < until_s:
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                value: bytes | None = message.value()
                return value if message.offset() == offset else None
            if error.code() in (*_GONE, *_UNKNOWN):
                return None
            raise KafkaException(error)
        raise TimeoutError(f"{topics.EVENTS}[{partition}]@{offset} was not read in {TIMEOUT_S:g} s")
    finally:
        consumer.close()
