"""The content of a report, whatever file it becomes: tables of typed cells, and the facts that each page says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, NamedTuple

from domain.calendar import date_of
from domain.language import Lang

Cell = str | int | float | None
# level: a severity; day: a day number; money: minor units; share: millionths; number: with one decimal.
Kind = Literal["text", "id", "level", "day", "money", "count", "number", "share"]
NUMERIC: frozenset[Kind] = frozenset({"money", "count", "number", "share"})
_FORMULA = "=+-@＝＋－＠\t\r\n"
_MINOR, _PPM = 100, 1_000_000


class Column(NamedTuple):
    """A column of a table. width: in characters of Latin text."""

    head: str
    kind: Kind
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its title, and what is said above it. `empty`: in place of rows, where there are none."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    empty: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section of a letter: what it says, then a table."""

    title: str
    said: Sequence[str] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A report. whose: the bank, or the supervisor; period, data_date, rests_on: as its pages say them.

    made_on: the day of the data, which stands for the time at which the file was made. parts: of a letter.
    """

    lang: Lang
    title: str
    whose: str
    period: str
    data_date: str
    rests_on: str
    made_on: int
    tables: Sequence[Table] = ()
    parts: Sequence[Part] = ()

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts at the head and foot of each page: whose it is, of when, and what it rests on."""
        return self.whose, self.period, self.data_date, self.rests_on

    @property
    def made_at(self) -> datetime:
        """Return the time that a file's properties have, without a zone as these want it."""
        return datetime.combine(date_of(self.made_on), datetime.min.time())


def value(cell: Cell, kind: Kind) -> str | float | date | None:
    """Return a cell as a number, a date or text."""
    match cell, kind:
        case None, _:
            return None
        case int(), "day":
            return date_of(cell)
        case int(), "money":
            return cell / _MINOR
        case int(), "share":
            return cell / _PPM
        case _:
            return cell


def shown(cell: Cell, kind: Kind) -> str:
    """Return a cell as text; of one that is empty a dash."""
    match value(cell, kind), kind:
        case None, _:
            return "–"
        case number, "money":
            return f"{number:,.2f}"
        case float() | int() as number, "share":
            return f"{number:.1%}"
        case float() | int() as number, "number":
            return f"{number:,.1f}"
        case number, "count":
            return f"{number:,}"
        case other, _:
            return str(other)


def quoted(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: one that begins like it is quoted with an apostrophe.

    >>> quoted("=1+1"), quoted("逾期"), quoted(" @SUM(A1)")
    ("'=1+1", '逾期', "' @SUM(A1)")
    """
    begins = text[:1] in tuple(_FORMULA) or text.lstrip()[:1] in tuple(_FORMULA)
    return f"'{text}" if begins else text
