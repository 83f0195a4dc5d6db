"""From rows of the output book to messages: what, to which topic, under which key."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.episodes import TRANSITIONS
from detectors.rules.artefact import RuleSet
from detectors.scorecard import displayed
from domain import topics
from domain.calendar import day_of
from domain.ids import ENTERPRISE_ID_BYTES_MAX
from domain.outputs import (
    SEVERITIES,
    Observation,
)
from domain.reject import Reason, Rejected
from features.indicators import CORE
from features.layout import id_text
from streams.dead_letter import letter_of
from streams.score import alerts, outbook, outputs_json
from streams.score.json_text import micro
from streams.score.outbook import Book
from streams.score.records import sender_of
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
_COMPILED = {outbook.SCORE: topics.SCORE, outbook.INDICATORS: topics.INDICATOR}  # what outputs_json writes


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
    rules_id: str
    rules: RuleSet  # whose signals the rows number: those before, while the episodes end that new rules do not have
    backfill: bool
    terms: outputs_json.Terms


class Writer:
    """Turns the book's rows into messages. It owns the bytes that compiled code writes into."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.written: Counter[tuple[str, str, str]] = Counter()  # (kind, severity, state) of alerts sent, else ""
        self._out = np.empty(len(book.rows) * outputs_json.BYTES_MAX, np.uint8)
        self._end = np.zeros(len(book.rows), np.int64)

    def messages(self, state_id: Any, in_force: InForce, chunk: Chunk, row_of: Any) -> list[Message]:
        """The messages of all rows, in their order; the book is empty after it.

        `row_of` maps a record's index to its row in the chunk.
        """
        used = int(self._book.used[0])
        rows = self._book.rows[:used]
        self._count(rows, in_force.backfill)
        outputs_json.write(rows, used, state_id, in_force.terms, self._out, self._end)
        ends = self._end[:used].tolist()
        written = self._out[: ends[-1] if used else 0].tobytes()
        keys = state_id[rows["slot"]].view(f"S{ENTERPRISE_ID_BYTES_MAX}").ravel().tolist()  # without their padding
        messages, begin = [], 0
        for i, (kind, key, offset, end) in enumerate(
            zip(rows["kind"].tolist(), keys, rows["offset"].tolist(), ends, strict=True)
        ):
            if end > begin:
                messages.append(Message(_COMPILED[kind], key, written[begin:end], offset))
                begin = end
            else:
                record = int(rows[i]["record"])
                row = int(row_of[record]) if record >= 0 else None
                messages += _others(rows[i], kind, key, in_force, chunk, row)
        self._book.used[0] = 0
        return messages

    def _count(self, rows: npt.NDArray[np.void], backfill: bool) -> None:
        kinds = np.bincount(rows["kind"], minlength=outbook.INDICATORS + 1)
        self.written["score", "", ""] += int(kinds[outbook.SCORE])
        self.written["observation", "", ""] += int(kinds[outbook.OBSERVATION])
        self.written["indicator", "", ""] += int(kinds[outbook.INDICATORS])
        if kinds[outbook.ALERT] and not backfill:
            for b in rows[rows["kind"] == outbook.ALERT]:
                self.written["alert", SEVERITIES[b["level"] - 1], TRANSITIONS[b["transition"]]] += 1


def _others(b: Any, kind: int, key: bytes, in_force: InForce, chunk: Chunk, row: int | None) -> Iterator[Message]:
    """The messages of a row that is no score record; `row` is where in the chunk its record stands."""
    offset = int(b["offset"])
    if kind == outbook.OBSERVATION:
        yield Message(topics.OBSERVATION, key, _encode(_observation(b, key.decode(), in_force)), offset)
    elif kind == outbook.ALERT:
        sources = alerts.Sources(
            enterprise_id=key.decode(),
            model_id=in_force.model_id,
            rules_id=in_force.rules_id,
            rules=in_force.rules,
            backfill=in_force.backfill,
            sender=None if row is None else sender_of(chunk, row),
        )
        for topic, alert in alerts.addressed(b, sources):
            yield Message(topic, key, _encode(alert), offset)
    else:
        assert row is not None
        late = kind == outbook.LATE
        reason, field = (Reason.LATE, "event_time") if late else (Reason.CONFLICT, "event_id")
        letter = letter_of(chunk, row, Rejected(reason=reason, field=field))
        yield Message(topics.LATE if late else topics.DEAD_LETTERS, key, _encode(letter), offset)


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
        values_micro={name: None if x is None else int(micro(x)) for name, x in alerts.values_of(b, CORE).items()},
        model_id=in_force.model_id,
        offset=offset,
        seq=seq,
    )
