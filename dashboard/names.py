"""What indicators and signals are called, in both languages."""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Name(NamedTuple):
    """One name in Chinese and English."""

    zh: str
    en: str


def indicator_name(indicator: str) -> Name:
    """The name of an indicator; its id where the catalogue does not know it."""
    return _names("indicators.csv").get(indicator, Name(indicator, indicator))


def signal_name(signal: str) -> Name:
    """The name of a signal; its id where the catalogue does not know it."""
    return _names("signals.csv").get(signal, Name(signal, signal))


@cache
def _names(file: str) -> dict[str, Name]:
    text = files("config").joinpath(file).read_text(encoding="utf-8")
    return {row["id"]: Name(row["name_zh"], row["name_en"]) for row in csv.DictReader(text.splitlines())}
