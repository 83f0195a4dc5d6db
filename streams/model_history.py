"""The fate of each model: made, proposed or held, in force from when and by whose word, gone back from.

It follows from three topics alone: the bytes on `model.v1`, what learn says of its candidates on `model.report.v1`, and
what was decided on `control.v1`. Learn and the operators' commands read it alike (ADR 30).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from config.settings import KafkaSettings
from detectors.prior import prior_id, prior_snapshot
from detectors.scorecard import scorecard
from detectors.snapshot import Snapshot, SnapshotError, content_id, decode
from domain import topics
from domain.calendar import day_of
from domain.events import Control
from domain.outputs import Candidate, ModelMessage, MonthReport
from sinks.artefacts import messages
from sinks.client import client_settings
from streams.control_log import READ_S_MAX, control_of

log = logging.getLogger(__name__)
_report: Callable[[bytes], ModelMessage] = msgspec.json.Decoder(ModelMessage).decode

YEAR_DAYS = 365
SUPPRESSED_DAYS = 30  # of EWS47_score_drop, after a switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A control record about models, with its offset on `control.v1` and the time at which the broker took it."""

    control: Control
    offset: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A candidate, and the time at which the broker took learn's word on it."""

    candidate: Candidate
    at_ms: int

    @property
    def day(self) -> int:
        """Day number of the last day that it learned."""
        return day_of(self.candidate.as_of - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A model that came into force in place of another.

    day: day number in the time of events, as far as the candidates tell; None: before any candidate.
    """

    said: Decision
    before_id: str
    model_id: str
    day: int | None
    goes_back: bool  # to one that had been in force before, or to an untrained one
    moves_scores: bool


@dataclass(frozen=True, kw_only=True)
class ModelHistory:
    """Models by id, candidates by id in the order of their making, and the control records about models."""

    models: Mapping[str, bytes] = field(default_factory=dict)
    damaged: frozenset[str] = frozenset()  # ids whose record holds other bytes
    candidates: Mapping[str, Made] = field(default_factory=dict)
    said: tuple[Decision, ...] = ()
    months: Mapping[int, MonthReport] = field(default_factory=dict)  # by month, learn's record of its metrics

    @property
    def in_force_id(self) -> str:
        """The model in force: the packaged one until another is activated."""
        return self._standing.chain[-1]

    @property
    def before_id(self) -> str | None:
        """The model to go back to; None where there was none before."""
        return self._standing.chain[-2] if len(self._standing.chain) > 1 else None

    @property
    def earlier_ids(self) -> tuple[str, ...]:
        """Models that were in force before this one, and not gone back from; the packaged one first."""
        return tuple(self._standing.chain[:-1])

    @property
    def paused_by(self) -> Decision | None:
        """The record by which somebody went back to an earlier model, until `model_resume`; None: learn may go on."""
        return self._standing.paused_by

    @property
    def decided_offset(self) -> int:
        """Offset on `control.v1` after the last decision on models; 0: there is none."""
        return self.said[-1].offset + 1 if self.said else 0

    @property
    def switches(self) -> tuple[Switch, ...]:
        """Every change of the model in force, in order."""
        return tuple(self._standing.switches)

    @property
    def last_switch_day(self) -> int | None:
        """Day number of the last switch that moved scores; None where none is known."""
        return max((one.day for one in self.switches if one.moves_scores and one.day is not None), default=None)

    def suppressed_days(self, last_day: int) -> int:
        """Return on how many days of the year up to `last_day` EWS47_score_drop was suppressed by switches."""
        days = set[int]()
        for one in self.switches:
            if one.moves_scores and one.day is not None:
                days.update(range(one.day, one.day + SUPPRESSED_DAYS))
        return sum(last_day - YEAR_DAYS < day <= last_day for day in days)

    def newest_of(self, kind: str) -> Made | None:
        """Return the candidate of a kind of the latest month."""
        of_kind = (made for made in self.candidates.values() if made.candidate.kind == kind)
        return max(of_kind, key=lambda made: made.candidate.month, default=None)

    @property
    def newest(self) -> Made | None:
        """The candidate of the latest month."""
        return max(self.candidates.values(), key=lambda made: made.candidate.month, default=None)

    def snapshot(self, model_id: str) -> Snapshot:
        """Return a model. Raise SnapshotError where its bytes are missing, are others', or are no model."""
        if model_id == prior_id():
            return prior_snapshot()
        if model_id not in self.models:
            what = "its record holds other bytes" if model_id in self.damaged else "it is not there"
            raise SnapshotError(f"{topics.MODEL}: model {model_id}: {what}")
        return _decoded(self.models[model_id], model_id)

    def with_said(self, said: Iterable[Decision]) -> ModelHistory:
        """Return the same with the control records read anew."""
        return replace(self, said=tuple(said))

    @cached_property
    def _standing(self) -> _Standing:
        found = _Standing(chain=[prior_id()])
        for one in self.said:
            if one.control.action == "model_resume":
                found.paused_by = None
            else:
                self._activate(found, one, one.control.artefact_id or prior_id())
        return found

    def _activate(self, found: _Standing, said: Decision, model_id: str) -> None:
        before_id = found.chain[-1]
        try:
            snapshot = self.snapshot(model_id)
            scorecard(snapshot)
            moves_scores = not snapshot.scores_as(self.snapshot(before_id))
        except SnapshotError:
            found.was_refused = True  # score refuses it too, and the one before stays
            return
        if model_id == before_id:
            if found.was_refused and not said.control.is_of_learn:  # goes back from what an earlier engine scored with
                found.paused_by, found.was_refused = said, False
            return
        is_packaged = snapshot.prior and snapshot.parent_id is None and len(found.chain) > 1  # with an earlier engine
        if goes_back := model_id in found.chain or is_packaged:
            found.chain = found.chain[: found.chain.index(model_id)] if model_id in found.chain else []
            if not said.control.is_of_learn:
                found.paused_by = said
        found.chain.append(model_id)
        found.was_refused = False
        found.switches.append(
            Switch(
                said=said,
                before_id=before_id,
                model_id=model_id,
                day=self._day_of(said),
                goes_back=goes_back,
                moves_scores=moves_scores,
            )
        )

    def _day_of(self, said: Decision) -> int | None:
        """Return how far events were when it was said: by the candidates that there were then."""
        if said.control.is_of_learn and (own := self.candidates.get(said.control.artefact_id or "")) is not None:
            return own.day
        return max((made.day for made in self.candidates.values() if made.at_ms <= said.at_ms), default=None)


@lru_cache(maxsize=256)
def _decoded(body: bytes, model_id: str) -> Snapshot:
    return decode(body, model_id)


@dataclass(kw_only=True)
class _Standing:
    chain: list[str]  # each came into force in place of the one before it
    paused_by: Decision | None = None
    was_refused: bool = False  # the last model that was to replace the one in force
    switches: list[Switch] = field(default_factory=list)


def read_history(
    kafka: KafkaSettings, timeout_s: float = READ_S_MAX, *, only: Collection[str] | None = None
) -> ModelHistory:
    """Return the history up to the topics' present ends. Raise ArtefactMissing where one does not answer.

    only: of models that were never activated, those of these ids alone; all where it is not given.
    """
    client = client_settings(kafka)
    candidates, months = _reports(kafka, timeout_s, client)
    said = read_said(kafka, timeout_s, client)
    wanted = None if only is None else {*only, *(one.control.artefact_id for one in said)}
    models, damaged = _models(kafka, timeout_s, client, wanted)
    return ModelHistory(models=models, damaged=damaged, candidates=candidates, months=months, said=said)


def read_said(kafka: KafkaSettings, timeout_s: float, client: Mapping[str, Any]) -> tuple[Decision, ...]:
    """Return the control records about models up to the topic's end. Raise ArtefactMissing as `read_history`."""
    read = messages(kafka.bootstrap, topics.CONTROL, timeout_s, client)
    return decisions((one.value(), one.offset() or 0, one.timestamp()[1]) for one in read)


def decisions(records: Iterable[tuple[bytes | None, int, int]]) -> tuple[Decision, ...]:
    """Return those about models among the records of `control.v1`: value, offset, and time in ms of each."""
    found = []
    for value, offset, at_ms in records:
        control = control_of(value)
        if control is not None and (
            control.action == "model_resume" or (control.action == "activate" and control.artefact == "model")
        ):
            found.append(Decision(control=control, offset=offset, at_ms=at_ms))
    return tuple(found)


def _models(
    kafka: KafkaSettings, timeout_s: float, client: Mapping[str, Any], wanted: Collection[str | None] | None
) -> tuple[dict[str, bytes], frozenset[str]]:
    found, damaged = dict[str, bytes](), set[str]()
    for message in messages(kafka.bootstrap, topics.MODEL, timeout_s, client):
        name, body = (message.key() or b"").decode(errors="replace"), message.value() or b""
        if wanted is not None and name not in wanted:
            continue
        if content_id(body) == name:
            found[name] = body
        else:
            damaged.add(name)
    return found, frozenset(damaged - set(found))


def _reports(
    kafka: KafkaSettings, timeout_s: float, client: Mapping[str, Any]
) -> tuple[dict[str, Made], dict[int, MonthReport]]:
    """Return candidates by id, of several records the first, and the records of months, of several the newest."""
    candidates, months = dict[str, Made](), dict[int, MonthReport]()
    for message in messages(kafka.bootstrap, topics.MODEL_REPORT, timeout_s, client):
        body = message.value() or b""
        try:
            said = _report(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("%s offset %s cannot be read: %s", topics.MODEL_REPORT, message.offset(), error)
            continue
        if isinstance(said, Candidate):
            candidates.setdefault(said.model_id, Made(candidate=said, at_ms=message.timestamp()[1]))
        else:
            months[said.month] = said
    return candidates, months
