"""From a row of the output book to the lines of an alert about the reader's own loans."""

from typing import Any

import msgspec

from domain.calendar import date_of
from domain.outputs import LoanOfAlert
from features.layout import id_text
from streams.score.records import FIVE_CLASSES, GUARANTEES


def loan_of_alert(b: Any, i: int) -> LoanOfAlert:
    """Return the loan in slot i of row `b` (outbook.ROW); what its lender has not reported is absent."""
    unset = msgspec.UNSET
    next_fen, undrawn = int(b["loan_next_fen"][i]), int(b["loan_undrawn"][i])
    return LoanOfAlert(
        loan_id=id_text(b["loan"][i]),
        outstanding_minor=int(b["loan_outstanding"][i]),
        dpd=reported_dpd(b["loan_dpd"][i]),
        undrawn_minor=unset if undrawn < 0 else undrawn,
        due_on=_date(b["loan_due_day"][i]),
        next_due_on=_date(b["loan_next_day"][i]) if next_fen else unset,
        next_due_minor=next_fen or unset,
        five_class=FIVE_CLASSES[b["loan_class"][i]] or unset,
        guarantee_type=GUARANTEES[b["loan_guarantee"][i]] or unset,
    )


def reported_dpd(reported: Any) -> int | None:
    """Return days past due; None where the lender reports none (-1)."""
    return None if reported < 0 else int(reported)


def _date(day: Any) -> str | msgspec.UnsetType:
    return date_of(int(day)).isoformat() if day else msgspec.UNSET
