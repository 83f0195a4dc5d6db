"""A list of outcomes, as a bank has it: what is wrong with it is listed by line, and nothing is skipped in silence.

A CSV file with the columns id, label and date. id: of an enterprise, or of a loan. label: bad or good, also 1 or 0.
date: of a bad one the day on which it went bad; of a good one the day up to which that is known.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec

from domain.calendar import day_of_text
from replay.sources import SourceError

COLUMNS = ("id", "label", "date")
LABELS: Mapping[str, bool] = {"bad": True, "good": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of an enterprise or a loan. day: day number of the date."""

    line: int
    id: str
    bad: bool
    day: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is not judged, or not in one of the views, and why."""

    line: int
    id: str
    kind: str  # the same for all lines of a kind: what they are counted by
    detail: str


@dataclass(slots=True)
class Outcomes:
    """The usable outcomes by id, and the lines that are not used, or not in one view. lines: rows that were read."""

    found: dict[str, Outcome] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lines: int = 0

    def refuse(self, one: Outcome, kind: str, detail: str) -> None:
        """Leave out a usable outcome after all."""
        del self.found[one.id]
        self.note(one, kind, detail)

    def note(self, one: Outcome, kind: str, detail: str) -> None:
        """List an outcome that stays usable, but not in every view."""
        self.problems.append(Problem(line=one.line, id=one.id, kind=kind, detail=detail))


def read_outcomes(path: Path, today: date) -> Outcomes:
    """Return the outcomes of a file. `today`: dates after it are refused.

    Raise SourceError where it is no CSV file, or lacks a column.
    """
    outcomes = Outcomes()
    by_id: dict[str, list[Outcome]] = defaultdict(list)
    for line, row in _rows(path):
        outcomes.lines += 1
        one = _outcome(line, row, today)
        if isinstance(one, Problem):
            outcomes.problems.append(one)
        else:
            by_id[one.id].append(one)
    for name, some in by_id.items():
        lines = ", ".join(str(one.line) for one in some)
        if len({one.bad for one in some}) > 1:
            detail = f"lines {lines} say both good and bad: none of them is used"
            outcomes.problems += (Problem(line=one.line, id=name, kind="contradiction", detail=detail) for one in some)
            continue
        outcomes.found[name] = some[0]
        detail = f"the id stands in line {some[0].line} already"
        outcomes.problems += (Problem(line=one.line, id=name, kind="doubled", detail=detail) for one in some[1:])
    outcomes.problems.sort(key=lambda one: one.line)
    return outcomes


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells of COLUMNS) of each row; the cells are all of the row where it has not a cell a column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            head = [name.strip() for name in next(reader, [])]
            if missing := [name for name in COLUMNS if name not in head]:
                raise SourceError(
                    f"{path}, line 1: no column {', '.join(missing)} (it has {', '.join(head) or 'none'})"
                )
            places = [head.index(name) for name in COLUMNS]
            for row in reader:
                if row:
                    yield reader.line_num, [row[at].strip() for at in places] if len(row) == len(head) else row
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV file that can be read: {error}") from error


def _outcome(line: int, cells: list[str], today: date) -> Outcome | Problem:
    def problem(kind: str, detail: str) -> Problem:
        return Problem(line=line, id=cells[0] if cells else "", kind=kind, detail=detail)

    if len(cells) != len(COLUMNS):
        return problem("malformed", f"the row has {len(cells)} cells, not one a column")
    name, label, text = cells
    if empty := [column for column, cell in zip(COLUMNS, cells, strict=True) if not cell]:
        return problem("missing", f"{' and '.join(empty)} is empty")
    if label not in LABELS:
        return problem("label", f"label {label!r} is none of {', '.join(LABELS)}")
    try:
        day = day_of_text(text)
    except ValueError:
        return problem("date", f"date {text!r} is no day of the calendar, as 2025-07-01")
    if date.fromisoformat(text) > today:
        return problem("future", f"date {text} has not come: today is {today}")
    return Outcome(line=line, id=name, bad=LABELS[label], day=day)
