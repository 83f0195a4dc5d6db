"""From rows of the output book to messages: what, to which topic, under which key."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from config.catalogue import indicators
from detectors import scorecard, wording
from detectors.episodes import TRANSITIONS
from detectors.signals import standing
from detectors.snapshot import MICRO, Snapshot
from domain import topics
from domain.calendar import day_of
from domain.outputs import (
    GROUPS,
    SEVERITIES,
    Alert,
    Evidence,
    LoanOfAlert,
    Observation,
    ReasonCode,
    Score,
)
from domain.reject import Reason, Rejected
from features.indicators import CORE
from features.indicators.core import VALUE
from features.layout import id_text
from streams.dead_letter import letter_of
from streams.score import outbook
from streams.score.outbook import Book
from streams.score.records import bank_text, sender_of
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
_EPISODE_SEVERITY = (None, *SEVERITIES)
_GROUP_OF_CORE = tuple(indicators()[name].group for name in CORE)


class Message(NamedTuple):
    """One record to send; `mark` is the offset of the log record that it follows from."""

    topic: str
    key: bytes | None
    value: bytes
    mark: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The artefacts under which rows are written."""

    model_id: str
    snapshot: Snapshot
    probability_ppm: tuple[int, ...]
    rules_id: str
    engine_version: str
    backfill: bool


def messages(book: Book, state_id: Any, in_force: InForce, chunk: Chunk, row_of: Any) -> Iterator[Message]:
    """The messages of all rows of the book, in their order. `row_of` maps a record's index to its row in the chunk."""
    for b in book.rows[: book.used[0]]:
        kind, offset = int(b["kind"]), int(b["offset"])
        enterprise_id = id_text(state_id[b["slot"]])
        key = enterprise_id.encode()
        if kind == outbook.SCORE:
            yield Message(topics.SCORE, key, _encode(_score(b, enterprise_id, in_force)), offset)
        elif kind == outbook.OBSERVATION:
            yield Message(topics.OBSERVATION, key, _encode(_observation(b, enterprise_id, in_force)), offset)
        elif kind == outbook.ALERT:
            sender = sender_of(chunk, int(row_of[b["record"]])) if b["record"] >= 0 else None
            yield from _alerts(b, enterprise_id, in_force, sender)
        else:
            late = kind == outbook.LATE
            rejected = Rejected(
                reason=Reason.LATE if late else Reason.CONFLICT, field="event_time" if late else "event_id"
            )
            letter = letter_of(chunk, int(row_of[b["record"]]), rejected)
            yield Message(topics.LATE if late else topics.DEAD_LETTERS, key, _encode(letter), offset)


def _micro(x: float) -> int:
    return int(np.rint(x * MICRO))


def _values(b: Any) -> dict[str, float | None]:
    return {name: float(b["value"][i]) if b["null"][i] == VALUE else None for i, name in enumerate(CORE)}


def _score(b: Any, enterprise_id: str, in_force: InForce) -> Score:
    milli, cap = int(b["score_milli"]), int(b["cap_milli"])
    groups = dict.fromkeys(GROUPS, 0)
    snapshot, values = in_force.snapshot, _values(b)
    for i, group in enumerate(_GROUP_OF_CORE):
        groups[group] += int(b["points_milli"][i])
    reasons = []
    for i in b["reasons"]:
        if i < 0:
            break
        name = CORE[i]
        points = int(b["points_milli"][i]) - snapshot.weights_milli[name] // 2
        baseline, value = snapshot.anchors_micro[name][2], values[name]
        reasons.append(
            ReasonCode(
                indicator=name,
                points_milli=points,
                value_micro=None if value is None else _micro(value),
                baseline_micro=baseline,
                text_zh=wording.reason_zh(name, value, baseline / MICRO, points),
            )
        )
    shown = displayed(milli)
    return Score(
        enterprise_id=enterprise_id,
        score=shown,
        score_milli=milli,
        p_overdue30_90d_ppm=in_force.probability_ppm[shown - 400],
        pd_12m_ppm=None,
        status=scorecard.STATUS_NAMES[b["status"]],  # type: ignore[arg-type]
        status_reason=scorecard.STATUS_REASONS[b["status_reason"]],
        grade=scorecard.GRADES[int(scorecard.grade_of(milli))],  # type: ignore[arg-type]
        published_grade=scorecard.GRADES[b["published_grade"]],  # type: ignore[arg-type]
        groups_milli=groups,
        cap_milli=cap,
        coverage_ppm=int(b["coverage_ppm"]),
        prior=snapshot.prior,
        reason_codes=reasons,
        model_id=in_force.model_id,
        rules_id=in_force.rules_id,
        engine_version=in_force.engine_version,
        as_of=int(b["as_of_ms"]),
        offset=int(b["offset"]),
        seq=int(b["seq"]),
    )


def displayed(score_milli: int) -> int:
    """Millipoints as the integer that people see (half to even)."""
    return round(score_milli / 1000)


def _observation(b: Any, enterprise_id: str, in_force: InForce) -> Observation:
    offset, seq, milli = int(b["offset"]), int(b["seq"]), int(b["score_milli"])
    grant = b["record"] >= 0
    as_of = int(b["as_of_ms"])
    identity = f"{enterprise_id}|{'grant' if grant else 'month'}|{as_of}|{offset}|{seq}"
    return Observation(
        observation_id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        enterprise_id=enterprise_id,
        kind="grant" if grant else "month",
        loan_id=None,
        day=day_of(as_of - 1),
        as_of=as_of,
        score_milli=milli,
        p_overdue30_90d_ppm=in_force.probability_ppm[displayed(milli) - 400],
        utilities_ppm={name: _micro(b["u"][i]) for i, name in enumerate(CORE)},
        values_micro={name: None if x is None else _micro(x) for name, x in _values(b).items()},
        model_id=in_force.model_id,
        offset=offset,
        seq=seq,
    )


def _alerts(b: Any, enterprise_id: str, in_force: InForce, sender: tuple[str, str] | None) -> Iterator[Message]:
    """One message for the supervisor, and one for each lender with an open loan and a valid authorization."""
    signal = standing()[b["signal"]]
    severity = _EPISODE_SEVERITY[b["level"]]
    assert severity is not None
    state: Any = TRANSITIONS[b["transition"]]
    values = {name: x for name, x in _values(b).items() if name in signal.evidence}
    score, before = displayed(int(b["score_milli"])), displayed(int(b["score_before_milli"]))
    title, text, action = wording.alert_zh(signal, severity, state, values, score, before)
    opened = int(b["opened_ms"])
    episode = hashlib.sha256(f"{enterprise_id}|{signal.id}|{opened}".encode()).hexdigest()[:32]
    lenders = _lenders(b)
    alert = Alert(
        alert_id=episode,
        episode_id=episode,
        revision=int(b["revision"]),
        enterprise_id=enterprise_id,
        signal=signal.id,
        severity=severity,
        state=state,
        stock=bool(b["stock"]),
        opened_at=opened,
        as_of=int(b["as_of_ms"]),
        score=score,
        score_before=before,
        evidence=[Evidence(name=name, value_micro=None if x is None else _micro(x)) for name, x in values.items()],
        event_ids=[],
        loans=[],
        banks=sorted(lenders),
        title_zh=title,
        text_zh=text,
        suggested_action_zh=action,
        model_id=in_force.model_id,
        rules_id=in_force.rules_id,
        offset=int(b["offset"]),
        seq=int(b["seq"]),
    )
    key = enterprise_id.encode()
    if in_force.backfill:
        yield Message(topics.ALERT_BACKFILL, key, _encode(alert), alert.offset)
        return
    event_ids = [sender[1]] if sender else []
    to_supervisor = msgspec.structs.replace(alert, event_ids=event_ids)
    yield Message(topics.ALERT_SUPERVISOR, key, _encode(to_supervisor), alert.offset)
    for bank_id, (authorized, loans) in sorted(lenders.items()):
        if authorized:
            own = event_ids if sender and sender[0] == bank_id else []  # another bank's transactions are not shown
            to_bank = msgspec.structs.replace(alert, loans=loans, banks=[bank_id], event_ids=own)
            yield Message(topics.bank_alerts(bank_id), key, _encode(to_bank), alert.offset)


def _lenders(b: Any) -> dict[str, tuple[bool, list[LoanOfAlert]]]:
    """Banks with an open loan: whether they are authorized now, and their loans."""
    lenders: dict[str, tuple[bool, list[LoanOfAlert]]] = {}
    for i in np.flatnonzero(b["loan_open"]):
        slot = b["loan_bank"][i]
        dpd = int(b["loan_dpd"][i])
        loan = LoanOfAlert(
            loan_id=id_text(b["loan"][i]),
            outstanding_minor=int(b["loan_outstanding"][i]),
            dpd=None if dpd < 0 else dpd,
        )
        bank_id = bank_text(int(b["bank"][slot]))
        lenders.setdefault(bank_id, (bool(b["authorized"][slot]), []))[1].append(loan)
    return lenders
