"""Reads personal_numbers.tsv: spellings of numbers of persons and accounts, all made up, a line each.

How they are spelled stands beside them; what is not seen on a screen is written as Python escapes. Some are there that
nobody can find without knowing more, so that the share that is found is true.
"""

from pathlib import Path
from typing import NamedTuple


class Spelling(NamedTuple):
    """One spelling: the kind of number, how it is spelled, and the text."""

    kind: str
    how: str
    text: str


def spellings() -> list[Spelling]:
    """Return the lines."""
    lines = Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [Spelling(*map(_unescaped, line.split("\t"))) for line in lines]


def _unescaped(text: str) -> str:
    return text.encode("latin-1").decode("unicode_escape") if "\\" in text else text
