"""From rows of the output book to records: which record, to which topic, under which key."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from detectors import cases
from detectors.case_life import ACTED, APPROVE, CHANGES, DISPOSITIONS
from detectors.episodes import TRANSITIONS
from detectors.rules.artefact import RuleSet
from detectors.rules.vocabulary import MODEL_CHANGED_30D
from detectors.scorecard import displayed
from domain import topics
from domain.calendar import day_of, month_of_day
from domain.outputs import SEVERITIES, DeadLetter, Observation
from domain.reject import Reason, Rejected
from features.indicators import CORE, INDICATORS
from features.indicators.nulls import NULL_NAMES, VALUE
from features.layout import id_text, id_texts
from sinks.batch import KeyAndValue, Records
from streams.dead_letters import to_dead_letters
from streams.score import alerts, case_records, outbook, outputs_json
from streams.score.columns import TakesColumns, alert_columns, columns_of, disposition_columns
from streams.score.json_text import micro
from streams.score.records import sender_of
from streams.transport import Chunk

Rows = npt.NDArray[np.void]  # of outbook.ROW
_FIELDS, _LINE = tuple(outbook.ROW.names or ()), tuple(cases.LINE.names or ())
_BOOK_ROWS = 3_072  # some megabytes: they stay in the cache
_encode = msgspec.json.Encoder().encode
_TOPIC_OF = {outbook.SCORE: topics.SCORE, outbook.INDICATORS: topics.INDICATOR}  # what outputs_json writes
# In the order of the refusals of detectors.case_life.
CASE_REASONS = (
    Reason.CASE_UNKNOWN, Reason.CASE_FOREIGN, Reason.CASE_FINISHED, Reason.CASE_OUT_OF_ORDER, Reason.CASE_BY_MAKER,
)  # fmt: skip
_LETTERS = {
    topics.LATE: {outbook.LATE: Rejected(reason=Reason.LATE, field="event_time")},
    topics.DEAD_LETTERS: {
        outbook.CONFLICT: Rejected(reason=Reason.CONFLICT, field="event_id"),
        **{
            outbook.REFUSED + i: Rejected(reason=reason, field=field)
            for i, (reason, field) in enumerate(
                zip(CASE_REASONS, ("case_id", "case_id", "case_id", "action", "actor"), strict=True)
            )
        },
    },
}


class Outgoing(NamedTuple):
    """Records to send to one topic, in the order of the log."""

    topic: str
    records: Records


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The artefacts in force as rows are written."""

    model_id: str
    probability_ppm: tuple[int, ...]
    rules_id: str
    rules: RuleSet  # whose signals the rows number: those before, while the episodes end that new rules do not have
    backfill: bool
    terms: outputs_json.Terms


class Writer:
    """Turns its book's rows into records. It owns the buffers that compiled code writes into.

    Between two calls of `Partition.apply` its book is empty and its counts are taken. So partitions that are applied
    one after the other share one, whose memory then stays in the cache.
    """

    def __init__(self, topics: Collection[str] | None = None, *, month_ends_only: bool = False) -> None:
        """Prepare a writer. topics: make only records of these, and count all others; None: make all.

        month_ends_only: of a day's indicators, make only those of a month's last day.
        """
        self.book = book = outbook.empty(_BOOK_ROWS)
        self.written: Counter[tuple[str, str, str]] = Counter()  # (kind, severity, state) of alerts sent, else ""
        self.days_closed: Counter[bool] = Counter()  # by whether the model had changed within 30 days
        self._outputs: Counter[str] = Counter()
        self._supervised: Counter[tuple[str, str]] = Counter()
        self.in_columns: TakesColumns | None = None
        """Takes scores, indicators, and alerts as the supervisor gets them: of these then no records are made.

        Of banks' cases it takes what they were disposed of as, where it takes alerts; alerts to banks and records of
        their cases are then neither made nor counted.
        """
        self._topics, self._month_ends_only = topics, month_ends_only
        self._out = np.empty(len(book.rows) * outputs_json.BYTES_MAX, np.uint8)

    def outgoing(self, state_id: Any, in_force: InForce, chunk: Chunk, row_of: Any) -> list[Outgoing]:
        """Return the records of all rows, and empty the book.

        `row_of` maps a record's index to its row in the chunk.
        """
        rows = self.book.rows[: self.book.used[0]]
        kinds, found = rows["kind"], list[Outgoing]()
        self._count(rows, kinds, in_force.backfill)
        for kind, topic in _TOPIC_OF.items():
            of_kind = self._wanted(rows, kinds, kind, topic)
            if len(of_kind) and self.in_columns is not None:
                self.in_columns.take(
                    columns_of(topic, rows, of_kind, state_id, in_force.model_id, in_force.probability_ppm)
                )
            elif len(of_kind):
                sizes = np.empty((len(of_kind), 2), np.int64)
                size = outputs_json.write(rows, of_kind, state_id, in_force.terms, self._out, sizes)
                found.append(Outgoing(topic, Records(self._out[:size].tobytes(), sizes)))
        for topic, why in _LETTERS.items():
            if self._makes(topic) and len(at := _in_order(rows, np.isin(kinds, list(why)))):
                keys = [text.encode() for text in id_texts(state_id[rows["slot"][at]])]
                letters = to_dead_letters(chunk, row_of[rows["record"][at]], [why[kind] for kind in kinds[at].tolist()])
                found.append(Outgoing(topic, Records.of([*zip(keys, map(_encode, letters), strict=True)])))
        one_by_one = (kinds == outbook.ALERT) | (kinds == outbook.CASE)
        if self.in_columns is not None:
            self._alerts_in_columns(self.in_columns, rows, kinds, state_id, in_force)
            one_by_one = np.zeros(len(rows), np.bool_)
        if self._makes(topics.OBSERVATION):
            one_by_one = one_by_one | (kinds == outbook.OBSERVATION)
        else:
            self._outputs[topics.OBSERVATION] += int((kinds == outbook.OBSERVATION).sum())
        others = defaultdict[str, list[KeyAndValue]](list)
        for b in rows[_in_order(rows, one_by_one)]:
            row = int(row_of[b["record"]]) if b["record"] >= 0 else None
            enterprise_id = id_text(state_id[b["slot"]])
            for topic, make in _others(b, self.book.lines, enterprise_id, in_force, chunk, row):
                self._outputs[topic] += 1
                if topic == topics.ALERT_SUPERVISOR:
                    self._supervised[SEVERITIES[b["level"] - 1], TRANSITIONS[b["transition"]]] += 1
                if self._makes(topic):
                    others[topic].append((enterprise_id.encode(), _encode(make())))
        self.book.used[0] = 0
        return found + [Outgoing(topic, Records.of(records)) for topic, records in others.items()]

    def _alerts_in_columns(
        self, taker: TakesColumns, rows: Rows, kinds: npt.NDArray[np.uint8], state_id: Any, in_force: InForce
    ) -> None:
        topic = topics.ALERT_BACKFILL if in_force.backfill else topics.ALERT_SUPERVISOR
        approved = _in_order(rows, (kinds == outbook.CASE) & (rows["life_change"] == ACTED + APPROVE))
        if len(approved) and self._makes(topic):
            taker.take_dispositions(disposition_columns(rows, approved, state_id))
        is_for_all = rows["to_bank"] == outbook.TO_ALL
        to_all = np.flatnonzero((kinds == outbook.ALERT) & is_for_all)
        taken = _in_order(rows, ((kinds == outbook.ALERT) | (kinds == outbook.WAITS)) & is_for_all)
        if not len(taken):
            return
        self._outputs[topic] += len(to_all)
        if not in_force.backfill:
            for (level, transition), count in _by_level_and_transition(rows, to_all):
                self._supervised[SEVERITIES[level - 1], TRANSITIONS[transition]] += count
        if self._makes(topic):
            taker.take_alerts(alert_columns(topic, rows, taken, state_id, in_force.rules, in_force.rules_id))

    def take_counts(self) -> tuple[Counter[str], Counter[tuple[str, str]]]:
        """Return the counts since the last call: outputs by topic, made or not.

        The supervisor's alerts by (severity, state).
        """
        taken = self._outputs, self._supervised
        self._outputs, self._supervised = Counter(), Counter()
        return taken

    def dead_letter(self, letter: DeadLetter) -> list[Outgoing]:
        """Return the output for a record that is no event."""
        self._outputs[topics.DEAD_LETTERS] += 1
        if not self._makes(topics.DEAD_LETTERS):
            return []
        return [Outgoing(topics.DEAD_LETTERS, Records.of([(None, _encode(letter))]))]

    def _makes(self, topic: str) -> bool:
        return self._topics is None or topic in self._topics

    def _wanted(self, rows: Rows, kinds: npt.NDArray[np.uint8], kind: int, topic: str) -> npt.NDArray[np.intp]:
        """Return the indexes of the rows of a kind to make records of, in the order of the log."""
        if not self._makes(topic):
            return np.empty(0, np.intp)
        of_kind = _in_order(rows, kinds == kind)
        if kind == outbook.INDICATORS and self._month_ends_only:
            of_kind = of_kind[_end_months(rows["as_of_ms"][of_kind])]
        return of_kind

    def _count(self, rows: Rows, kinds: npt.NDArray[np.uint8], backfill: bool) -> None:
        counts = np.bincount(kinds, minlength=outbook.KINDS).tolist()
        self.written["score", "", ""] += counts[outbook.SCORE]
        self.written["observation", "", ""] += counts[outbook.OBSERVATION]
        self.written["indicator", "", ""] += counts[outbook.INDICATORS]
        if days := counts[outbook.INDICATORS]:
            changed = int(rows["value"][kinds == outbook.INDICATORS, MODEL_CHANGED_30D].sum())
            self.days_closed += Counter({False: days - changed, True: changed})
        if counts[outbook.ALERT] and not backfill:
            for (level, transition), count in _by_level_and_transition(rows, np.flatnonzero(kinds == outbook.ALERT)):
                self.written["alert", SEVERITIES[level - 1], TRANSITIONS[transition]] += count
        if counts[outbook.CASE] and not backfill:
            for b in rows[kinds == outbook.CASE]:
                severity = SEVERITIES[b["life_level"] - 1] if b["life_level"] else ""
                self.written["case", severity, CHANGES[b["life_change"] - 1]] += 1
        for kind, topic in _TOPIC_OF.items():
            self._outputs[topic] += counts[kind]
        for topic, why in _LETTERS.items():
            self._outputs[topic] += sum(counts[kind] for kind in why)


def _by_level_and_transition(rows: Rows, at: npt.NDArray[np.intp]) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield how many of the rows at these indexes have each (level, transition)."""
    pairs = rows["level"][at].astype(np.int64) * len(TRANSITIONS) + rows["transition"][at]
    for pair, count in zip(*np.unique(pairs, return_counts=True), strict=True):
        yield divmod(int(pair), len(TRANSITIONS)), int(count)


def _in_order(rows: Rows, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the indexes of the chosen rows in the order of the log: records were applied enterprise by enterprise."""
    at = np.flatnonzero(chosen)
    return at[np.argsort(rows["offset"][at], kind="stable")]


def _end_months(as_of_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return for each time whether it is the end of a month's last day."""
    return np.array([*map(_ends_month, as_of_ms.tolist())], np.bool_)


@lru_cache(1_000)
def _ends_month(as_of_ms: int) -> bool:
    return month_of_day(day_of(as_of_ms)) != month_of_day(day_of(as_of_ms - 1))


def _others(
    b: Any, lines: Rows, enterprise_id: str, in_force: InForce, chunk: Chunk, row: int | None
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield (topic, function that makes the output) for row `b`; `row` is the index of its record in the chunk.

    lines: those of the book.
    """
    b = dict(zip(_FIELDS, b.item(), strict=True))  # a field of a row of numpy's costs half a microsecond
    if b["kind"] == outbook.OBSERVATION:
        yield topics.OBSERVATION, partial(_observation, b, enterprise_id, in_force)
    elif b["kind"] == outbook.CASE:
        if not in_force.backfill:  # nobody is told: at its end each case that is open stands in a list
            yield from case_records.addressed(b, enterprise_id, chunk, row)
    else:
        assert b["kind"] == outbook.ALERT
        if b["case_lines"] != outbook.NO_LINES:
            filled = lines[b["case_lines"], : b["case_episodes"]].tolist()
            b["lines"] = [dict(zip(_LINE, line, strict=True)) for line in filled]
        sources = alerts.Sources(
            enterprise_id=enterprise_id,
            model_id=in_force.model_id,
            rules_id=in_force.rules_id,
            rules=in_force.rules,
            backfill=in_force.backfill,
            sender=None if row is None else sender_of(chunk, row),
        )
        yield from alerts.addressed(b, sources)


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
        values_micro={
            name: None if x is None else int(micro(x)) for name, x in alerts.values_of(b, INDICATORS).items()
        },
        nulls={name: NULL_NAMES[b["null"][i]] for i, name in enumerate(INDICATORS) if b["null"][i] != VALUE},
        model_id=in_force.model_id,
        offset=offset,
        seq=seq,
        provisional_calendar=alerts.provisional(b),
        dispositions=tuple(one for code, one in enumerate(DISPOSITIONS, 1) if b["disposed"] >> code & 1) or UNSET,
    )
