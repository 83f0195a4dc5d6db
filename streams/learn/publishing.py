"""Publication of a candidate: its bytes to `model.v1`, then learn's word on it to `model.report.v1`, and where learn
may activate it, the control record to `control.v1`.

In this order, each acknowledged before the next, and each left out where it is there already: a start after a crash
between any two goes on where it ended. What is in force, and whether an operator has gone back to an earlier model, is
read from `control.v1` anew at each candidate.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Literal

import msgspec

from config.settings import Settings
from detectors.learning.examples import Examples
from detectors.learning.guard import is_due, judge
from detectors.prior import prior_id
from detectors.snapshot import Snapshot, content_id
from domain import topics
from domain.calendar import day_start_ms
from domain.events import Control
from domain.outputs import Candidate, MonthReport
from sinks.artefacts import publish
from sinks.client import client_settings
from sinks.kafka import Outbox
from streams.control_log import LEARN, READ_S_MAX
from streams.learn.learner import Learned
from streams.learn.threads import in_thread
from streams.model_decisions import Contended, Deciding
from streams.model_history import Made, ModelHistory, read_history, read_said

log = logging.getLogger(__name__)

_TRIES = 5  # to decide while operators decide


class Publisher:
    """Publishes candidates, each once."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._kafka, self._learn, self._outbox = settings.kafka, settings.learn, outbox
        self._history = ModelHistory()

    async def start(self) -> None:
        """Read what is published and decided already. Raise ArtefactMissing where a topic does not answer."""
        self._history = await asyncio.to_thread(read_history, self._kafka)

    async def report(self, said: MonthReport) -> None:
        """Publish what a month said. Raise DeliveryFailed where the record is not acknowledged."""
        self._outbox.send(topics.MODEL_REPORT, msgspec.json.encode(said))
        await asyncio.to_thread(self._outbox.drain)

    def in_force(self) -> Snapshot:
        """Return the model in force, as of the last candidate."""
        return self._history.snapshot(self._history.in_force_id)

    async def publish(self, learned: Learned, newest: Examples) -> Candidate | None:
        """Publish a candidate, and activate it where learn may; return learn's word on it.

        newest: the observations of the month's last day, EXAMPLE (n,).

        Return None where another candidate of that month or a later one is out: a history that another library or
        setting has rebuilt otherwise publishes nothing of what is past. Raise DeliveryFailed where a record is not
        acknowledged, and ArtefactMissing, SnapshotError or KafkaException where what was decided cannot be read.
        """
        body = learned.snapshot.encode()
        name, kind = content_id(body), _kind(learned)
        last = self._history.newest_of(kind)
        if name not in self._history.candidates and last is not None and learned.month <= last.candidate.month:
            log.warning(
                "learn: %s %s of month %d is not published: %s of month %d is out",
                *(kind, name, learned.month, last.candidate.model_id, last.candidate.month),
            )
            return None
        await asyncio.to_thread(self._read_said)
        if name not in self._history.models:
            await asyncio.to_thread(publish, self._outbox, topics.MODEL, body)
            self._history = replace(self._history, models={**self._history.models, name: body})
        if name not in self._history.candidates:
            await self._report(await in_thread(lambda: self._judged(learned, newest, name)))
        made = self._history.candidates[name].candidate
        newest_of = self._history.newest_of(made.kind)
        if newest_of is not None and newest_of.candidate is made:
            await asyncio.to_thread(self._activate, learned, made)
        return made

    def _judged(self, learned: Learned, newest: Examples, name: str) -> Candidate:
        """Return the guard's word on a candidate, against the model in force now."""
        history, snapshot = self._history, learned.snapshot
        found = judge(
            snapshot,
            history.snapshot(history.in_force_id),
            self._learn,
            newest=newest,
            trained_on=learned.calibrated_on,
            drift=learned.drift,
            loss_change_low_micro=learned.loss_change_low_micro,
        )
        labels, bads = learned.calibrated_on or (snapshot.trained_labels_count, snapshot.trained_bad_count)
        return Candidate(
            model_id=name,
            parent_id=snapshot.parent_id or "",
            month=learned.month,
            as_of=day_start_ms(learned.day + 1),
            kind=_kind(learned),
            status="held" if found.reasons else "proposed",
            reasons=found.reasons,
            in_force_id=history.in_force_id,
            moves_scores=found.moves_scores,
            labels_count=labels,
            bad_count=bads,
            new_labels_count=learned.new_labels_count,
            observed_count=found.observed_count,
            regraded_count=found.regraded_count,
            by=LEARN,
        )

    async def _report(self, made: Candidate) -> None:
        self._outbox.send(topics.MODEL_REPORT, msgspec.json.encode(made), key=made.model_id.encode())
        await asyncio.to_thread(self._outbox.drain)
        told = "; ".join(f"{one.code} {one.subject}".strip() for one in made.reasons)
        log.info(
            "learn: candidate %s of month %d is %s%s", made.model_id, made.month, made.status, told and f": {told}"
        )
        # Just behind all that was decided before it; the broker's time of it comes with the next start.
        added = Made(candidate=made, at_ms=1 + max((one.at_ms for one in self._history.said), default=0))
        self._history = replace(self._history, candidates={**self._history.candidates, made.model_id: added})

    def _activate(self, learned: Learned, made: Candidate) -> None:
        """Activate a candidate where learn may: by its settings, the guard, what operators said, and the time since."""
        for _ in range(_TRIES):
            if not self._may_activate(learned, made):
                return
            deciding = Deciding(self._kafka)
            self._read_said()
            if not self._may_activate(learned, made):
                return
            control = Control(
                control_id=f"learn-{made.model_id[:40]}",
                action="activate",
                artefact="model",
                artefact_id=made.model_id,
                by=LEARN,
                reason=learned.reason,
            )
            try:
                deciding.write(control)
            except Contended:
                continue  # what the other one has decided is read
            self._read_said()
            log.info("learn: model %s comes into force: %s", made.model_id, learned.reason)
            return
        raise Contended(f"{topics.CONTROL}: others have begun to decide {_TRIES} times while learn did")

    def _may_activate(self, learned: Learned, made: Candidate) -> bool:
        history = self._history
        decided = {one.control.artefact_id for one in history.said if one.control.action == "activate"}
        if self._learn.activation != "auto" or made.status != "proposed" or made.model_id in decided:
            return False
        if history.paused_by is not None:
            said = history.paused_by.control
            log.info("learn: %s went back to an earlier model (%s): waits for model resume", said.author, said.reason)
            return False
        moves_scores = not learned.snapshot.scores_as(history.snapshot(history.in_force_id))
        return is_due(learned.day, history.last_switch_day, self._learn, moves_scores=moves_scores)

    def _read_said(self) -> None:
        said = read_said(self._kafka, READ_S_MAX, client_settings(self._kafka))
        activated = {one.control.artefact_id or prior_id() for one in said if one.control.action == "activate"}
        if activated - {prior_id(), *self._history.models, *self._history.damaged}:  # an operator has published one
            self._history = read_history(self._kafka)
        else:
            self._history = self._history.with_said(said)


def _kind(learned: Learned) -> Literal["model", "calibration"]:
    return "model" if learned.calibrated_on is None else "calibration"
