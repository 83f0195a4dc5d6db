"""The catalogue as data: indicators, signals, anchors and the Spring Festival, read once from the CSV files here."""

import csv
import hashlib
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from domain.calendar import date_of, day_of_date, day_of_text

Condition = Annotated[str, msgspec.Meta(max_length=1_000)]
Remark = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
_NAME = re.compile(r"[a-z][a-z0-9_.]*")
WHY = ("name_en", "false_alarm_note", "source", "owner", "rationale")  # what a row of rules/1 lacks
_SIGNAL_TEXTS = (
    "id", "name_zh", "family", "hysteresis", "min_history", "not_computable_when", "suppress_when", "scope", *WHY,
)  # fmt: skip
_WORKED = {"off": False, "worked": True, "provisional": False}
_SIGNAL_COLUMNS = {*_SIGNAL_TEXTS, "condition_yellow", "condition_orange", "condition_red", "evidence", "enabled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A row of `indicators.csv`."""

    id: str
    group: str
    name_zh: str
    unit: str
    update: str  # event, day_close or both: when it moves
    tier: str  # core: it may score
    higher_is_riskier: bool


class SignalRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of `signals.csv`, its conditions as text; `levels` are yellow, orange, red, empty where it has none."""

    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    name_zh: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    family: str
    levels: tuple[Condition, Condition, Condition]
    hysteresis: Condition
    min_history: Condition
    not_computable_when: Condition
    suppress_when: Condition
    evidence: tuple[str, ...]  # names of numbers; what is left of the column (transactions) is for people
    scope: Literal["platform", "lender"]
    enabled: bool
    name_en: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = ""  # this and the following: empty in rules/1
    false_alarm_note: Remark = ""
    source: Remark = ""  # of the thresholds: a work, or `proposed`
    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = ""  # the role at a bank that answers for it
    rationale: Remark = ""  # why it tells of credit risk


@cache
def indicators() -> dict[str, Indicator]:
    """Return all 183 indicators by id."""
    return {
        row["id"]: Indicator(
            id=row["id"],
            group=row["group"],
            name_zh=row["name_zh"],
            unit=row["unit"],
            update=row["update"],
            tier=row["tier"],
            higher_is_riskier=row["risk_direction"] == "higher_is_riskier",
        )
        for row in _rows("indicators.csv")
    }


@cache
def catalogue_id() -> str:
    """Return the first 16 hex digits of the SHA-256 of `indicators.csv`: they stand for the indicators' meaning."""
    return hashlib.sha256(_text("indicators.csv").encode()).hexdigest()[:16]


@cache
def signals() -> tuple[SignalRow, ...]:
    """Return all 50 signals in the order of the file: row i is on line i + 2."""
    return signal_rows(_text("signals.csv"))


def signal_rows(text: str) -> tuple[SignalRow, ...]:
    """Return the rows of a file like `signals.csv`.

    Raise ValueError, with line and column, where one is no such row.
    """
    reader = csv.DictReader(text.splitlines())
    if missing := _SIGNAL_COLUMNS - set(reader.fieldnames or ()):
        raise ValueError(f"line 1: no column {', '.join(sorted(missing))}")
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num}: more or fewer fields than columns; quote one with a comma")
        try:
            rows.append(_signal_row(row))
        except msgspec.ValidationError as error:
            raise ValueError(f"line {reader.line_num}, {row['id']}: {error}") from error
    return tuple(rows)


def _signal_row(row: dict[str, str]) -> SignalRow:
    evidence = [part.strip() for part in row["evidence"].split(";")]
    return msgspec.convert(
        {name: row[name] for name in _SIGNAL_TEXTS}
        | {
            "levels": [row[f"condition_{level}"] for level in ("yellow", "orange", "red")],
            "evidence": [part for part in evidence if _NAME.fullmatch(part)],
            "enabled": row["enabled"] == "yes",
        },
        SignalRow,
    )


@cache
def anchors() -> dict[str, tuple[float, float, float, float, float]]:
    """Return the five anchors (p5, p25, p50, p75, p95) of the indicators that score, in the indicator's unit."""
    return {
        row["id"]: (float(row["p5"]), float(row["p25"]), float(row["p50"]), float(row["p75"]), float(row["p95"]))
        for row in _rows("anchors.csv")
    }


@cache
def expert_points() -> dict[str, int]:
    """Return the catalogue's points of the indicators that score: their weights within the group, before any label.

    0 stands for no expert weight: learning alone weighs the indicator.
    """
    return {row["id"]: int(row["points"]) for row in _rows("anchors.csv")}


@cache
def spring_festivals() -> tuple[int, ...]:
    """Return the day numbers of the lunar new year, ascending."""
    return tuple(day_of_text(row["first_day"]) for row in _rows("spring_festival.csv"))


@cache
def workdays() -> dict[int, bool]:
    """Return by day number whether it is a business day, for days of 2004 to 2050 that are not what their weekday says.

    Up to `workdays_decided_until` this is what the State Council has published, after that the law on holidays alone.
    """
    return {day: _WORKED[kind] for day, kind in _workday_rows()}


@cache
def workdays_decided_until() -> int:
    """Return the day number of the last day whose year is published. What rests on a later day is provisional."""
    return _end_of_year(max(day for day, kind in _workday_rows() if kind != "provisional"))


@cache
def calendar_ends() -> dict[str, int]:
    """Return, by table of dates, the last day number that it surely covers: to be extended well before that."""
    return {"spring_festival": _end_of_year(max(spring_festivals())), "workdays": workdays_decided_until()}


@cache
def _workday_rows() -> tuple[tuple[int, str], ...]:
    """Return (day number, kind) of each row of `workdays.csv`.

    Raise ValueError, with the line, where one is no such row.
    """
    found = []
    for number, row in enumerate(_rows("workdays.csv"), 2):
        if row["kind"] not in _WORKED:
            raise ValueError(f"workdays.csv line {number}: kind {row['kind']!r} is none of {', '.join(_WORKED)}")
        found.append((day_of_text(row["day"]), row["kind"]))
    return tuple(found)


def _end_of_year(day: int) -> int:
    return day_of_date(date(date_of(day).year, 12, 31))


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(name).splitlines()))


def _text(name: str) -> str:
    return files("config").joinpath(name).read_text(encoding="utf-8")
