"""Collector of the outputs that a backtest needs, as columns, partition by partition while the log is replayed.

Of `indicator.v1` it keeps the month ends, of the scores the last of each day, and each that was the
newest one at a month's close.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.episodes import RETRACTED, TRANSITIONS
from detectors.learning.statistics import Flags, Ints
from domain import topics
from domain.calendar import DAY_MS, ZONE_OFFSET_MS, month_of_day
from replay.backtest.columns import SEQ_BITS, Names
from streams.score.columns import AlertColumns, DispositionColumns
from streams.score.columns import Columns as Outputs
from streams.score.records import bank_text

TOPICS = frozenset({topics.SCORE, topics.INDICATOR, topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL})
OVER = frozenset({"ended", "cleared", "retracted", "closed"})
IS_OVER = np.array([state in OVER for state in TRANSITIONS])
COMPACTED_AT = 1_000_000  # rows of scores that wait, at least
SCORES = ("enterprise", "order", "as_of", "milli", "ppm", "model")
MONTHS = ("enterprise", "order", "as_of", "day")
EPISODE = ("enterprise", "signal", "opened_ms", "opened_offset", "about_bank")  # what an episode is known by
REVISIONS = (*EPISODE, "order", "as_of", "level", "waits", "retracted", "case", "rules")
CONCERNED = ("revision", "bank", "level")
DISPOSED = ("enterprise", "bank", "order", "as_of", "level", "disposition")


@dataclass(slots=True, kw_only=True)
class Collected:
    """The outputs of one partition; enterprises, banks, signals, models and rules are indices into its own tables."""

    partition: int
    enterprises: tuple[str, ...]
    banks: tuple[str, ...]
    signals: tuple[str, ...]
    models: tuple[str, ...]
    rules: tuple[str, ...]
    scores: dict[str, Ints]  # of SCORES: the last of each day
    months: dict[str, Ints]  # of MONTHS: a month's last day as it closed
    values: npt.NDArray[np.float32]  # of features.indicators.INDICATORS, (rows of months, indicators), NaN where null
    revisions: dict[str, Ints]  # of REVISIONS, and episode, a number; level 0: it has ended; case: the case's level
    concerned: dict[str, Ints]  # of CONCERNED: the banks that a revision concerns, and the level of their cases
    disposed: dict[str, Ints]  # of DISPOSED: cases of banks that were disposed of, and as what


class _Numbers(dict[bytes, int]):
    """Dictionary encoding of ids: each new id gets the next index."""

    def __missing__(self, one: bytes) -> int:
        self[one] = found = len(self)
        return found


class Collector:
    """A consumer of the replay (replay/partition_run.py): outputs come in the order of each enterprise's log."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._enterprises, self._banks, self._signals = _Numbers(), Names(), Names()
        self._models, self._rules = Names(), Names()
        self._scores: list[Ints] = []  # pieces, (rows, SCORES)
        self._waiting, self._compacted = 0, 0  # rows
        self._months: list[Ints] = []
        self._values: list[npt.NDArray[np.float32]] = []
        self._revisions: list[Ints] = []
        self._concerned: list[Ints] = []
        self._disposed: list[Ints] = []
        self._revised = 0  # rows

    def take(self, columns: Outputs) -> None:
        """Append scores or indicators."""
        enterprise = self._numbers(columns.enterprise_id)
        order = columns.offset << SEQ_BITS | columns.seq
        if columns.topic == topics.INDICATOR:
            day = _day_before(columns.as_of_ms)
            self._months.append(np.stack((enterprise, order, columns.as_of_ms, day), axis=1))
            self._values.append(columns.values.astype(np.float32))
            return
        model = np.full(len(order), self._models[columns.model_id], np.int64)
        milli, ppm = columns.score_milli.astype(np.int64), columns.p_overdue30_90d_ppm
        self._scores.append(np.stack((enterprise, order, columns.as_of_ms, milli, ppm, model), axis=1))
        self._waiting += len(order)
        if self._waiting > COMPACTED_AT + self._compacted:
            self._compact()

    def take_alerts(self, columns: AlertColumns) -> None:
        """Append revisions of alerts. Those that a backfill holds back count like all others."""
        n = len(columns.offset)
        raised, signal = np.unique(columns.signal, return_inverse=True)
        names = [columns.signals[place] for place in raised.tolist()]
        cells = {
            "enterprise": self._numbers(columns.enterprise_id),
            "signal": np.array([self._signals[name] for name in names], np.int64)[signal],
            "opened_ms": columns.opened_ms,
            "opened_offset": columns.opened_offset,
            "about_bank": columns.about_bank,
            "order": columns.offset << SEQ_BITS | columns.seq,
            "as_of": columns.as_of_ms,
            "level": np.where(IS_OVER[columns.transition], 0, columns.level),
            "waits": columns.waits,
            "retracted": columns.transition == RETRACTED,
            "case": columns.case_level,
            "rules": np.full(n, self._rules[columns.rules_id], np.int64),
        }
        self._revisions.append(np.stack([cells[name] for name in REVISIONS], axis=1).astype(np.int64))
        codes, which = np.unique(columns.concerned_bank, return_inverse=True)
        bank = np.array([self._banks[bank_text(code)] for code in codes.tolist()], np.int64)[which]
        level = columns.concerned_level.astype(np.int64)
        self._concerned.append(np.stack((columns.concerned_row + self._revised, bank, level), axis=1))
        self._revised += n

    def take_dispositions(self, columns: DispositionColumns) -> None:
        """Append dispositions of cases."""
        cells = {
            "enterprise": self._numbers(columns.enterprise_id),
            "bank": np.array([self._banks[bank_text(code)] for code in columns.bank.tolist()], np.int64),
            "order": columns.offset << SEQ_BITS | columns.seq,
            "as_of": columns.as_of_ms,
            "level": columns.level,
            "disposition": columns.disposition,
        }
        self._disposed.append(np.stack([cells[name] for name in DISPOSED], axis=1).astype(np.int64))

    def write(self, topic: str, records: Any) -> None:
        """Raise AssertionError: every wanted topic comes as columns."""
        raise AssertionError(f"{len(records)} records of {topic}")

    def finish(self) -> Collected:
        """Return the collected columns."""
        scores = self._compact()
        months = np.concatenate([np.empty((0, len(MONTHS)), np.int64), *self._months])
        table = np.concatenate([np.empty((0, len(REVISIONS)), np.int64), *self._revisions])
        revisions = {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(REVISIONS)}
        revisions["episode"] = _numbered([revisions[name] for name in EPISODE])
        concerned = np.concatenate([np.empty((0, len(CONCERNED)), np.int64), *self._concerned])
        disposed = np.concatenate([np.empty((0, len(DISPOSED)), np.int64), *self._disposed])
        return Collected(
            partition=self.partition,
            enterprises=tuple(one.decode() for one in self._enterprises),
            banks=self._banks.texts,
            signals=self._signals.texts,
            models=self._models.texts,
            rules=self._rules.texts,
            scores={name: np.ascontiguousarray(scores[:, i]) for i, name in enumerate(SCORES)},
            months={name: np.ascontiguousarray(months[:, i]) for i, name in enumerate(MONTHS)},
            values=np.concatenate(self._values) if self._values else np.empty((0, 0), np.float32),
            revisions=revisions,
            concerned={name: np.ascontiguousarray(concerned[:, i]) for i, name in enumerate(CONCERNED)},
            disposed={name: np.ascontiguousarray(disposed[:, i]) for i, name in enumerate(DISPOSED)},
        )

    def _compact(self) -> Ints:
        """Drop the scores that are not kept; return the rest."""
        rows = np.concatenate([np.empty((0, len(SCORES)), np.int64), *self._scores])
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        rows = rows[_ends_day(rows[:, 0], rows[:, 2])]
        self._scores, self._waiting, self._compacted = [rows], len(rows), len(rows)
        return rows

    def _numbers(self, enterprise_id: npt.NDArray[np.bytes_]) -> Ints:
        return np.fromiter(map(self._enterprises.__getitem__, enterprise_id.tolist()), np.int64, len(enterprise_id))


def _numbered(columns: list[Ints]) -> Ints:
    """Return a number for each row (rows,), int64: equal rows have equal numbers."""
    order = np.lexsort(columns)
    new = np.zeros(len(order), np.int64)
    for column in columns:
        cells = column[order]
        new[1:] |= cells[1:] != cells[:-1]
    found = np.empty_like(new)
    found[order] = np.cumsum(new)
    return found


def _ends_day(enterprise: Ints, as_of: Ints) -> Flags:
    """Return the last score of each day, and of each month's close, of rows in the order of (enterprise, log)."""
    day = _day_before(as_of)
    days, which = np.unique(day, return_inverse=True)
    ends_month = np.array([_ends_month(one) for one in days.tolist()], np.bool_)[which]
    # A month's close is a stretch of its own, and each of them is kept: what was known at it is never dropped.
    is_close = ends_month & ((as_of + ZONE_OFFSET_MS) % DAY_MS == 0)
    stretch = day * 2 + is_close
    kept = np.ones(len(day), np.bool_)
    kept[:-1] = (enterprise[1:] != enterprise[:-1]) | (stretch[1:] != stretch[:-1]) | is_close[:-1]
    return kept


def _day_before(as_of: Ints) -> Ints:
    """Return the day numbers of the instants just before these times (ms): midnight belongs to the day that it ends."""
    return (as_of - 1 + ZONE_OFFSET_MS) // DAY_MS


@cache
def _ends_month(day: int) -> bool:
    return month_of_day(day) != month_of_day(day + 1)
