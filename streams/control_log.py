"""`control.v1` as operators use it: what has been decided so far, and how one more control record is added."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from config.settings import KafkaSettings, Settings
from domain import topics
from domain.events import SCHEMA, Control, Outcome
from domain.outputs import QuarantinedBatch
from sinks.artefacts import records
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import Outbox

READ_S_MAX = 30.0
HEADERS = [("schema", SCHEMA.encode())]
ArtefactKind = Literal["model", "rules", "catalogue", "calendar", "peer", "lists", "fx"]
_decode = msgspec.json.Decoder(Control | Outcome).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlHistory:
    """All control records of the topic, in order, without those that cannot be read (ingest dead-letters them)."""

    controls: tuple[Control, ...]

    @property
    def backfill(self) -> Control | None:
        """The control record that opened the present backfill; None where none is open."""
        last: Control | None = None
        for control in self.controls:
            if control.action == "backfill_open":
                last = last or control
            elif control.action == "backfill_close":
                last = None
        return last

    def in_force(self) -> dict[str, Control]:
        """Return, for each kind of artefact, the control record that activated the one in force."""
        return {one.artefact: one for one in self.controls if one.action == "activate" and one.artefact is not None}

    @property
    def engine(self) -> Control | None:
        """The newest control record that names an engine; None where none does."""
        return next((one for one in reversed(self.controls) if one.action == "engine_version"), None)

    def admitted(self) -> dict[str, Control]:
        """Return, by coordinates of a late record, the control record that admitted it."""
        return {one.artefact_id or "": one for one in self.controls if one.action == "admit"}

    def skipped(self) -> dict[tuple[str, int, int], Control]:
        """Return, by topic, partition and offset of an unreadable batch, the control record that skips it."""
        skips = [one for one in self.controls if one.action == "feed_skip"]
        return {(one.topic or "", one.partition or 0, one.offset or 0): one for one in reversed(skips)}


def coordinates(partition: int, offset: int) -> str:
    """Return the place of a record of `events.v1` as control records name it."""
    return f"{topics.EVENTS}:{partition}:{offset}"


def read(settings: Settings) -> ControlHistory:
    """Return the history up to the topic's present end.

    Raise ArtefactMissing where the broker or the topic does not answer.
    """
    kafka = settings.kafka
    return ControlHistory(controls=tuple(controls(kafka.bootstrap, READ_S_MAX, client_settings(kafka))))


def controls(bootstrap: str, timeout_s: float, client: Mapping[str, Any] | None) -> Iterator[Control]:
    """Yield the control records up to the topic's present end, in order.

    Raise ArtefactMissing where the broker or the topic does not answer within `timeout_s` seconds.
    """
    for _, body in records(bootstrap, topics.CONTROL, timeout_s, client):
        if (control := control_of(body)) is not None:
            yield control


def control_of(value: bytes | None) -> Control | None:
    """Return the control record in a value of `control.v1`; None for an outcome, or what ingest dead-letters."""
    try:
        said = _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if isinstance(said, Control) else None


def write(settings: Settings, control: Control) -> None:
    """Append a control record and wait until it is acknowledged. Raise DeliveryFailed where that fails."""
    outbox = Outbox(settings.kafka.bootstrap, aiokafka_settings(settings.kafka))
    outbox.send(topics.CONTROL, value_of(control, settings.kafka), headers=HEADERS)
    outbox.drain()


def value_of(control: Control, kafka: KafkaSettings) -> bytes:
    """Return a control record as it is written: with the principal of the connection that writes it."""
    return msgspec.json.encode(msgspec.structs.replace(control, principal=kafka.sasl_username))


def next_control(
    said: ControlHistory,
    action: Literal[
        "backfill_open",
        "backfill_close",
        "activate",
        "engine_version",
        "admit",
        "feed_resume",
        "feed_skip",
        "model_resume",
    ],
    *,
    by: str,
    reason: str,
    artefact: ArtefactKind | None = None,
    artefact_id: str | None = None,
    batch: QuarantinedBatch | None = None,
    next_offset: int | None = None,
) -> Control:
    """Return the next control record. Its id is made of its content and of the number of records before it.

    batch, next_offset: for a feed, the batch at which it is paused, and the offset where it goes on.
    """
    place = () if batch is None else (batch.topic, batch.partition, batch.offset)
    text = "\0".join((action, artefact or "", artefact_id or "", by, reason, str(len(said.controls)), *map(str, place)))
    return Control(
        control_id=f"{action}-{hashlib.sha256(text.encode()).hexdigest()[:32]}",
        action=action,
        artefact=artefact,
        artefact_id=artefact_id,
        topic=None if batch is None else batch.topic,
        partition=None if batch is None else batch.partition,
        offset=None if batch is None else batch.offset,
        next_offset=next_offset,
        by=by,
        reason=reason,
    )
