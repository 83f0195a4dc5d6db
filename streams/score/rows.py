"""From rows of the output book to messages: what, to which topic, under which key."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from detectors import wording
from detectors.episodes import TRANSITIONS
from detectors.rules.artefact import RuleSet
from detectors.rules.vocabulary import SLOT_OF
from detectors.scorecard import displayed
from domain import topics
from domain.calendar import day_of
from domain.outputs import (
    SEVERITIES,
    Alert,
    Evidence,
    LoanOfAlert,
    Observation,
)
from domain.reject import Reason, Rejected
from features.indicators import CORE
from features.indicators.core import VALUE
from features.layout import id_text
from streams.dead_letter import letter_of
from streams.score import outbook, score_json
from streams.score.outbook import Book
from streams.score.records import bank_text, sender_of
from streams.score.score_json import micro
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
_EPISODE_SEVERITY = (None, *SEVERITIES)


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
    probability_ppm: tuple[int, ...]
    rules: RuleSet
    backfill: bool
    terms: score_json.Terms


class Writer:
    """Turns the book's rows into messages. It owns the bytes that score records are written into."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.written: Counter[tuple[str, str, str]] = Counter()  # (kind, severity, state) of alerts sent, else ""
        self._out = np.empty(len(book.rows) * score_json.BYTES_MAX, np.uint8)
        self._end = np.zeros(len(book.rows), np.int64)

    def messages(self, state_id: Any, in_force: InForce, chunk: Chunk, row_of: Any) -> Iterator[Message]:
        """The messages of all rows, in their order; the book is empty after it.

        `row_of` maps a record's index to its row in the chunk.
        """
        used = int(self._book.used[0])
        rows = self._book.rows[:used]
        self._count(rows, in_force.backfill)
        score_json.write(rows, used, state_id, in_force.terms, self._out, self._end)
        written = self._out[: self._end[used - 1] if used else 0].tobytes()
        ids = state_id[rows["slot"]]
        begin = 0
        for b, kind, offset, words, end in zip(
            rows, rows["kind"].tolist(), rows["offset"].tolist(), ids, self._end[:used].tolist(), strict=True
        ):
            key = words.tobytes().rstrip(b"\0")
            if kind == outbook.SCORE:
                yield Message(topics.SCORE, key, written[begin:end], offset)
            else:
                record = int(b["record"])
                yield from _others(b, kind, key, in_force, chunk, int(row_of[record]) if record >= 0 else None)
            begin = end
        self._book.used[0] = 0

    def _count(self, rows: npt.NDArray[np.void], backfill: bool) -> None:
        kinds = np.bincount(rows["kind"], minlength=outbook.OBSERVATION + 1)
        self.written["score", "", ""] += int(kinds[outbook.SCORE])
        self.written["observation", "", ""] += int(kinds[outbook.OBSERVATION])
        if kinds[outbook.ALERT] and not backfill:
            for b in rows[rows["kind"] == outbook.ALERT]:
                self.written["alert", _EPISODE_SEVERITY[b["level"]] or "", TRANSITIONS[b["transition"]]] += 1


def _others(b: Any, kind: int, key: bytes, in_force: InForce, chunk: Chunk, row: int | None) -> Iterator[Message]:
    """The messages of a row that is no score record; `row` is where in the chunk its record stands."""
    offset = int(b["offset"])
    if kind == outbook.OBSERVATION:
        yield Message(topics.OBSERVATION, key, _encode(_observation(b, key.decode(), in_force)), offset)
    elif kind == outbook.ALERT:
        yield from _alerts(b, key.decode(), in_force, None if row is None else sender_of(chunk, row))
    else:
        assert row is not None
        late = kind == outbook.LATE
        reason, field = (Reason.LATE, "event_time") if late else (Reason.CONFLICT, "event_id")
        letter = letter_of(chunk, row, Rejected(reason=reason, field=field))
        yield Message(topics.LATE if late else topics.DEAD_LETTERS, key, _encode(letter), offset)


def _values(b: Any, names: tuple[str, ...]) -> dict[str, float | None]:
    slots = [(name, SLOT_OF[name]) for name in names if name in SLOT_OF]
    return {name: float(b["value"][i]) if b["null"][i] == VALUE else None for name, i in slots}


def _observation(b: Any, enterprise_id: str, in_force: InForce) -> Observation:
    offset, seq, milli = int(b["offset"]), int(b["seq"]), int(b["score_milli"])
    grant = b["record"] >= 0
    as_of = int(b["as_of_ms"])
    identity = f"{enterprise_id}|{'grant' if grant else 'month'}|{as_of}|{offset}|{seq}"
    return Observation(
        observation_id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        enterprise_id=enterprise_id,
        kind="grant" if grant else "month",
        loan_id=id_text(b["granted"]) if grant else None,
        day=day_of(as_of - 1),
        as_of=as_of,
        score_milli=milli,
        p_overdue30_90d_ppm=in_force.probability_ppm[displayed(milli) - 400],
        utilities_ppm={name: int(micro(b["u"][i])) for i, name in enumerate(CORE)},
        values_micro={name: None if x is None else int(micro(x)) for name, x in _values(b, CORE).items()},
        model_id=in_force.model_id,
        offset=offset,
        seq=seq,
    )


def _alerts(b: Any, enterprise_id: str, in_force: InForce, sender: tuple[str, str] | None) -> Iterator[Message]:
    """One message for the supervisor, and one for each lender with an open loan and a valid authorization."""
    lenders = _lenders(b)
    alert = _alert(b, enterprise_id, in_force, banded=False, banks=sorted(lenders))
    key = enterprise_id.encode()
    if in_force.backfill:
        yield Message(topics.ALERT_BACKFILL, key, _encode(alert), alert.offset)
        return
    event_ids = [sender[1]] if sender else []
    yield Message(
        topics.ALERT_SUPERVISOR, key, _encode(msgspec.structs.replace(alert, event_ids=event_ids)), alert.offset
    )
    for bank_id, lender in sorted(lenders.items()):
        if not lender.authorized:
            continue
        to_bank = msgspec.structs.replace(
            _alert(b, enterprise_id, in_force, banded=lender.others in (1, 2), banks=[bank_id]),
            loans=lender.loans,
            event_ids=event_ids if sender and sender[0] == bank_id else [],  # another bank's are not shown
        )
        yield Message(topics.bank_alerts(bank_id), key, _encode(to_bank), alert.offset)


def _alert(b: Any, enterprise_id: str, in_force: InForce, *, banded: bool, banks: list[str]) -> Alert:
    """The alert of a row; `banded`: amounts as bands, so that no bank subtracts its way to a competitor's flow."""
    signal = in_force.rules.standing[b["signal"]].row
    severity = _EPISODE_SEVERITY[b["level"]]
    assert severity is not None
    state: Any = TRANSITIONS[b["transition"]]
    values = _values(b, signal.evidence)
    bands = {name: wording.band_zh(name, x) if banded else None for name, x in values.items()}
    score, before = displayed(int(b["score_milli"])), displayed(int(b["score_before_milli"]))
    facts = {name: bands[name] or wording.value_zh(name, x) for name, x in values.items()}
    title, text, action = wording.alert_zh(signal, severity, state, facts, score, before)
    opened = f"{enterprise_id}|{signal.id}|{b['opened_ms']}|{b['opened_offset']}"
    episode = hashlib.sha256(opened.encode()).hexdigest()[:32]
    return Alert(
        alert_id=episode,
        episode_id=episode,
        revision=int(b["revision"]),
        enterprise_id=enterprise_id,
        signal=signal.id,
        severity=severity,
        state=state,
        stock=bool(b["stock"]),
        opened_at=int(b["opened_ms"]),
        as_of=int(b["as_of_ms"]),
        score=score,
        score_before=before,
        evidence=[
            Evidence(name=name, value_micro=None if x is None or bands[name] else int(micro(x)), band=bands[name])
            for name, x in values.items()
        ],
        event_ids=[],
        loans=[],
        banks=banks,
        title_zh=title,
        text_zh=text,
        suggested_action_zh=action,
        model_id=in_force.model_id,
        rules_id=in_force.rules.id,
        offset=int(b["offset"]),
        seq=int(b["seq"]),
    )


@dataclass(slots=True)
class _Lender:
    """A bank with an open loan to the enterprise, as of the row."""

    authorized: bool
    others: int  # other banks that the enterprise's flow comes from
    loans: list[LoanOfAlert]


def _lenders(b: Any) -> dict[str, _Lender]:
    lenders: dict[str, _Lender] = {}
    for i in np.flatnonzero(b["loan_open"]):
        slot = b["loan_bank"][i]
        dpd = int(b["loan_dpd"][i])
        loan = LoanOfAlert(
            loan_id=id_text(b["loan"][i]),
            outstanding_minor=int(b["loan_outstanding"][i]),
            dpd=None if dpd < 0 else dpd,
        )
        others = int(b["contributes"].sum()) - int(b["contributes"][slot])
        lender = _Lender(authorized=bool(b["authorized"][slot]), others=others, loans=[])
        lenders.setdefault(bank_text(int(b["bank"][slot])), lender).loans.append(loan)
    return lenders
