"""Indicators and signals of the catalogue: names in both languages, and the riskier direction of an indicator."""

import csv
from functools import cache
from importlib.resources import files

DIRECTION = {"higher_is_riskier": 1, "lower_is_riskier": -1}


@cache
def directions() -> dict[str, int]:
    """Return by indicator 1 where a higher value is riskier, -1 where a lower one is, 0 for neither."""
    return {row["id"]: DIRECTION.get(row["risk_direction"], 0) for row in _rows("indicators.csv")}


@cache
def names() -> dict[str, tuple[str, str]]:
    """Return by id of an indicator or signal its names in Chinese and English."""
    return {
        row["id"]: (row["name_zh"], row["name_en"])
        for table in ("indicators.csv", "signals.csv")
        for row in _rows(table)
    }


def _rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(files("config").joinpath(table).read_text(encoding="utf-8").splitlines()))
