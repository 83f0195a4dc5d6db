"""The learner: observations and their outcomes become models, month after month. Pure.

Everything follows from what the log held before each month's closing ticks, in whatever order that was read. The role
(role.py) feeds it from Kafka, a replay in process from a recorded log.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

import msgspec
import numpy as np

from config.settings import LearnSettings
from detectors.learning.examples import Examples
from detectors.learning.labels import Close
from detectors.learning.ledger import Ledger
from detectors.learning.training import largest_move_milli
from detectors.prior import prior_snapshot
from detectors.snapshot import Snapshot, content_id
from domain import topics
from domain.calendar import date_of
from domain.events import Loan, LogEvent, Outcome, Tick
from streams.learn.champion import Champion
from streams.learn.month_closes import MonthCloses, last_day

log = logging.getLogger("streams.learn.role")
_P_MIN = 1e-6


class Learned(msgspec.Struct, frozen=True):
    """A model that may come into force, and why it was made."""

    snapshot: Snapshot
    reason: str


class Learner:
    """The champion model, its prequential record, and the observations that wait to mature.

    counts: months learned, snapshots made, snapshots held because a weight has moved too far, and records that could
    not be read, which the caller counts. model_id: of the newest model, the parent of the next one. extras: what other
    parts of the room keep between months, by name; a checkpoint holds it as it is.
    """

    def __init__(
        self,
        settings: LearnSettings,
        partitions: Iterable[int],
        *,
        prior: Snapshot | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Start from the prior. `partitions`: of the log; `prior`: the catalogue's by default."""
        self._settings = settings
        self.prior = self.parent = prior_snapshot() if prior is None else prior
        self.model_id = content_id(self.parent.encode())
        self.trainer = Champion(self.prior)
        self.ledger = Ledger(settings.months_retained) if ledger is None else ledger
        self.partitions = {p: MonthCloses() for p in partitions}
        self.counts: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()  # prequential, summed by model
        self.labels_at_parent = 0
        self.month: int | None = None  # the last one learned
        self.is_fitted = True  # whether the trainer has seen what is retained as of that month
        self.extras: dict[str, bytes] = {}

    def event(self, event: LogEvent, partition: int, offset: int) -> None:
        """Take in a record of the log: a loan event, an outcome, a tick.

        Raise ValueError where it names an impossible day, or an observation by what is no id.
        """
        match event:
            case Loan():
                self.ledger.loan(event, offset, partition)
            case Outcome():
                self.ledger.outcome(event, offset, partition)
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
        month = min(each[0][0] for each in closes) if self.month is None else self.month + 1
        return month if month <= min(each[-1][0] for each in closes) else None

    def learn(self, month: int) -> Learned | None:
        """Learn what matured up to the month's end; return the model that follows, None where labels are too few."""
        if not self.is_fitted:  # after a restart: the champion is a function of prior and retained examples
            self.trainer.fit(self.ledger.retained)
        found = {p: state.close_of(month) for p, state in self.partitions.items()}
        closes = {p: close for p, close in found.items() if close is not None}
        matured = self.ledger.matured(closes, last_day(month))
        self._judge(matured)
        self.trainer.fit(self.ledger.retained)
        self.is_fitted = True
        self.month = month
        self.counts["months"] += 1
        for state in self.partitions.values():
            state.forget(month)
        labels = self.labels["good"] + self.labels["bad"]
        if labels - self.labels_at_parent < self._settings.labels_per_snapshot_min:
            return None
        return self._accepted(self._candidate(closes), month, labels)

    def _judge(self, matured: Examples) -> None:
        """Let every model predict what has matured, before any learns it."""
        # Prequential record and challengers: they predict here, and the challengers learn after that.
        for name, predicted in (
            ("champion", self.trainer.predict(matured)),
            ("prior", self.trainer.prior_predict(matured)),
        ):
            p = np.clip(np.where(matured["bad"], predicted, 1.0 - predicted), _P_MIN, 1.0)
            for loss in (-np.log(p)).tolist():
                self.losses[name] += loss

    def _candidate(self, closes: dict[int, Close]) -> Snapshot:
        offsets = {f"{topics.EVENTS}:{p}": close.offset for p, close in closes.items()}
        return self.trainer.snapshot(self.model_id, offsets)

    @property
    def labels(self) -> dict[str, int]:
        """Count the observations whose time has come, by kind of label; good and bad ones are learned."""
        return {kind: self.ledger.labels[kind] for kind in self.ledger.labels}

    def summary(self) -> dict[str, int | float | str]:
        """Return counts since the start of the log; prequential log loss where something has matured."""
        ledger, labels = self.ledger, self.labels
        learned = labels["good"] + labels["bad"]
        losses = {"log_loss": self.losses["champion"], "log_loss_of_prior": self.losses["prior"]} if learned else {}
        return {
            "observations": ledger.seen_count,
            "observations_held": ledger.held_count,
            "observations_repeated": ledger.repeated_count,
            "outcomes_too_late": ledger.outcomes_late_count,
            "outcomes_unknown": ledger.outcomes_unknown_count,
            "labels": learned,
            "labels_bad": labels["bad"],
            "already_bad": labels["already_bad"],
            "indeterminate": labels["indeterminate"],
            "months_learned": self.counts["months"],
            "snapshots": self.counts["snapshots"],
            "snapshots_held": self.counts["held"],
            "unreadable": self.counts["unreadable"],
            "model_id": self.model_id,
            **{name: round(loss / learned, 6) for name, loss in losses.items()},
        }

    def _accepted(self, snapshot: Snapshot, month: int, labels: int) -> Learned | None:
        """Return the next model; None where a weight has moved beyond the limit: a person should look at it first."""
        # Guard: says of a candidate whether it is proposed or held, and why.
        name, move_milli = largest_move_milli(snapshot, self.parent)
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
        reason = f"{labels - self.labels_at_parent} labels matured up to {date_of(last_day(month))}"
        self.parent, self.model_id, self.labels_at_parent = snapshot, content_id(snapshot.encode()), labels
        return Learned(snapshot, reason)
