"""Publication of a candidate: its bytes to `model.v1`, then learn's word on it to `model.report.v1`, and where it may
come into force by that alone, a request to `model.request.v1`, whose answer is waited for.

In this order, each acknowledged before the next, and each left out where it is there already: a start after a crash
between any two goes on where it ended. What is in force, and whether an operator has gone back to an earlier model, is
read from `control.v1` anew at each candidate. Only ingest grants a request, for the same reasons.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import msgspec

from config.settings import Settings
from detectors.learning.drift import moved, psi_of_model
from detectors.learning.examples import Examples
from detectors.learning.guard import judge
from detectors.prior import prior_id
from detectors.snapshot import Snapshot, content_id
from domain import topics
from domain.calendar import day_start_ms
from domain.events import LEARN
from domain.outputs import ActivationRequest, Candidate, MonthReport
from sinks.artefacts import publish
from sinks.client import client_settings
from sinks.kafka import Outbox
from streams.control_log import READ_S_MAX
from streams.learn.learner import Learned
from streams.learn.requests import Requests
from streams.learn.threads import in_thread
from streams.model_activation import is_granted, refusal
from streams.model_history import Made, ModelHistory, read_history, read_said

log = logging.getLogger(__name__)

_TRIES = 5  # to ask while operators decide


class Publisher:
    """Publishes candidates, each once."""

    def __init__(self, settings: Settings, outbox: Outbox, waits: Callable[[str], None] = lambda _what: None) -> None:
        """Prepare. `waits` is told what an activation waits for."""
        self._requests, self._waits = Requests(settings.kafka, outbox), waits
        self._kafka, self._learn, self._outbox = settings.kafka, settings.learn, outbox
        self._history = ModelHistory()

    async def start(self) -> None:
        """Read what is published and decided already. Raise ArtefactMissing where a topic does not answer."""
        self._history = await asyncio.to_thread(read_history, self._kafka)

    async def report(self, said: MonthReport, newest: Examples) -> MonthReport:
        """Publish what a month said, and how far its observations are from those that the model in force learned from.

        newest: as in `publish`. Return what was published. Raise as `publish`.
        """
        await asyncio.to_thread(self._read_said)
        in_force = self.in_force()
        psi = await in_thread(lambda: psi_of_model(in_force, newest))
        said = msgspec.structs.replace(
            said,
            in_force_id=self._history.in_force_id,
            psi_in_force_micro=psi,
            moved=moved(psi, len(newest), psi_max=self._learn.psi_max),
        )
        self._outbox.send(topics.MODEL_REPORT, msgspec.json.encode(said))
        await asyncio.to_thread(self._outbox.drain)
        return said

    def in_force(self) -> Snapshot:
        """Return the model in force, as of the last candidate."""
        return self._history.snapshot(self._history.in_force_id)

    async def publish(self, learned: Learned, newest: Examples) -> Candidate | None:
        """Publish a candidate, and have it activated where learn may; return learn's word on it.

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
            await self._activate(made)
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

    async def _activate(self, made: Candidate) -> None:
        """Ask ingest for a candidate where learn may: by its settings, the guard, what operators said, and the time."""
        for _ in range(_TRIES):
            if (why := refusal(self._history, made.model_id, self._learn)) is not None:
                log.info("learn: model %s is not asked for: %s (%s)", made.model_id, why.detail, why.reason)
                return
            request = ActivationRequest(model_id=made.model_id, decided_offset=self._history.decided_offset)
            offset = await asyncio.to_thread(self._requests.ask, request)
            self._waits(f"ingest, to answer {topics.MODEL_REQUEST} offset {offset}")
            await self._requests.answered(offset)
            await asyncio.to_thread(self._read_said)
            if is_granted(self._history, request):
                log.info("learn: model %s comes into force", made.model_id)
                return
            if self._history.decided_offset == request.decided_offset:
                log.warning("learn: ingest refuses model %s: its dead letter has the reason", made.model_id)
                return
        log.warning("learn: model %s is not in force: operators decided %d times meanwhile", made.model_id, _TRIES)

    def _read_said(self) -> None:
        said = read_said(self._kafka, READ_S_MAX, client_settings(self._kafka))
        activated = {one.control.artefact_id or prior_id() for one in said if one.control.action == "activate"}
        if activated - {prior_id(), *self._history.models, *self._history.damaged}:  # an operator has published one
            self._history = read_history(self._kafka)
        else:
            self._history = self._history.with_said(said)


def _kind(learned: Learned) -> Literal["model", "calibration"]:
    return "model" if learned.calibrated_on is None else "calibration"
