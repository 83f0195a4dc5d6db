"""A late record that an operator admits, read back from its place in `events.v1`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec

from domain import topics
from domain.events import EnterpriseEvent, LogRecord
from domain.reject import Reason, Rejected
from sinks.log_reader import assigned_consumer, read
from sinks.retriable import bounds

TIMEOUT_S = 10.0
_DECODER = msgspec.json.Decoder(LogRecord)


def admitted(bootstrap: str, client: Mapping[str, Any], where: str) -> LogRecord | Rejected:
    """Return the record at `where` (as streams.control_log.coordinates writes it), marked as admitted.

    Return Rejected where there is no event of an enterprise. Raise KafkaException or TimeoutError where the log cannot
    be read.
    """
    topic, _, place = where.partition(":")
    partition, _, offset = place.partition(":")
    if topic != topics.EVENTS or not (partition.isdecimal() and offset.isdecimal()):
        return _rejected(f"{where!r} is no record of {topics.EVENTS}")
    value = _value_at(bootstrap, client, int(partition), int(offset))
    try:
        record = None if value is None else _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = None
    if record is None or not isinstance(record.event, EnterpriseEvent):
        return _rejected(f"{where} holds no event of an enterprise, or not any more")
    return msgspec.structs.replace(record, admitted=True)


def _rejected(detail: str) -> Rejected:
    return Rejected(reason=Reason.OUT_OF_RANGE, field="artefact_id", detail=detail)


def _value_at(bootstrap: str, client: Mapping[str, Any], partition: int, offset: int) -> bytes | None:
    """Return the value at an offset of `events.v1`, None where there is none."""
    with closing(assigned_consumer(bootstrap, client)) as consumer:
        if partition not in consumer.list_topics(topics.EVENTS, TIMEOUT_S).topics[topics.EVENTS].partitions:
            return None
        begin, end = bounds(consumer, topics.EVENTS, partition)
        if not begin <= offset < end:
            return None
        for message in read(consumer, {(topics.EVENTS, partition): (offset, offset + 1)}, timeout_s=TIMEOUT_S):
            value: bytes | None = message.value()
            return value
    return None
