"""Observations and their outcomes: the label of each, the day on which it matures, and the order of learning (ADR 26).

An observation of day d is bad where a loan of its enterprise becomes bad in (d, d + horizon]: more than so many days
past due, in default, advanced for or written off. It is good where that has not happened and was in sight: the receipts
of each bank with an open loan cover the horizon, or that loan was repaid and closed, and no arrears would have passed
the limit unreported. One whose enterprise is bad on day d already, and not cured (loan_history.py), is
`already_bad`; one whose horizon nobody saw is `indeterminate`. Both are counted, and neither learned nor judged.

Bad and good mature alike, at the end of the horizon: if bad outcomes were learned as they happen, the newest quarter
would hold nothing else. For the same reason both wait until the horizon is in sight, for SIGHT_DAYS_MAX at most. An
operator's outcome, where there is one, replaces both.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from detectors.learning.loan_history import DPD_DEFAULT_MIN, DPD_GOOD_MAX, LoanHistory, Standing
from domain.calendar import day_of_text, month_of_day
from domain.events import Loan, Outcome
from domain.outputs import Observation

Kind = Literal["good", "bad", "already_bad", "indeterminate"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SIGHT_DAYS_MAX = 31  # after the horizon's end, so the next month's close at least: a receipt comes a day late or more


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A definition of bad: more than `dpd_max` days past due, or worse, within `horizon_days` of the observation."""

    horizon_days: int
    dpd_max: int


OVERDUE_90D = Definition(horizon_days=90, dpd_max=DPD_GOOD_MAX)
DEFAULT_12M = Definition(horizon_days=365, dpd_max=DPD_DEFAULT_MIN - 1)
HORIZON_DAYS = OVERDUE_90D.horizon_days


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """The tick of a partition that completed a month: its offset, and the days that each bank covers by it.

    covered: first and last day (included) without a gap, of banks that cover any.
    """

    offset: int
    covered: Mapping[str, tuple[int, int]]

    def covers(self, bank_id: str, first: int, last: int) -> bool:
        """Return whether the bank's receipts cover all days from `first` to `last`."""
        begin, end = self.covered.get(bank_id, (0, -1))
        return begin <= first and last <= end


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An operator's outcome: the label, the day number on which it matured, the offset of its record."""

    bad: bool
    matured_on: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A matured observation.

    Labels are ordered by (matured_on, enterprise_id, observation_id). matured_on: day number of the horizon's end, or,
    where its receipts came later, of the end of the month at whose close they were there.
    """

    observation: Observation
    bad: bool
    matured_on: int

    @property
    def order(self) -> tuple[int, str, str]:
        return self.matured_on, self.observation.enterprise_id, self.observation.observation_id


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """The reason for which an observation whose time has come is neither learned nor judged."""

    kind: Literal["already_bad", "indeterminate"]


def verdict(outcome: Outcome, offset: int) -> Verdict:
    """Return an operator's outcome with its offset. Raise ValueError where `matured_on` is no date."""
    return Verdict(bad=outcome.label == "bad", matured_on=day_of_text(outcome.matured_on), offset=offset)


def label_of(
    observation: Observation,
    histories: Iterable[LoanHistory],
    verdicts: Sequence[Verdict],
    *,
    close: Close,
    end_day: int,
    definition: Definition = OVERDUE_90D,
) -> Label | Unlabelled | None:
    """Return the label of an observation, by the log before `close` and the days up to `end_day`.

    histories: the enterprise's loans. verdicts: those on this observation or its loan; the latest one in the log
    counts. Return None where it has not matured. Records of its partition at or after the closing tick are ignored, so
    that the result does not depend on how far ahead a reader has read.
    """
    known = [v for v in verdicts if v.offset < close.offset]
    last = max(known, key=lambda v: v.offset, default=None)
    day, horizon_end = observation.day, observation.day + definition.horizon_days
    matured_on = horizon_end if last is None else max(last.matured_on, day)
    if matured_on > end_day:
        return None
    if last is None and month_of_day(horizon_end) < month_of_day(end_day):
        matured_on = end_day
    loans = [
        (history.bank_id, found)
        for history in histories
        if (found := history.standing(before_offset=close.offset, dpd_max=definition.dpd_max)) is not None
    ]
    is_seen = last is not None or _is_in_sight(loans, day, horizon_end, close)
    if not is_seen and end_day < horizon_end + SIGHT_DAYS_MAX:
        return None
    spells = [spell for _, loan in loans for spell in loan.bad]
    if any(spell.holds(day) for spell in spells):
        return Unlabelled("already_bad")
    if last is not None:
        return Label(observation=observation, bad=last.bad, matured_on=matured_on)
    if any(day < spell.begin <= horizon_end for spell in spells):
        return Label(observation=observation, bad=True, matured_on=matured_on)
    doubts = (spell for _, loan in loans for spell in loan.doubtful)
    if not is_seen or any(spell.begin <= horizon_end and spell.end > day for spell in doubts):
        return Unlabelled("indeterminate")
    return Label(observation=observation, bad=False, matured_on=matured_on)


def _is_in_sight(loans: Iterable[tuple[str, Standing]], day: int, horizon_end: int, close: Close) -> bool:
    """Return whether a loan was open on `day`, and each that was open from there to the horizon's end was in sight."""
    there = [(bank_id, loan) for bank_id, loan in loans if loan.opened <= horizon_end and loan.ended >= day]
    return any(loan.opened <= day for _, loan in there) and all(
        (loan.ended <= horizon_end and loan.is_repaid) or close.covers(bank_id, day + 1, horizon_end)
        for bank_id, loan in there
    )


class Ledger:
    """Everything from the log that labels follow from.

    Repeats change nothing, nor does the order in which topics are read.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, Observation]] = {}  # id -> partition, observation
        self._done: set[str] = set()
        self._histories: dict[str, dict[tuple[str, str], LoanHistory]] = {}  # enterprise -> (bank, loan) -> history
        self._verdicts: dict[str, list[Verdict]] = {}  # by observation id, or "loan:enterprise:loan"
        self._first: set[bytes] = set()  # score refuses a second body of an id: the first one holds
        self.unlabelled: Counter[Kind] = Counter()
        """Observations whose time came without a label, by why not."""
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
        if self._is_first(loan):
            of_enterprise = self._histories.setdefault(loan.enterprise_id, {})
            history = of_enterprise.setdefault((loan.bank_id, loan.loan_id), LoanHistory(loan.bank_id))
            history.add(loan, offset)

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

    def matured(self, closes: Mapping[int, Close], end_day: int) -> list[Label]:
        """Return the labels matured up to `end_day`, as of the `closes` by partition, in learning order.

        An observation that score made from a later record is left for the next call. What comes out without a label is
        counted in `unlabelled`.
        """
        labels, done = list[Label](), list[str]()
        for partition, observation in self._held.values():
            close = closes[partition]
            if observation.offset > close.offset:
                continue
            histories = self._histories.get(observation.enterprise_id, {}).values()
            verdicts = self._verdicts.get(observation.observation_id, [])
            if observation.loan_id is not None:
                key = _loan_key(observation.enterprise_id, observation.loan_id)
                verdicts = verdicts + self._verdicts.get(key, [])
            found = label_of(observation, histories, verdicts, close=close, end_day=end_day)
            if found is None:
                continue
            done.append(observation.observation_id)
            if isinstance(found, Label):
                labels.append(found)
            else:
                self.unlabelled[found.kind] += 1
        for name in done:
            del self._held[name]
        self._done.update(done)
        return sorted(labels, key=lambda label: label.order)

    def observed_on(self, day: int, closes: Mapping[int, Close]) -> list[Observation]:
        """Return the observations of a day, in the order of enterprises, as of the `closes` by partition."""
        found = [
            seen
            for partition, seen in self._held.values()
            if seen.day == day and seen.offset <= closes[partition].offset
        ]
        return sorted(found, key=lambda seen: (seen.enterprise_id, seen.observation_id))

    def _is_first(self, event: Loan | Outcome) -> bool:
        """Return whether this is the first body of its id. Of each loan event 16 bytes are kept, not its names."""
        name = "\0".join((event.bank_id, event.enterprise_id, event.event_id)).encode()
        digest = hashlib.blake2b(name, digest_size=16).digest()
        if digest in self._first:
            return False
        self._first.add(digest)
        return True


def _loan_key(enterprise_id: str, loan_id: str) -> str:
    return f"loan:{enterprise_id}:{loan_id}"
