"""A late record that an operator admits, read back from its place in `events.v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from domain import topics
from domain.events import EnterpriseEvent, LogRecord
from domain.reject import Reason, Rejected
from sinks.log_reader import value_at

_DECODER = msgspec.json.Decoder(LogRecord)


def admitted(bootstrap: str, client: Mapping[str, Any], where: str) -> LogRecord | Rejected:
    """Return the record at `where` (as streams.control_log.coordinates writes it), marked as admitted.

    Return Rejected where there is no event of an enterprise. Raise KafkaException or TimeoutError where the log cannot
    be read.
    """
    topic, _, place = where.partition(":")
    partition, _, offset = place.partition(":")
    if topic != topics.EVENTS or not (partition.isdecimal() and offset.isdecimal()):
        return _rejected(f"names no record of {topics.EVENTS}")
    value = value_at(bootstrap, client, topics.EVENTS, int(partition), int(offset))
    try:
        record = None if value is None else _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = None
    if record is None or not isinstance(record.event, EnterpriseEvent):
        return _rejected(f"{where} holds no event of an enterprise, or not any more")
    return msgspec.structs.replace(record, admitted=True)


def _rejected(detail: str) -> Rejected:
    return Rejected(reason=Reason.OUT_OF_RANGE, field="artefact_id", detail=detail)
