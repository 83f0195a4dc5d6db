"""The learner: observations and their outcomes become models, month after month. Pure.

Everything follows from what the log held before each month's closing ticks, in whatever order that was read. The role
(role.py) feeds it from Kafka, a replay in process from a recorded log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from config.catalogue import indicators
from config.settings import LearnSettings
from detectors.learning.examples import Examples, unlabelled
from detectors.learning.labels import KINDS, Close, Ledger
from detectors.learning.training import Trainer
from detectors.prior import prior_snapshot
from detectors.snapshot import Snapshot, content_id
from domain import topics
from domain.calendar import date_of, day_of, month_of_day
from domain.events import Loan, LogEvent, Outcome, Tick


class Learned(NamedTuple):
    """A model that may come into force, and what the guard judges it by."""

    snapshot: Snapshot
    month: int  # the last one that it learned
    new_labels_count: int  # since the one before it
    newest: Examples  # observed at the month's close, without labels
    drift: tuple[str, ...] = ()  # what is called drift, in words
    loss_change_low_micro: int | None = None  # as `guard.judge` takes it

    @property
    def day(self) -> int:
        """Day number of the month's last day."""
        return last_day(self.month)

    @property
    def reason(self) -> str:
        """Why it was made."""
        return f"{self.new_labels_count} labels matured up to {date_of(self.day)}"


@dataclass(slots=True)
class MonthCloses:
    """One partition of `events.v1`: the ticks that completed months, as (month, close), ascending.

    Months are numbers counted from January 1970. A bank covers days from where it was first seen to cover any.
    """

    closes: list[tuple[int, Close]] = field(default_factory=list)
    _covered_from: dict[str, int] = field(default_factory=dict)

    def tick(self, tick: Tick, offset: int) -> None:
        """Take in the next tick. The month that its `up_to` lies in is not complete."""
        self._covered_from = self._first_covered(tick)
        month = _complete_month(tick)
        if not self.has(month):
            covered = {
                bank_id: (first, last)
                for bank_id, first in self._covered_from.items()
                if (last := tick.feeds[bank_id].covered_up_to) is not None
            }
            self.closes.append((month, Close(offset=offset, covered=covered)))

    def has(self, month: int) -> bool:
        """Return whether a month is complete."""
        return bool(self.closes) and self.closes[-1][0] >= month

    def is_closed_by(self, tick: Tick) -> bool:
        """Return whether a tick would complete another month."""
        return not self.has(_complete_month(tick))

    def is_told_by(self, tick: Tick) -> bool:
        """Return whether a tick would say anything new: another month is complete, or another bank covers days."""
        return self.is_closed_by(tick) or self._first_covered(tick) != self._covered_from

    def close_of(self, month: int) -> Close | None:
        """Return the first tick at which `month` was complete; None where it is not."""
        return next((close for closed, close in self.closes if closed >= month), None)

    def forget(self, month: int) -> None:
        """Drop a month that is learned."""
        self.closes = [close for close in self.closes if close[0] > month] or self.closes[-1:]

    def _first_covered(self, tick: Tick) -> dict[str, int]:
        """Return by bank the first day that it is known to cover. A bank that ticks leave out begins anew."""
        return {
            bank_id: self._covered_from.get(bank_id, feed.covered_up_to)
            for bank_id, feed in tick.feeds.items()
            if feed.covered_up_to is not None
        }


class Learner:
    """The champion model, its prequential record, and the observations that wait to mature.

    counts: months learned and snapshots made; snapshots that the guard holds and records that could not be read, which
    the caller counts. model_id: the newest snapshot, whose parent is the one before it, in force or not.
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
        self.prior = prior_snapshot() if prior is None else prior
        self.model_id = content_id(self.prior.encode())
        self.trainer = Trainer(self.prior, _catalogue_groups() if groups is None else groups)
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
                self.partitions[partition].tick(event, offset)
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
        """Learn what matured up to the month's end; return the model that follows, None for too few new labels."""
        found = {p: state.close_of(month) for p, state in self.partitions.items()}
        closes = {p: close for p, close in found.items() if close is not None}
        self.trainer.learn(self.ledger.matured(closes, last_day(month)))
        self._month = month
        self.counts["months"] += 1
        for state in self.partitions.values():
            state.forget(month)
        labels = self.labels["good"] + self.labels["bad"]
        if labels - self._labels_at_parent < self._settings.labels_per_snapshot_min:
            return None
        offsets = {f"{topics.EVENTS}:{p}": close.offset for p, close in closes.items()}
        snapshot = self.trainer.snapshot(self.model_id, offsets)
        new_labels = labels - self._labels_at_parent
        self.model_id, self._labels_at_parent = content_id(snapshot.encode()), labels
        self.counts["snapshots"] += 1
        return Learned(snapshot, month, new_labels, unlabelled(self.ledger.observed_on(last_day(month), closes)))

    @property
    def labels(self) -> dict[str, int]:
        """Count the observations whose time has come, by kind of label; good and bad ones are learned."""
        counts = self.trainer.counts + self.ledger.unlabelled
        return {kind: counts[kind] for kind in KINDS}

    def summary(self) -> dict[str, int | float | str]:
        """Return counts since the start of the log; prequential metrics where something has matured."""
        ledger, trainer, labels = self.ledger, self.trainer, self.labels
        return {
            "observations": ledger.seen_count,
            "observations_held": ledger.held_count,
            "observations_repeated": ledger.repeated_count,
            "outcomes_too_late": ledger.verdict_too_late_count,
            "labels": labels["good"] + labels["bad"],
            "labels_bad": labels["bad"],
            "already_bad": labels["already_bad"],
            "indeterminate": labels["indeterminate"],
            "unusable": trainer.counts["unusable"],
            "months_learned": self.counts["months"],
            "snapshots": self.counts["snapshots"],
            "snapshots_held": self.counts["held"],
            "unreadable": self.counts["unreadable"],
            "model_id": self.model_id,
            **trainer.metrics(),
        }


def _complete_month(tick: Tick) -> int:
    """Return the last month that is complete by a tick."""
    return month_of_day(day_of(tick.up_to)) - 1


def last_day(month: int) -> int:
    """Return the last day number of a month number."""
    day = month * 30
    while month_of_day(day) <= month:
        day += 1
    return day - 1


def _catalogue_groups() -> dict[str, str]:
    return {name: row.group for name, row in indicators().items()}
