"""The facts that a month's report is made of, read once for all of its tables."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dashboard.reports import reading
from dashboard.reports.basis import Basis, Period
from dashboard.reports.book import Cell, Column
from dashboard.reports.deadlines import Deadline, deadlines
from dashboard.reports.defaults import Default, new_defaults
from dashboard.reports.ledger import Told
from dashboard.reports.reading import Borrower, Customer, Life, Move
from sinks.clickhouse import Connection

PPM = 1_000_000


class Found(NamedTuple):
    """The facts of a month's report. before, after: the lives as of the days before and at the end of it."""

    before: Sequence[Life]
    after: Sequence[Life]
    owed: Sequence[Deadline]  # those that fell due in it
    told: Told
    known: Mapping[Borrower, Customer]
    defaults: Sequence[Default]
    cases: Mapping[Borrower, Sequence[Sequence[Move]]]
    names: Mapping[str, str]


def find(db: Connection, basis: Basis, period: Period, names: Mapping[str, str]) -> Found:
    """Return it, as of the end of the month. names: of the banks, by code."""
    bank, first, last = basis.bank_id, period.first, period.last
    defaults = list(new_defaults(reading.loan_reports(db, bank, last), period))
    failed = {one.enterprise_id for one in defaults}
    cases: dict[Borrower, list[list[Move]]] = {}
    for moves in reading.moves(db, bank, last, enterprises=failed, due=(first, last)).values():
        cases.setdefault((moves[0].bank_id, moves[0].enterprise_id), []).append(moves)
    owed = [
        deadline
        for of_borrower in cases.values()
        for moves in of_borrower
        for life in _lives(moves)
        for deadline in deadlines(life)
        if period.holds(deadline.due) and (deadline.kept or deadline.due <= basis.data_day)
    ]
    return Found(
        before=reading.lives(db, bank, first - 1),
        after=reading.lives(db, bank, last),
        owed=owed,
        told=reading.signals_told(db, bank, last),
        known=reading.customers(db, bank, last),
        defaults=defaults,
        cases=cases,
        names=names,
    )


def _lives(moves: Sequence[Move]) -> list[list[Move]]:
    found: dict[int, list[Move]] = {}
    for move in moves:
        found.setdefault(move.opened_ms, []).append(move)
    return list(found.values())


def share(part: int, whole: int) -> int | None:
    """Return a share in millionths, half up; None of nothing."""
    return (2 * part * PPM + whole) // (2 * whole) if whole else None


def closed_in(found: Found, period: Period) -> list[Life]:
    """Return the lives that were closed in it."""
    return [life for life in found.after if not life.is_open and period.holds(life.closed)]


def judged_in(found: Found, period: Period) -> list[Life]:
    """Return those of them that somebody has disposed of."""
    return [life for life in closed_in(found, period) if life.state in ("disposed", "false_alarm")]


def bank_column(basis: Basis) -> tuple[Column, ...]:
    """Return the column of the bank, in reports for the supervisor."""
    return (Column(basis.t("银行", "bank"), "text", 20),) if basis.bank is None else ()


def bank_cell(basis: Basis, found: Found, bank_id: str) -> tuple[Cell, ...]:
    """Return its cell."""
    return (found.names.get(bank_id, bank_id),) if basis.bank is None else ()
