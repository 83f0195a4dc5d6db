"""Borrowers that went over 30 days past due or into default, and when their banks had been warned."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from dashboard.reports.basis import Period
from dashboard.reports.reading import Borrower, LoanReport, Move
from detectors.learning.loan_history import Report, Spell, standing
from domain.calendar import day_of
from domain.cases import OPEN
from domain.outputs import Severity

HORIZON_DAYS = 365  # a warning is of a default within twelve months
EARLY_DAYS = 60


class Warned(NamedTuple):
    """The first day within HORIZON_DAYS of a default on which a case was open at least at some level."""

    day: int
    severity: Severity | None
    case_id: str


class Default(NamedTuple):
    """A borrower of a bank that went bad. since: the day, as its lender's days past due date it (ADR 26)."""

    bank_id: str
    enterprise_id: str
    loan_id: str
    since: int
    dpd: int | None
    partition: int
    offset: int

    @property
    def borrower(self) -> Borrower:
        return self.bank_id, self.enterprise_id


def new_defaults(reports: Sequence[LoanReport], period: Period) -> Iterator[Default]:
    """Yield the borrowers that their lender first reported as bad in a period, by the loan that was bad first.

    A borrower that was bad as the period began is none of them. reports: by bank, enterprise, loan and time.
    """
    for _, of_borrower in groupby(reports, key=lambda one: one[:2]):
        found: list[Default] = []
        was_bad = False
        for _, of_loan in groupby(of_borrower, key=lambda one: one.loan_id):
            known = list(of_loan)
            before = _spells([one for one in known if day_of(one.event_ms) < period.first])
            was_bad |= any(spell.holds(period.first - 1) for spell in before)
            begins = {spell.begin for spell in before}
            told = [one for one in known if period.holds(day_of(one.event_ms))]
            for spell in _spells(known):
                if told and spell.begin not in begins:
                    last = told[-1]
                    found.append(
                        Default(*last[:3], spell.begin, last.dpd, last.partition, max(one.offset for one in told))
                    )
        if found and not was_bad:
            yield min(found, key=lambda one: (one.since, one.loan_id))


def first_warning(
    default: Default, cases: Mapping[Borrower, Sequence[Sequence[Move]]], severities: Sequence[Severity]
) -> Warned | None:
    """Return the first day before a default on which its bank had an open case at one of the levels; None: it had none.

    A case that was open as the horizon begins counts from there.
    """
    found: list[Warned] = []
    begin = default.since - HORIZON_DAYS
    for moves in cases.get(default.borrower, ()):
        for at, move in enumerate(moves):
            ends = moves[at + 1].day if at + 1 < len(moves) else default.since
            stands = move.state in OPEN and move.severity in severities and move.day < default.since
            if stands and (move.day >= begin or ends > begin):
                found.append(Warned(max(move.day, begin), move.severity, move.case_id))
    return min(found, default=None, key=lambda one: (one.day, one.case_id))


def _spells(reports: Sequence[LoanReport]) -> tuple[Spell, ...]:
    known = [
        Report(one.event_ms, one.offset, day_of(one.event_ms), one.event, one.dpd, one.ends, one.is_repaid)
        for one in reports
    ]
    return standing(known).bad if known else ()
