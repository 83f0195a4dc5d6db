"""The numbers of a row that one bank is shown as they are; all others go to it as bands.

A number is shown where nobody's data can be subtracted out of it (docs/adr/0035-what-a-bank-may-compute.md): it is of
the reader's own loans, or public, or no other bank has contributed to it; or at least four have, each proven by the
state. The state has the newest days of each bank's transactions and balances, and not of which class they were: so it
proves contributions to balances alone, and tells of flows only that a bank had none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from config.disclosure import disclosures
from detectors.rules.vocabulary import AGAINST_BALANCE, OVERLAID, needs_overlay
from domain.calendar import day_of
from features.state.buckets import NO_UNIT
from features.state.loan_table import NO_SLOT

BANKS_MIN = 4  # that contribute to a number, the reader with them, before it is shown
_OF_OWN_LOANS = OVERLAID - {AGAINST_BALANCE}  # in a signal of a lender


@dataclass(frozen=True, slots=True)
class Contributors:
    """The banks that the numbers of a row rest on, as far as the state tells, for one of them that reads it."""

    today: int  # the earlier of the row's day and the day after the last closed one: windows end with either
    traded: int  # newest day of a transaction of another bank; NO_UNIT: none
    keeps_balance: bool  # another bank ever sent a balance, or what it sent may not be known by bank
    balance_days: tuple[int, ...]  # newest day of a balance of each bank
    reports: bool  # another bank ever reported something, or may have

    def shows(self, number: str, *, of_lender: bool) -> bool:
        """Return whether the reader is shown a number as it is. `of_lender`: in a signal about its own loans."""
        if of_lender and number in _OF_OWN_LOANS:
            return True
        known = None if needs_overlay(number) and not of_lender else disclosures().get(number)
        if known is None:
            return not self.reports
        if known.rests_on == "public":
            return True
        first = self.today - known.days
        if known.rests_on == "flows":
            return self.traded < first
        return not self.keeps_balance or sum(day > first for day in self.balance_days) >= BANKS_MIN


def contributors(b: Any, reader: int) -> Contributors:
    """Return the contributors to the numbers of row `b` (outbook.ROW), to the bank in slot `reader`."""
    others = [slot for slot in np.flatnonzero(b["bank"]).tolist() if slot != reader]
    unplaced = int(b["unplaced_day"])
    traded = max([unplaced, *(int(b["traded_day"][slot]) for slot in others)])
    keeps_balance = max([unplaced, *(int(b["balance_day"][slot]) for slot in others)]) != NO_UNIT
    lends = any(slot not in (NO_SLOT, reader) for slot in b["loan_bank"].tolist())
    lends = lends or any(b["more_count"][slot] for slot in others)
    return Contributors(
        today=min(day_of(int(b["as_of_ms"]) - 1), int(b["closed_day"]) + 1),
        traded=traded,
        keeps_balance=keeps_balance,
        balance_days=tuple(b["balance_day"].tolist()),
        reports=traded != NO_UNIT or lends or bool(b["overflowed"]),
    )
