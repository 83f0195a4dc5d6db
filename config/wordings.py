"""Names of things and forms of numbers in both languages, read once from the CSV files here.

`wording.csv` is a table of its own beside `indicators.csv`, whose hash is the catalogue's id: the words for a number do
not change its meaning. Kernels read none of this, so a change of words compiles nothing.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from domain.language import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A row of `wording.csv`: the words for an indicator, a number of the context, a flag or an event."""

    name: Words
    kind: str  # of a number, which decides its formatter (detectors/wording/numbers.py); or event
    measure_zh: str  # the measure word of a count
    most: float | None  # the cap of the indicator's formula: this and more
    usual_of: str  # of a change or share: the number that it sets against its usual value; empty: none
    usual: Words  # the words for that value


@cache
def wordings() -> dict[str, Wording]:
    """Return the words for each indicator, number of the context, flag and event, by id."""
    called = _names("indicators.csv")
    found = {}
    for row in _rows("wording.csv"):
        own = called.get(row["id"], Words("", ""))
        found[row["id"]] = Wording(
            name=Words(row["said_zh"] or own.zh, row["said_en"] or own.en),
            kind=row["kind"],
            measure_zh=row["measure_zh"],
            most=float(row["most"]) if row["most"] else None,
            usual_of=row["usual_of"],
            usual=Words(row["usual_zh"], row["usual_en"]),
        )
    return found


@cache
def signal_names() -> dict[str, Words]:
    """Return the name of each signal of the catalogue, by id."""
    return _names("signals.csv")


@cache
def checks() -> dict[str, Words]:
    """Return what a loan officer checks, by signal id."""
    return {row["id"]: Words(row["check_zh"], row["check_en"]) for row in _rows("checks.csv")}


def _names(table: str) -> dict[str, Words]:
    return {row["id"]: Words(row["name_zh"], row["name_en"]) for row in _rows(table)}


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(files("config").joinpath(table).read_text(encoding="utf-8").splitlines()))
