"""The transactions of a lender itself that explain an alert: a named query for each signal, cut to that bank.

`own_transactions.csv` has a row a signal: how many days before the alert, transactions of which classes or purposes
(docs/indicators.md; credit, debit, returned: all such), and whether the largest or the newest of them. A signal without
a row rests on no transactions (a freeze, the score).
"""

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from domain.calendar import DAY_MS
from features.state.classes import CLASS_OF, CLASSES, CREDIT, DEBIT, KINDS, OVERLAYS, OVERLAYS_OF, PURPOSES
from sinks.clickhouse.connection import Connection

SHOWN_MAX = 50
_ORDERS = {"largest": "amount_cny_minor DESC, event_time DESC", "newest": "event_time DESC"}
_WHOLE = {"credit": CREDIT, "debit": DEBIT}
_MS = "toUnixTimestamp64Milli"


class Picked(NamedTuple):
    """A row of the table. `cells` are direction|purpose|kind as transactions have them; `returned`: those too."""

    days: int
    cells: tuple[str, ...]
    returned: bool
    pick: Literal["largest", "newest"]


class OwnTransaction(NamedTuple):
    """A transaction that the bank itself has sent. `amount_cny_minor`: fen at the day's rate; None: there is none."""

    event_id: str
    event_time_ms: int
    direction: str
    amount_minor: int
    currency: str
    amount_cny_minor: int | None
    balance_minor: int | None
    counterparty_id: str | None
    counterparty_kind: str | None
    purpose: str | None
    channel: str | None
    status: str
    return_reason: str | None


@cache
def picked() -> dict[str, Picked]:
    """Return the table by signal. Raise ValueError, with the line, where it names no class or order."""
    text = files("sinks.clickhouse").joinpath("own_transactions.csv").read_text(encoding="utf-8")
    found: dict[str, Picked] = {}
    for line, row in enumerate(csv.DictReader(text.splitlines()), 2):
        names = row["of"].split()
        cells = dict.fromkeys(cell for name in names if name != "returned" for cell in _cells(name))
        if row["pick"] not in _ORDERS or not names or not (cells or names == ["returned"]):
            raise ValueError(
                f"own_transactions.csv line {line}, {row['signal']}: of {row['of']!r}, pick {row['pick']!r}"
            )
        pick: Literal["largest", "newest"] = "largest" if row["pick"] == "largest" else "newest"
        found[row["signal"]] = Picked(int(row["days"]), tuple(cells), "returned" in names, pick)
    return found


def own_transactions(
    db: Connection, signal_id: str, bank_id: str, enterprise_id: str, as_of_ms: int, up_to: int
) -> list[OwnTransaction]:
    """Return the bank's own transactions that explain a signal at an alert of `as_of_ms`; none where none do.

    up_to: the alert's offset of the log; what came later is left out. At most SHOWN_MAX, in the signal's order. Raise
    Unavailable or Refused where ClickHouse fails.
    """
    row = picked().get(signal_id)
    if row is None:
        return []
    query = f"""SELECT event_id, {_MS}(event_time) AS at_ms, direction, amount_minor, currency, amount_cny_minor,
            balance_minor, counterparty_id, counterparty_kind, purpose, channel, status, return_reason
        FROM {db.database}.txn FINAL
        WHERE bank_id = {{bank:String}} AND enterprise_id = {{enterprise:String}} AND log_offset <= {{up_to:Int64}}
            AND at_ms >= {{from:Int64}} AND at_ms < {{to:Int64}}
            AND (({{returned:UInt8}} AND status = 'returned') OR (status = 'booked' AND
                concat(direction, '|', ifNull(purpose, ''), '|', ifNull(counterparty_kind, ''))
                    IN {{cells:Array(String)}}))
        ORDER BY {_ORDERS[row.pick]}, event_id LIMIT {SHOWN_MAX}"""
    asked = {
        "bank": bank_id, "enterprise": enterprise_id, "up_to": up_to, "from": as_of_ms - row.days * DAY_MS,
        "to": as_of_ms, "returned": int(row.returned), "cells": list(row.cells),
    }  # fmt: skip
    return [OwnTransaction(*found) for found in db.rows(query, asked)]


def _cells(name: str) -> Iterator[str]:
    """Yield direction|purpose|kind of all transactions that a name stands for."""
    for direction, letter in ((CREDIT, "C"), (DEBIT, "D")):
        for p, purpose in enumerate(PURPOSES):
            for k, kind in enumerate(KINDS):
                at = direction, p, k
                if name in OVERLAYS:
                    is_named = OVERLAYS_OF[at] >> OVERLAYS.index(name) & 1
                elif name in CLASSES:
                    is_named = CLASSES[CLASS_OF[at]] == name
                else:
                    is_named = direction == _WHOLE.get(name) or (purpose == name and direction == DEBIT)
                if is_named:
                    yield f"{letter}|{purpose or ''}|{kind or ''}"
