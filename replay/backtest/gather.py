"""Gathers the outputs of one partition that a backtest rests on, as columns, while the log is replayed.

Of `indicator.v1` it wants the month ends alone. Of scores, which come each day, it keeps the last of each week, and
each that was the newest one at a month's close.
"""

from array import array
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from domain import topics
from domain.calendar import day_of, day_start_ms, month_of_day, week_of_day
from domain.outputs import SEVERITIES
from replay.backtest.columns import SEQ_BITS, Columns, Names, int64
from replay.backtest.statistics import Ints

TOPICS = frozenset({topics.SCORE, topics.INDICATOR, topics.ALERT_SUPERVISOR, topics.ALERT_BACKFILL})
OVER = frozenset({"ended", "cleared", "retracted", "closed"})
LEVEL: dict[str, int] = {severity: level for level, severity in enumerate(SEVERITIES, 1)}
MICRO = 1e6


class _Score(msgspec.Struct):
    score_milli: int
    p_overdue30_90d_ppm: int
    model_id: str
    as_of: int
    offset: int
    seq: int


class _Indicators(msgspec.Struct):
    day: int
    as_of: int
    values_micro: dict[str, int]
    offset: int
    seq: int


class _Alert(msgspec.Struct):
    episode_id: str
    signal: str
    severity: str
    state: str
    as_of: int
    banks: list[str]
    rules_id: str
    offset: int
    seq: int


_score = msgspec.json.Decoder(_Score).decode
_indicators = msgspec.json.Decoder(_Indicators).decode
_alert = msgspec.json.Decoder(_Alert).decode


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Everything of one partition; enterprises, banks, signals and models by number in its own tables."""

    partition: int
    enterprises: tuple[str, ...]
    banks: tuple[str, ...]
    signals: tuple[str, ...]
    models: tuple[str, ...]
    rules: tuple[str, ...]
    indicators: tuple[str, ...]
    scores: Columns  # enterprise, order, as_of (ms), milli, ppm, model: the last of each week, and before a month's end
    months: Columns  # enterprise, order, as_of, day: a month's last day as it closed
    values: npt.NDArray[np.float32]  # of `indicators`, (rows of months, indicators), NaN where null
    revisions: Columns  # enterprise, order, as_of, episode, signal, level (0: over), rules
    concerned: dict[str, Ints]  # revision, bank: the banks that a revision concerns


class Gatherer:
    """A consumer of the replay (replay/in_process.py): takes outputs in the order of the log of each enterprise."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._enterprises, self._banks, self._signals = Names(), Names(), Names()
        self._models, self._rules, self._episodes, self._indicators = Names(), Names(), Names(), Names()
        self._scores = Columns("enterprise", "order", "as_of", "milli", "ppm", "model")
        self._newest: dict[int, tuple[tuple[int, int, bool], tuple[int, ...]]] = {}
        self._months = Columns("enterprise", "order", "as_of", "day")
        self._cells, self._columns, self._micros = array("q"), array("q"), array("q")
        self._revisions = Columns("enterprise", "order", "as_of", "episode", "signal", "level", "rules")
        self._concerned = Columns("revision", "bank")

    def write(self, topic: str, records: Any) -> None:
        """Take outputs of a topic: pairs of key and value."""
        take = {
            topics.SCORE: self._score,
            topics.INDICATOR: self._month_end,
            topics.ALERT_SUPERVISOR: self._revision,
            topics.ALERT_BACKFILL: self._revision,  # what a backfill holds back counts as raised
        }.get(topic)
        if take is not None:
            for key, value in records:
                take(key.decode(), value)

    def finish(self) -> Gathered:
        """Return what was gathered."""
        for _, row in self._newest.values():
            self._scores.add(*row)
        self._newest.clear()
        names = self._indicators.texts
        values = np.full((len(self._months), len(names)), np.nan, np.float32)
        rows, columns, micros = map(int64, (self._cells, self._columns, self._micros))
        values[rows, columns] = micros / MICRO
        return Gathered(
            partition=self.partition,
            enterprises=self._enterprises.texts,
            banks=self._banks.texts,
            signals=self._signals.texts,
            models=self._models.texts,
            rules=self._rules.texts,
            indicators=names,
            scores=self._scores,
            months=self._months,
            values=values,
            revisions=self._revisions,
            concerned=self._concerned.arrays(),
        )

    def _score(self, enterprise_id: str, value: bytes) -> None:
        one, enterprise = _score(value), self._enterprises[enterprise_id]
        day = day_of(one.as_of - 1)
        # A month's close is a stretch of its own: what was known at it is never dropped.
        stretch = week_of_day(day), month_of_day(day), one.as_of == day_start_ms(day + 1) and ends_month(day)
        before = self._newest.get(enterprise)
        if before is not None and (before[0] != stretch or before[0][2]):
            self._scores.add(*before[1])
        model = self._models[one.model_id]
        row = enterprise, _order(one), one.as_of, one.score_milli, one.p_overdue30_90d_ppm, model
        self._newest[enterprise] = stretch, row

    def _month_end(self, enterprise_id: str, value: bytes) -> None:
        one, row = _indicators(value), len(self._months)
        self._months.add(self._enterprises[enterprise_id], _order(one), one.as_of, one.day)
        self._cells.extend([row] * len(one.values_micro))
        self._columns.extend([self._indicators[name] for name in one.values_micro])
        self._micros.extend(one.values_micro.values())

    def _revision(self, enterprise_id: str, value: bytes) -> None:
        one, row = _alert(value), len(self._revisions)
        level = 0 if one.state in OVER else LEVEL[one.severity]
        signal, episode, rules = self._signals[one.signal], self._episodes[one.episode_id], self._rules[one.rules_id]
        self._revisions.add(self._enterprises[enterprise_id], _order(one), one.as_of, episode, signal, level, rules)
        for bank in one.banks:
            self._concerned.add(row, self._banks[bank])


@cache
def ends_month(day: int) -> bool:
    """Return whether the next day is of another month."""
    return month_of_day(day) != month_of_day(day + 1)


def _order(one: Any) -> int:
    return int((one.offset << SEQ_BITS) | one.seq)
