"""Observations and their outcomes: the label of each, the day on which it matures, and the order of learning.

An observation of day d is bad where its enterprise was more than 30 days past due, in default, advanced for or written
off at any time in (d, d + 90]; good where that horizon has passed without. It matures at the end of the horizon, bad or
good: if bad outcomes were learned as they happen, the newest quarter would hold nothing else. An operator's outcome,
where there is one, replaces both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.calendar import day_of, day_of_text
from domain.events import Loan, Outcome
from domain.outputs import Observation

HORIZON_DAYS = 90
DPD_GOOD_MAX = 30
_BAD_EVENTS = frozenset({"default", "advance", "written_off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFact:
    """The enterprise was in a bad state from day `since` to day `until` at least, by the record at `offset`."""

    since: int
    until: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An operator's outcome: the label, the day number on which it matured, the offset of its record."""

    bad: bool
    matured_on: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A matured observation.

    Labels are ordered by (matured_on, enterprise_id, observation_id). matured_on: day number.
    """

    observation: Observation
    bad: bool
    matured_on: int

    @property
    def order(self) -> tuple[int, str, str]:
        return self.matured_on, self.observation.enterprise_id, self.observation.observation_id


def bad_fact(loan: Loan, offset: int) -> BadFact | None:
    """Return the bad state that a loan event reports; None where it reports none.

    A report of n days past due dates the state back to the day on which 30 were passed.
    """
    day = day_of(loan.event_time)
    if loan.event in _BAD_EVENTS:
        return BadFact(since=day, until=day, offset=offset)
    if loan.event == "overdue" and loan.dpd is not None and loan.dpd > DPD_GOOD_MAX:
        return BadFact(since=day - (loan.dpd - DPD_GOOD_MAX - 1), until=day, offset=offset)
    return None


def verdict(outcome: Outcome, offset: int) -> Verdict:
    """Return an operator's outcome with its offset. Raise ValueError where `matured_on` is no date."""
    return Verdict(bad=outcome.label == "bad", matured_on=day_of_text(outcome.matured_on), offset=offset)


def label_of(
    observation: Observation, facts: Iterable[BadFact], verdicts: Sequence[Verdict], *, before_offset: int, end_day: int
) -> Label | None:
    """Return the label of an observation, by the log before `before_offset` and the days up to `end_day`.

    facts: the enterprise's. verdicts: those on this observation or its loan; the latest one in the log counts. Return
    None where it has not matured. Records of its partition at or after `before_offset` are ignored, so that the result
    does not depend on how far ahead a reader has read.
    """
    known = [v for v in verdicts if v.offset < before_offset]
    if known:
        last = max(known, key=lambda v: v.offset)
        matured_on = max(last.matured_on, observation.day)
        return Label(observation=observation, bad=last.bad, matured_on=matured_on) if matured_on <= end_day else None
    matured_on = observation.day + HORIZON_DAYS
    if matured_on > end_day:
        return None
    bad = any(
        fact.offset < before_offset and fact.since <= matured_on and fact.until > observation.day for fact in facts
    )
    return Label(observation=observation, bad=bad, matured_on=matured_on)


class Ledger:
    """Everything from the log that labels follow from.

    Repeats change nothing, nor does the order in which topics are read.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, Observation]] = {}  # id -> partition, observation
        self._done: set[str] = set()
        self._facts: dict[str, set[BadFact]] = {}  # by enterprise
        self._verdicts: dict[str, list[Verdict]] = {}  # by observation id, or "loan:enterprise:loan"
        self._first: set[tuple[str, str, str]] = set()  # score refuses a second body of an id: the first one holds
        self.repeated_count = 0
        self.verdict_too_late_count = 0

    @property
    def held_count(self) -> int:
        """Observations that have not matured."""
        return len(self._held)

    @property
    def seen_count(self) -> int:
        """Distinct observations."""
        return len(self._held) + len(self._done)

    def observe(self, observation: Observation, partition: int) -> None:
        """Add an observation. `partition`: its enterprise's, the same in both topics."""
        known = observation.observation_id
        if known in self._held or known in self._done:
            self.repeated_count += 1
        else:
            self._held[known] = (partition, observation)

    def loan(self, loan: Loan, offset: int) -> None:
        """Take in a loan event."""
        fact = bad_fact(loan, offset)
        if fact is not None and self._is_first(loan):
            self._facts.setdefault(loan.enterprise_id, set()).add(fact)

    def outcome(self, outcome: Outcome, offset: int) -> None:
        """Take in an operator's outcome. Raise ValueError where its `matured_on` is no date."""
        taken = verdict(outcome, offset)
        if not self._is_first(outcome):
            return
        if outcome.observation_id is not None:
            self.verdict_too_late_count += outcome.observation_id in self._done
            self._verdicts.setdefault(outcome.observation_id, []).append(taken)
        if outcome.loan_id is not None:
            self._verdicts.setdefault(_loan_key(outcome.enterprise_id, outcome.loan_id), []).append(taken)

    def matured(self, before_offsets: Mapping[int, int], end_day: int) -> list[Label]:
        """Return the labels matured up to `end_day`, as of `before_offsets` (by partition), in learning order.

        An observation that score made from a later record is left for the next call.
        """
        labels = []
        for partition, observation in self._held.values():
            if observation.offset > before_offsets[partition]:
                continue
            facts = self._facts.get(observation.enterprise_id, ())
            verdicts = self._verdicts.get(observation.observation_id, [])
            if observation.loan_id is not None:
                key = _loan_key(observation.enterprise_id, observation.loan_id)
                verdicts = verdicts + self._verdicts.get(key, [])
            label = label_of(observation, facts, verdicts, before_offset=before_offsets[partition], end_day=end_day)
            if label is not None:
                labels.append(label)
        for label in labels:
            del self._held[label.observation.observation_id]
            self._done.add(label.observation.observation_id)
        return sorted(labels, key=lambda label: label.order)

    def _is_first(self, event: Loan | Outcome) -> bool:
        name = (event.bank_id, event.enterprise_id, event.event_id)
        if name in self._first:
            return False
        self._first.add(name)
        return True


def _loan_key(enterprise_id: str, loan_id: str) -> str:
    return f"loan:{enterprise_id}:{loan_id}"
