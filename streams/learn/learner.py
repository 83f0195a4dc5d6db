"""The learner: observations and their outcomes become models, month after month. Pure.

Everything follows from what the log held before each month's closing ticks, in whatever order that was read. The role
(role.py) feeds it from Kafka, a replay in process from a recorded log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from config.catalogue import indicators
from config.settings import LearnSettings
from detectors.learning.examples import Examples
from detectors.learning.guard import is_off
from detectors.learning.labels import Close
from detectors.learning.ledger import Ledger
from detectors.learning.prequential import AS_SCORED, CHAMPION, PRIOR, Prequential
from detectors.learning.shadow import Shadow
from detectors.learning.training import Policy, Trainer, recalibrated
from detectors.prior import prior_snapshot
from detectors.snapshot import V2, Snapshot, content_id
from domain import topics
from domain.events import Loan, LogEvent, Outcome, Tick
from domain.outputs import MonthReport
from streams.learn.month_closes import MonthCloses, last_day

_RECORD = "prequential"  # names the prequential record among the extras


class Learned(msgspec.Struct, frozen=True):
    """A model that may come into force, and what the guard judges it by."""

    snapshot: Snapshot
    month: int  # the last one that it learned
    new_labels_count: int  # since the one before it
    drift: tuple[str, ...] = ()  # what is called drift, in words
    loss_change_low_micro: int | None = None  # as `guard.judge` takes it
    calibrated_on: tuple[int, int] | None = None  # labels and bad ones: probabilities alone were made anew from them

    @property
    def day(self) -> int:
        """Day number of the month's last day."""
        return last_day(self.month)


class Month(msgspec.Struct, frozen=True):
    """The outcome of a month: its report, None while nothing has matured, and the model, None for few labels."""

    report: MonthReport | None
    learned: Learned | None


class Learner:
    """The champion model, its prequential record, and the observations that wait to mature.

    counts: months learned and snapshots made; snapshots that the guard holds and records that could not be read, which
    the caller counts. model_id: the newest snapshot, whose parent is the one before it, in force or not. extras: what
    outlasts a restart, by name; a checkpoint holds it as it is.
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
        self.ledger = Ledger(settings.months_retained) if ledger is None else ledger
        self.partitions = {p: MonthCloses() for p in partitions}
        self.counts: Counter[str] = Counter()
        self.labels_at_parent = 0
        self.month: int | None = None  # the last one learned
        self.extras: dict[str, bytes] = {}
        self._policy = policy = Policy(half_life_days=round(settings.half_life_months * 30.4375))
        groups = {name: row.group for name, row in indicators().items()}
        self._trainer = Trainer(self.prior, groups, policy)
        self._shadow = self._new_shadow()
        self._in_shadow = 0  # examples that the challengers have learned

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

    def restored(self) -> None:
        """Take up again what a checkpoint held: the parent as champion, and the record among the extras."""
        self._trainer.champion = self.parent
        if body := self.extras.get(_RECORD):
            self._shadow = self._new_shadow(Prequential.from_bytes(body))

    @property
    def due_month(self) -> int | None:
        """Next month to learn, where every partition has passed it; None otherwise."""
        closes = [state.closes for state in self.partitions.values()]
        if not all(closes):
            return None
        month = min(each[0][0] for each in closes) if self.month is None else self.month + 1
        return month if month <= min(each[-1][0] for each in closes) else None

    def learn(self, month: int) -> Month:
        """Test all models on what matured up to the month's end, then let them learn it."""
        found = {p: state.close_of(month) for p, state in self.partitions.items()}
        closes = {p: close for p, close in found.items() if close is not None}
        labels_before, said_before = self.labels, self.ledger.dispositions.taken()
        if self._in_shadow != self.ledger.retained_count:  # a restart
            self._rebuild(-(2**31))
        matured = self.ledger.matured(closes, last_day(month))
        newly = {kind: count - labels_before[kind] for kind, count in self.labels.items()}
        said = self.ledger.dispositions.since(said_before)
        report = self._reported(month, matured, self.newest(month, closes), newly, said)
        if self._in_shadow != self.ledger.retained_count:  # the oldest were dropped
            self._rebuild(month - self._settings.months_retained)
        if report is not None:
            self.extras[_RECORD] = self._shadow.record.to_bytes()  # as a restart takes it up: without what was dropped
        self.month = month
        self.counts["months"] += 1
        for state in self.partitions.values():
            state.forget(month)
        labels = self.labels["good"] + self.labels["bad"]
        if labels - self.labels_at_parent < self._settings.labels_per_snapshot_min:
            return Month(report, None)
        self._trainer.fit(self.ledger.retained)
        offsets = {f"{topics.EVENTS}:{p}": close.offset for p, close in closes.items()}
        snapshot = self._trainer.snapshot(self.model_id, offsets)
        learned = Learned(
            snapshot,
            month,
            labels - self.labels_at_parent,
            () if report is None else report.drift,
            None if report is None else _loss_change_low_micro(report),
        )
        self.parent, self.model_id = snapshot, content_id(snapshot.encode())
        self.labels_at_parent = labels
        self.counts["snapshots"] += 1
        return Month(report, learned)

    def calibrated(self, in_force: Snapshot, learned: Learned) -> Learned | None:
        """Return a model with probabilities made anew from the labels of after its training; it moves no score.

        learned: the candidate of the month, which did not come into force. None where the labels are too few, or agree
        with it. Raise SnapshotError where this engine cannot score with the model.
        """
        kept, until_day = self.ledger.retained, in_force.trained_until_day
        kept = kept if until_day is None else kept[kept["matured_on"] > until_day]
        if not is_off(in_force, kept, self._settings):
            return None
        made = recalibrated(in_force, kept, self._policy)
        snapshot = msgspec.structs.replace(
            made,
            format=V2,
            unknown_at_micro=made.unknown_at_micro or made.medians_micro,  # format 1 has the former fixed
            parent_id=content_id(in_force.encode()),
            log_offsets=learned.snapshot.log_offsets,
        )
        labels = len(kept), int(kept["bad"].sum())
        return Learned(snapshot, learned.month, labels[0], learned.drift, calibrated_on=labels)

    def newest(self, month: int, closes: dict[int, Close] | None = None) -> Examples:
        """Return the observations of a month's last day, EXAMPLE (n,), whose labels nobody knows yet.

        closes: by partition, as of which; None: all that are held.
        """
        return self.ledger.observed_on(last_day(month), closes)

    def _reported(
        self,
        month: int,
        matured: Examples,
        newest: Examples,
        labels: dict[str, int],
        dispositions: dict[str, dict[str, int]],
    ) -> MonthReport | None:
        """Let every model predict what has matured before any learns it; return what that says of them."""
        if not self._in_shadow + len(matured):
            return None
        said = {CHAMPION: self._trainer.predict(matured), PRIOR: self._trainer.prior_predict(matured)}
        champion = self._trainer.champion
        report = self._shadow.month(
            month, matured, said, observed=newest, champion=champion, model_id=self.model_id, labels=labels
        )
        report = msgspec.structs.replace(report, dispositions=dispositions)
        self._in_shadow += len(matured)
        return report

    def _rebuild(self, first_month: int) -> None:
        retained = self.ledger.retained
        self._shadow.rebuild(retained, first_month)
        self._in_shadow = len(retained)

    def _new_shadow(self, record: Prequential | None = None) -> Shadow:
        return Shadow(psi_max=self._settings.psi_max, record=record, challengers=self._settings.challengers)

    @property
    def labels(self) -> dict[str, int]:
        """Count the observations whose time has come, by kind of label; good and bad ones are learned."""
        return {kind: self.ledger.labels[kind] for kind in self.ledger.labels}

    def summary(self) -> dict[str, int | float | str]:
        """Return counts since the start of the log; prequential log loss where something has matured."""
        ledger, labels = self.ledger, self.labels
        names = {"log_loss": CHAMPION, "log_loss_of_prior": PRIOR}
        losses = {
            name: self._shadow.record.losses(model)
            for name, model in names.items()
            if model in self._shadow.record.models
        }
        return {
            "observations": ledger.seen_count,
            "observations_held": ledger.held_count,
            "observations_repeated": ledger.repeated_count,
            "outcomes_too_late": ledger.outcomes_late_count,
            "outcomes_unknown": ledger.outcomes_unknown_count,
            "labels": labels["good"] + labels["bad"],
            "labels_bad": labels["bad"],
            "already_bad": labels["already_bad"],
            "indeterminate": labels["indeterminate"],
            "months_learned": self.counts["months"],
            "snapshots": self.counts["snapshots"],
            "snapshots_held": self.counts["held"],
            "unreadable": self.counts["unreadable"],
            "model_id": self.model_id,
            **{name: round(float(loss.mean()), 6) for name, loss in losses.items()},
        }


def _loss_change_low_micro(report: MonthReport) -> int | None:
    """Return the lower end of the champion's log loss less that of the models that were in force."""
    found = [one.log_loss.low_micro for one in report.differences if one.model == AS_SCORED]
    return found[0] if found else None
