"""The deadlines of cases, and whether they were kept: from the records of one life, in the order of the log."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from dashboard.reports.reading import Move
from domain.outputs import CaseChange, CaseStage, Severity

Step = Literal["contact", "visit"]
_OWING: dict[Step, tuple[CaseStage, ...]] = {
    "contact": ("awaiting", "signed"),
    "visit": ("awaiting", "signed", "checking"),
}
_TAKEN: dict[Step, CaseChange] = {"contact": "begun", "visit": "submitted"}


class Deadline(NamedTuple):
    """A step that was due by a day. done: the day on which it was taken, None: not by the last record."""

    step: Step
    severity: Severity | None
    due: int
    done: int | None
    escalated: bool

    @property
    def kept(self) -> bool:
        """True where the step was taken by the end of its day."""
        return self.done is not None and self.done <= self.due


def deadlines(life: Sequence[Move]) -> Iterator[Deadline]:
    """Yield the deadlines of a life that fell due or were met.

    Where a case became graver before a step was due, or its deadlines waited, another deadline is in its place; one
    that was closed by then owes nothing. `contact` is the beginning of the check, `visit` the submitting of its
    conclusion. The deadlines of an open case wait where `due` is None.
    """
    owed: dict[Step, Move] = {}
    last = life[0]
    for move in life:
        waits = move.due is None
        for step, stages in _OWING.items():
            was, due = owed.get(step), _due(move, step)
            taken = move.change == _TAKEN[step]
            if was is None and taken and waits and due is not None:
                yield Deadline(step, move.severity, due, move.day, last.escalation != "desk")
            if was is not None and (taken or waits or move.state not in stages or due != _due(was, step)):
                ended = _deadline(step, was, move.day if taken else None, last)
                if taken or move.day > ended.due:
                    yield ended
                del owed[step]
            is_owed = move.state in stages and not waits and not taken and step not in owed
            if is_owed and due is not None and move.day <= due:
                owed[step] = move
        last = move
    for step, was in owed.items():
        yield _deadline(step, was, None, last)


def _deadline(step: Step, was: Move, done: int | None, last: Move) -> Deadline:
    due = _due(was, step)
    assert due is not None
    return Deadline(step, was.severity, due, done, last.escalation != "desk")


def _due(move: Move, step: Step) -> int | None:
    return move.contact_due if step == "contact" or move.visit_due is None else move.visit_due
