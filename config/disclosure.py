"""Tables of what a bank may be shown of numbers that rest on other banks' data, each read once.

`disclosure.csv` has a row for each number of which something is known: what it rests on, and over how many days. A
number without a row rests on everything that any bank ever reported. `bands.csv` has the bands of each kind of number
(`wording.csv`), in both languages; a kind without bands has none, and its numbers are withheld instead.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from domain.language import Words

RestsOn = Literal["public", "flows", "balances"]


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The data that a number rests on.

    public: nothing of other banks that a lender may not see (docs/adr/0035-what-a-bank-may-compute.md). flows:
    transactions of `days` before the last close, and since. balances: those of all accounts, read over `days`.
    """

    rests_on: RestsOn
    days: int


@dataclass(frozen=True, slots=True)
class Band:
    """A band of one kind of number: from the limit of the band before to below its own; None: without a limit."""

    below: float | None
    text: Words  # `{}` stands for the measure word of a count


@cache
def disclosures() -> dict[str, Disclosure]:
    """Return what numbers rest on, by id."""
    found = {}
    for line, row in enumerate(_rows("disclosure.csv"), 2):
        if row["rests_on"] not in get_args(RestsOn) or (row["rests_on"] == "public") != (row["days"] == ""):
            raise ValueError(
                f"config/disclosure.csv, line {line}, {row['id']}: {row['rests_on']!r} over {row['days']!r} days"
            )
        found[row["id"]] = Disclosure(row["rests_on"], int(row["days"] or 0))  # type: ignore[arg-type]
    return found


@cache
def bands() -> dict[str, tuple[Band, ...]]:
    """Return the bands of each kind of number, in ascending order; the last one has no limit."""
    found: dict[str, tuple[Band, ...]] = {}
    for row in _rows("bands.csv"):
        band = Band(float(row["below"]) if row["below"] else None, Words(row["zh"], row["en"]))
        found[row["kind"]] = (*found.get(row["kind"], ()), band)
    return found


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(files("config").joinpath(table).read_text(encoding="utf-8").splitlines()))
