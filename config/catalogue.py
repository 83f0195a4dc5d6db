"""The catalogue as data: indicators, signals, anchors and the Spring Festival, read once from the CSV files here."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from domain.calendar import day_of_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A row of `indicators.csv`."""

    id: str
    group: str
    name_zh: str
    unit: str
    higher_is_riskier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """A row of `signals.csv`, its conditions still text; `levels` are yellow, orange, red."""

    id: str
    name_zh: str
    levels: tuple[str, str, str]
    hysteresis: str
    min_history: str
    suppress_when: str
    evidence: tuple[str, ...]
    scope: str
    enabled: bool
    line: int


@cache
def indicators() -> dict[str, Indicator]:
    """All 181 indicators by id."""
    return {
        row["id"]: Indicator(
            id=row["id"],
            group=row["group"],
            name_zh=row["name_zh"],
            unit=row["unit"],
            higher_is_riskier=row["risk_direction"] == "higher_is_riskier",
        )
        for row in _rows("indicators.csv")
    }


@cache
def signals() -> tuple[SignalRow, ...]:
    """All 50 signals in the order of the file."""
    return tuple(
        SignalRow(
            id=row["id"],
            name_zh=row["name_zh"],
            levels=(row["condition_yellow"], row["condition_orange"], row["condition_red"]),
            hysteresis=row["hysteresis"],
            min_history=row["min_history"],
            suppress_when=row["suppress_when"],
            evidence=tuple(part.strip() for part in row["evidence"].split(";")),
            scope=row["scope"],
            enabled=row["enabled"] == "yes",
            line=line,
        )
        for line, row in enumerate(_rows("signals.csv"), 2)
    )


@cache
def anchors() -> dict[str, tuple[float, float, float, float, float]]:
    """The five anchors (p5, p25, p50, p75, p95) of the indicators that score, in the indicator's unit."""
    return {
        row["id"]: (float(row["p5"]), float(row["p25"]), float(row["p50"]), float(row["p75"]), float(row["p95"]))
        for row in _rows("anchors.csv")
    }


@cache
def spring_festivals() -> tuple[int, ...]:
    """Day numbers of the lunar new year, ascending."""
    return tuple(day_of_text(row["first_day"]) for row in _rows("spring_festival.csv"))


def _rows(name: str) -> list[dict[str, str]]:
    text = files("config").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
