"""The case table: what a case's level is made of, and by when a desk deals with it. Part of the rules artefact.

Packaged in three files here: `case_points.csv` (points and hard rules by signal), `findings.csv` (the findings that
signals belong to) and `cases.toml` (everything else). Whether the table fits its signals is checked where it is
compiled (detectors/rules/claim.py).
"""

import csv
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, NamedTuple

import msgspec

from domain.outputs import SEVERITIES, Severity

FINDINGS_MAX = 16
ANCHORS_MAX = 8
MILLI = 1_000
LOGIT_MAX = 30 * MILLI
BUDGET_MAX = 1_000
Logit = Annotated[int, msgspec.Meta(ge=-LOGIT_MAX, le=LOGIT_MAX)]
Points = Annotated[int, msgspec.Meta(ge=0, le=20 * MILLI)]  # of a signal: thousandths of a logit
Score = Annotated[int, msgspec.Meta(ge=400 * MILLI, le=700 * MILLI)]
Move = Annotated[int, msgspec.Meta(ge=-300, le=300)]
Cases = Annotated[int, msgspec.Meta(ge=1, le=BUDGET_MAX)]  # of 1,000 borrowers a month
Days = Annotated[int, msgspec.Meta(ge=0, le=255)]
# Cases of 1,000 borrowers a month, defaults caught (ppm), precision (ppm); then the cut-offs yellow, orange, red, which
# tables of before have not. What each number may be: detectors/rules/claim.py.
CurvePoint = Annotated[tuple[int, ...], msgspec.Meta(min_length=3, max_length=6)]
WITH_CUTOFFS = 6
Id = Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_HARD_RULES = tuple(f"alone_{severity}" for severity in SEVERITIES)
_COLUMNS = ("id", "finding", *SEVERITIES, *_HARD_RULES)


class Cutoffs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The logits (milli) from which on a case is yellow, orange or red."""

    yellow: Logit
    orange: Logit
    red: Logit


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Signals that are one line of a case: those with the most points count, the others add nothing."""

    id: Id
    name_zh: Name
    name_en: Name
    signals: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class StandsAlone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hard rule: a signal at `at` or a graver level lifts its case to at least `level`, whatever the claim."""

    signal: str
    at: Severity = msgspec.field(name="from")
    level: Severity


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cases that a desk can deal with: opened or made graver, of 1,000 borrowers a month."""

    orange_red_per_1000_month: Cases
    yellow_per_1000_month: Cases


class Deadline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Working days until the enterprise is called and visited; None: at the next check, which has no date."""

    contact_days: Days | None = None
    visit_days: Days | None = None


class Deadlines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By level of the case; and working days after a deadline until a case goes to whoever is next."""

    yellow: Deadline
    orange: Deadline
    red: Deadline
    head_office_after_days: Days
    supervisor_after_days: Days  # after it went to the head office


class CaseTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claim of a case. Logits and points are in thousandths; signals without points have none."""

    intercept_milli: Logit
    score: Annotated[tuple[tuple[Score, Logit], ...], msgspec.Meta(min_length=1, max_length=ANCHORS_MAX)]
    move: Annotated[tuple[tuple[Move, Logit], ...], msgspec.Meta(min_length=1, max_length=ANCHORS_MAX)]
    cutoffs_milli: Cutoffs
    findings: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=FINDINGS_MAX)]
    points_milli: dict[str, tuple[Points, Points, Points]]  # by signal: at yellow, orange, red
    alone: tuple[StandsAlone, ...]
    closes_to_ease: Annotated[int, msgspec.Meta(ge=1, le=99)]
    cured_to: Severity = "yellow"  # a higher case eases to it at once where all its episodes wait
    cooldown_days: Annotated[int, msgspec.Meta(ge=0, le=255)]
    budget: Budget
    curve: tuple[CurvePoint, ...]  # what other budgets bring, ascending
    deadlines: Deadlines
    evidence: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]

    def at_budget(self, cases: int) -> "CaseTable":
        """Return the table with the cut-offs that the curve has at so many orange and red cases, and with that budget.

        Between two points they are linear, rounded down. cases: of 1,000 borrowers a month. Raise ValueError where the
        curve has no cut-offs, or does not reach so far.
        """
        if not self.curve or any(len(point) != WITH_CUTOFFS for point in self.curve):
            raise ValueError(f"budget {cases}: this curve has no cut-offs; run xinliu rules fit")
        first, last = self.curve[0][0], self.curve[-1][0]
        if not first <= cases <= last:
            raise ValueError(f"budget {cases}: the curve goes from {first} to {last} cases of 1,000 borrowers a month")
        low = max(point for point in self.curve if point[0] <= cases)
        high = min(point for point in self.curve if point[0] >= cases)
        step, whole = cases - low[0], max(1, high[0] - low[0])
        cut = [at + (to - at) * step // whole for at, to in zip(low[3:], high[3:], strict=True)]
        return msgspec.structs.replace(
            self,
            cutoffs_milli=Cutoffs(**dict(zip(SEVERITIES, cut, strict=True))),
            budget=msgspec.structs.replace(self.budget, orange_red_per_1000_month=cases),
        )

    def of_signals(self, ids: frozenset[str]) -> "CaseTable":
        """Return the table without what it says of other signals."""
        findings = [
            msgspec.structs.replace(each, signals=tuple(one for one in each.signals if one in ids))
            for each in self.findings
        ]
        return msgspec.structs.replace(
            self,
            findings=tuple(each for each in findings if each.signals),
            points_milli={signal: points for signal, points in self.points_milli.items() if signal in ids},
            alone=tuple(each for each in self.alone if each.signal in ids),
        )


class Texts(NamedTuple):
    """The three files of a case table, each with the name that mistakes are told by."""

    points: tuple[str, str]  # name, content
    findings: tuple[str, str]
    rest: tuple[str, str]


class Source(NamedTuple):
    """A case table, and where its parts stand: by key of the table (as `points_milli.EWS35_arrears`), file and line."""

    table: CaseTable
    places: Mapping[str, str]

    def place_of(self, key: str) -> str:
        """Return the file, and the line or key, that a part of the table stands in."""
        return self.places.get(key) or f"{self.places['']}: {key}"


@cache
def packaged_case_table() -> Source:
    """Return the case table that is packaged with the engine."""
    return case_table_of(packaged_texts())


def packaged_texts() -> Texts:
    """Return the packaged files."""
    return Texts(*((name, _text(name)) for name in ("case_points.csv", "findings.csv", "cases.toml")))


def case_table_of(texts: Texts) -> Source:
    """Return the case table that three files make.

    Raise ValueError, with file, line and column, or file and key, where one is not of its form.
    """
    points, findings, rest = texts
    places = {"": rest[0]}
    rows: dict[str, dict[str, str]] = {}
    for place, row in _rows(*points, _COLUMNS):
        if row["id"] in rows:
            raise ValueError(f"{place}, {row['id']}: the signal has a line already")
        rows[row["id"]] = row
        places |= dict.fromkeys((f"points_milli.{row['id']}", f"alone.{row['id']}"), f"{place}, {row['id']}")
    named: dict[str, dict[str, str]] = {}
    for place, row in _rows(*findings, ("id", "name_zh", "name_en")):
        if row["id"] in named:
            raise ValueError(f"{place}, {row['id']}: the finding has a line already")
        named[row["id"]] = row
        places[f"findings.{row['id']}"] = f"{place}, {row['id']}"
    for signal, row in rows.items():
        if row["finding"] and row["finding"] not in named:
            raise ValueError(f"{places[f'points_milli.{signal}']}, finding: {findings[0]} has no {row['finding']}")
    fields = {
        "findings": [
            {**row, "signals": [signal for signal, its in rows.items() if its["finding"] == row["id"]]}
            for row in named.values()
        ],
        "points_milli": {
            signal: _points(row, places[f"points_milli.{signal}"])
            for signal, row in rows.items()
            if any(row[severity] for severity in SEVERITIES)
        },
        "alone": [
            {"signal": signal, "from": severity, "level": row[column]}
            for signal, row in rows.items()
            for severity, column in zip(SEVERITIES, _HARD_RULES, strict=True)
            if row[column]
        ],
    }
    try:
        toml = tomllib.loads(rest[1])
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{rest[0]}: {error}") from error
    if odd := sorted(fields.keys() & toml.keys()):
        raise ValueError(f"{rest[0]}: {odd[0]} stands in the CSV files")
    return Source(_converted(toml | fields, places), places)


def _converted(fields: dict[str, Any], places: Mapping[str, str]) -> CaseTable:
    """Return the table of its parts; those of the CSV files are converted first, each beside its place."""
    for key, kind, id_of in (("findings", Finding, "id"), ("alone", StandsAlone, "signal")):
        for each in fields[key]:
            try:
                msgspec.convert(each, kind)
            except msgspec.ValidationError as error:
                raise ValueError(f"{places[f'{key}.{each[id_of]}']}: {error}") from error
    for signal, points in fields["points_milli"].items():
        try:
            msgspec.convert(points, tuple[Points, Points, Points])
        except msgspec.ValidationError as error:
            raise ValueError(f"{places[f'points_milli.{signal}']}, {_severity_of(error)}: {error}") from error
    try:
        return msgspec.convert(fields, CaseTable)
    except msgspec.ValidationError as error:
        raise ValueError(f"{places['']}: {error}") from error


def _severity_of(error: msgspec.ValidationError) -> str:
    """Return the column of the number that a converter of three has refused."""
    return next((severity for i, severity in enumerate(SEVERITIES) if f"$[{i}]" in str(error)), "points")


def _points(row: dict[str, str], place: str) -> list[int]:
    """Return the points of a line. A level without a number has those of the level below."""
    found, last = [], 0
    for severity in SEVERITIES:
        if row[severity]:
            try:
                last = int(row[severity])
            except ValueError:
                raise ValueError(f"{place}, {severity}: {row[severity]!r} is no whole number") from None
        found.append(last)
    return found


def _rows(name: str, text: str, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """Return (file and line, row) of each line of a CSV file that has these columns."""
    reader = csv.DictReader(text.splitlines())
    found = list(reader.fieldnames or ())
    if missing := [column for column in columns if column not in found]:
        raise ValueError(f"{name} line 1: no column {', '.join(missing)}")
    if odd := [column for column in found if column not in columns]:
        raise ValueError(f"{name} line 1: column {odd[0]} is none of {', '.join(columns)}")
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(
                f"{name} line {reader.line_num}: more or fewer fields than columns; quote one with a comma"
            )
        rows.append((f"{name} line {reader.line_num}", row))
    return rows


def _text(name: str) -> str:
    return files("config").joinpath(name).read_text(encoding="utf-8")
