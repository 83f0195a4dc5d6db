"""The learner: observations and their outcomes become models, month after month. Pure.

Everything follows from what the log held before each month's closing ticks, in whatever order that was read. The role
(role.py) feeds it from Kafka, a replay in process from a recorded log.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from config.catalogue import indicators
from config.settings import LearnSettings
from detectors.labels import Ledger
from detectors.prior import prior_snapshot
from detectors.snapshot import Snapshot, content_id
from detectors.training import Trainer, largest_move_milli
from domain import topics
from domain.calendar import date_of, day_of, month_of_day
from domain.events import Loan, LogEvent, Outcome, Tick

log = logging.getLogger("streams.learn.role")


class Learned(NamedTuple):
    """A model that may come into force, and why it was made."""

    snapshot: Snapshot
    reason: str


@dataclass(slots=True)
class MonthCloses:
    """One partition of `events.v1`: offsets of the ticks that completed months, as (month, offset), ascending.

    Months are numbers counted from January 1970.
    """

    closes: list[tuple[int, int]] = field(default_factory=list)

    def tick(self, up_to_ms: int, offset: int) -> None:
        """Take in the next tick. The month that `up_to_ms` lies in is not complete."""
        self.add(month_of_day(day_of(up_to_ms)) - 1, offset)

    def add(self, month: int, offset: int) -> None:
        """Note that a month was complete at `offset`, unless it was before."""
        if not self.has(month):
            self.closes.append((month, offset))

    def has(self, month: int) -> bool:
        """Return whether a month is complete."""
        return bool(self.closes) and self.closes[-1][0] >= month

    def is_closed_by(self, up_to_ms: int) -> bool:
        """Return whether a tick would complete another month."""
        return not self.has(month_of_day(day_of(up_to_ms)) - 1)

    def close_of(self, month: int) -> int | None:
        """Return the offset of the first tick at which `month` was complete; None where it is not."""
        return next((offset for closed, offset in self.closes if closed >= month), None)

    def forget(self, month: int) -> None:
        """Drop a month that is learned."""
        self.closes = [close for close in self.closes if close[0] > month] or self.closes[-1:]


class Learner:
    """The champion model, its prequential record, and the observations that wait to mature.

    counts: months learned, snapshots made, snapshots held because a weight has moved too far, and records that could
    not be read, which the caller counts.
    """

    def __init__(
        self,
        settings: LearnSettings,
        partitions: Iterable[int],
        *,
        prior: Snapshot | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        """Start from the prior.

        `partitions`: of the log; `prior`, `groups` (indicator to group): the catalogue's by default.
        """
        self._settings = settings
        self._parent = prior_snapshot() if prior is None else prior
        self.model_id = content_id(self._parent.encode())
        self.trainer = Trainer(self._parent, _catalogue_groups() if groups is None else groups)
        self.ledger = Ledger()
        self.partitions = {p: MonthCloses() for p in partitions}
        self.counts: Counter[str] = Counter()
        self._labels_at_parent = 0
        self._month: int | None = None  # the last one learned

    def event(self, event: LogEvent, partition: int, offset: int) -> None:
        """Take in a record of the log: a loan event, an outcome, a tick.

        Raise ValueError where it names an impossible day.
        """
        match event:
            case Loan():
                self.ledger.loan(event, offset)
            case Outcome():
                self.ledger.outcome(event, offset)
            case Tick():
                self.partitions[partition].tick(event.up_to, offset)
            case _:
                pass  # says nothing about an outcome

    @property
    def due_month(self) -> int | None:
        """Next month to learn, where every partition has passed it; None otherwise."""
        closes = [state.closes for state in self.partitions.values()]
        if not all(closes):
            return None
        month = min(each[0][0] for each in closes) if self._month is None else self._month + 1
        return month if month <= min(each[-1][0] for each in closes) else None

    def learn(self, month: int) -> Learned | None:
        """Learn what matured up to the month's end; return the model that follows, None where labels are too few."""
        closes = {p: state.close_of(month) for p, state in self.partitions.items()}
        before = {p: offset for p, offset in closes.items() if offset is not None}
        self.trainer.learn(self.ledger.matured(before, last_day(month)))
        self._month = month
        self.counts["months"] += 1
        for state in self.partitions.values():
            state.forget(month)
        labels = self.trainer.counts["good"] + self.trainer.counts["bad"]
        if labels - self._labels_at_parent < self._settings.labels_per_snapshot_min:
            return None
        offsets = {f"{topics.EVENTS}:{p}": offset for p, offset in before.items()}
        return self._accepted(self.trainer.snapshot(self.model_id, offsets), month, labels)

    def summary(self) -> dict[str, int | float | str]:
        """Return counts since the start of the log; prequential metrics where something has matured."""
        ledger, trainer = self.ledger, self.trainer
        return {
            "observations": ledger.seen_count,
            "observations_held": ledger.held_count,
            "observations_repeated": ledger.repeated_count,
            "outcomes_too_late": ledger.verdict_too_late_count,
            "labels": trainer.counts["good"] + trainer.counts["bad"],
            "labels_bad": trainer.counts["bad"],
            "unusable": trainer.counts["unusable"],
            "months_learned": self.counts["months"],
            "snapshots": self.counts["snapshots"],
            "snapshots_held": self.counts["held"],
            "unreadable": self.counts["unreadable"],
            "model_id": self.model_id,
            **trainer.metrics(),
        }

    def _accepted(self, snapshot: Snapshot, month: int, labels: int) -> Learned | None:
        """Return the next model; None where a weight has moved beyond the limit: a person should look at it first."""
        name, move_milli = largest_move_milli(snapshot, self._parent)
        limit = self._settings.weight_move_points_max
        if move_milli > limit * 1_000:
            self.counts["held"] += 1
            log.warning(
                "learn: snapshot after %s held: the weight of %s moved %.3f points from %s, over [learn] "
                "weight_move_points_max = %g",
                *(date_of(last_day(month)), name, move_milli / 1_000, self.model_id[:12], limit),
            )
            return None
        self.counts["snapshots"] += 1
        reason = f"{labels - self._labels_at_parent} labels matured up to {date_of(last_day(month))}"
        self._parent, self.model_id, self._labels_at_parent = snapshot, content_id(snapshot.encode()), labels
        return Learned(snapshot, reason)


def last_day(month: int) -> int:
    """Return the last day number of a month number."""
    day = month * 30
    while month_of_day(day) <= month:
        day += 1
    return day - 1


def _catalogue_groups() -> dict[str, str]:
    return {name: row.group for name, row in indicators().items()}
