"""Publication of a snapshot: its bytes to `model.v1`, then the control record that activates it to `control.v1`."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from detectors.snapshot import Snapshot, SnapshotError, content_id, decode
from domain import topics
from domain.events import Control
from sinks.artefacts import publish, records
from sinks.kafka import Outbox
from streams.control_log import HEADERS, controls

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Published:
    """The snapshots on `model.v1` and `control.v1` when learn started, and those that it has added since."""

    model_ids: set[str] = field(default_factory=set)
    activated_ids: set[str] = field(default_factory=set)
    until_day: int = -1  # the newest label that any of the models was trained on


def published(bootstrap: str, timeout_s: float = 30.0, client: Mapping[str, Any] | None = None) -> Published:
    """Read both topics to their present ends. Raise ArtefactMissing where that fails."""
    found = Published()
    for key, body in records(bootstrap, topics.MODEL, timeout_s, client):
        name = (key or b"").decode(errors="replace")
        try:
            snapshot = decode(body, name)
        except SnapshotError as error:
            log.warning("learn: passing over a record of %s: %s", topics.MODEL, error)
            continue
        found.model_ids.add(name)
        found.until_day = max(found.until_day, -1 if snapshot.trained_until_day is None else snapshot.trained_until_day)
    for control in controls(bootstrap, timeout_s, client):
        if control.action == "activate" and control.artefact == "model" and control.artefact_id is not None:
            found.activated_ids.add(control.artefact_id)
    return found


async def publish_snapshot(outbox: Outbox, snapshot: Snapshot, reason: str, out: Published) -> bool:
    """Publish and activate a snapshot; return whether anything was sent. What is published already is not sent again.

    The snapshot's bytes are acknowledged before the control record goes out. Where a rebuilt history differs from what
    was published (by another library or setting), its older snapshots stay unpublished.

    Raise DeliveryFailed where a record is not acknowledged.
    """
    body = snapshot.encode()
    name = content_id(body)
    until_day = -1 if snapshot.trained_until_day is None else snapshot.trained_until_day
    if name not in out.model_ids:
        if until_day <= out.until_day:
            log.warning("learn: model %s is not published: one trained up to day %d is out", name, out.until_day)
            return False
        await asyncio.to_thread(publish, outbox, topics.MODEL, body)
    elif name in out.activated_ids or until_day < out.until_day:
        return False
    control = Control(
        control_id=f"learn-{name[:40]}",
        action="activate",
        artefact="model",
        artefact_id=name,
        by="learn",
        reason=reason,
    )
    outbox.send(topics.CONTROL, msgspec.json.encode(control), headers=HEADERS)
    await asyncio.to_thread(outbox.drain)
    out.model_ids.add(name)
    out.activated_ids.add(name)
    out.until_day = max(out.until_day, until_day)
    return True
