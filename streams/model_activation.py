"""Whether a candidate may come into force by learn's word alone. Pure.

Learn asks this before it asks ingest, and ingest before it grants: learn's word is not enough for it.
"""

from __future__ import annotations

from config.settings import LearnSettings
from detectors.learning.guard import is_due
from detectors.scorecard import scorecard
from detectors.snapshot import SnapshotError
from domain.calendar import date_of
from domain.events import LEARN, Control
from domain.outputs import ActivationRequest
from domain.reject import Reason, Rejected
from streams.model_history import Made, ModelHistory


def refusal(history: ModelHistory, model_id: str, learn: LearnSettings) -> Rejected | None:
    """Return why a model may not come into force without an operator now; None where it may."""
    if learn.activation != "auto":
        return _rejected(Reason.ACTIVATION_OFF, f"[learn] activation is {learn.activation}")
    made = history.candidates.get(model_id)
    if made is None or model_id not in history.models:
        return _rejected(Reason.MODEL_UNKNOWN, "no candidate that learn has published")
    if made.candidate.status != "proposed":
        codes = ", ".join(dict.fromkeys(one.code for one in made.candidate.reasons))
        return _rejected(Reason.MODEL_HELD, f"held: {codes}")
    try:
        snapshot = history.snapshot(model_id)
        scorecard(snapshot)
    except SnapshotError:
        return _rejected(Reason.MODEL_HELD, "this engine cannot score with it")
    newest = history.newest_of(made.candidate.kind)
    if newest is not None and newest.candidate != made.candidate:
        return _rejected(Reason.MODEL_OVERTAKEN, f"a candidate of month {newest.candidate.month} is out")
    if any(one.control.action == "activate" and one.control.artefact_id == model_id for one in history.said):
        return _rejected(Reason.MODEL_OVERTAKEN, "it was activated before")
    if history.paused_by is not None:
        return _rejected(Reason.MODEL_PAUSED, "an operator went back to an earlier model, until model resume")
    moves_scores = not snapshot.scores_as(history.snapshot(history.in_force_id))
    if not is_due(made.day, history.last_switch_day, learn, moves_scores=moves_scores):
        return _rejected(Reason.MODEL_TOO_SOON, f"{learn.switch_days_min} days lie between two switches")
    if made.candidate.in_force_id != history.in_force_id:
        return _rejected(Reason.MODEL_OVERTAKEN, "the guard compared it with another model than is in force now")
    return None


def is_granted(history: ModelHistory, request: ActivationRequest) -> bool:
    """Return whether the first decision since what learn knew of was to grant this request."""
    first = next((one.control for one in history.said if one.offset >= request.decided_offset), None)
    return first is not None and first.is_of_learn and first.artefact_id == request.model_id


def overtaken(history: ModelHistory, request: ActivationRequest) -> Rejected | None:
    """Return a refusal where learn did not know of every decision on models; None where it did."""
    if history.decided_offset == request.decided_offset:
        return None
    return _rejected(Reason.MODEL_OVERTAKEN, f"decisions on models reach to offset {history.decided_offset}")


def activation(made: Made) -> Control:
    """Return the control record that brings a candidate into force by learn's word."""
    candidate = made.candidate
    return Control(
        control_id=f"learn-{candidate.model_id[:40]}",
        action="activate",
        artefact="model",
        artefact_id=candidate.model_id,
        by=LEARN,
        reason=f"{candidate.new_labels_count} labels matured up to {date_of(made.day)}",
    )


def _rejected(reason: Reason, detail: str) -> Rejected:
    return Rejected(reason=reason, field="model_id", detail=detail)
