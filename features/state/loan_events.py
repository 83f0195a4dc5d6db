"""The transitions of an enterprise's state by a loan's record: a compiled leaf of the loop."""

import numpy as np

from features.state import instalments, loan_places, loans, refinancing
from features.state.days import day_of
from features.state.instalments import UNSCHEDULED
from features.state.loan_table import NO_SLOT
from features.state.record_columns import LOAN_CLOSED, LOAN_DUE, LOAN_GRANTED, LOAN_LENT, LOAN_REPAID
from kernels.decorators import kernel


@kernel
def ends(r):
    """Return whether a record closes its loan."""
    drawable = r.revolving and r.limit > 0
    return r.event == LOAN_CLOSED or (r.event == LOAN_REPAID and r.outstanding == 0 and not drawable)


@kernel
def apply_loan(e, r, lender, day, lines):
    """Apply one loan event of the bank in slot `lender`; return whether a loan was granted and nothing newer is known.

    A newer event wins. An older one that comes late changes nothing, but for what was paid and lent, and for a schedule
    where none is known.
    """
    closed = ends(r)
    if r.event == LOAN_GRANTED or r.event == LOAN_LENT:
        refinancing.lend(e, day)
    if lender == NO_SLOT:
        if not closed:
            e.lender_overflow_day = max(e.lender_overflow_day, day)
            loans.lose(e, day, np.int64(r.dpd))
        return False
    slot = loan_places.place_of(e, r.loan, lender, day, np.int64(r.dpd), max(r.outstanding, r.limit), closed)
    if slot == NO_SLOT:
        return False
    known = e.loan_ms[slot] >= 0
    newest = r.event_ms >= e.loan_ms[slot]
    if r.event == LOAN_REPAID:
        instalments.pay(e, slot)
    if r.line_count > 0 and (newest or e.loan_scheduled[slot] == UNSCHEDULED):
        instalments.put_schedule(e, slot, lines, r.line_first, r.line_count)
        if not newest:
            instalments.settle_before(e, slot, day_of(e.loan_ms[slot]))
    if newest:
        _take_newest(e, r, day, slot, known, closed)
    return r.event == LOAN_GRANTED and newest


@kernel
def _take_newest(e, r, day, slot, known, closed):
    """Set the state of the loan to what the record says."""
    repaid = e.loan_outstanding[slot] - r.outstanding
    repays = r.event == LOAN_CLOSED or r.event == LOAN_REPAID
    if known and repays and r.at_once and repaid > 0 and loans.dpd(e, slot) <= 0 and r.dpd <= 0:
        refinancing.repay(e, day, repaid)
    e.loan_ms[slot] = r.event_ms
    e.loan_outstanding[slot], e.loan_limit[slot], e.loan_revolving[slot] = r.outstanding, r.limit, r.revolving
    e.loan_open[slot] = 0 if closed else 1
    if r.matures_day != 0:
        e.loan_due_day[slot] = r.matures_day
    if r.five_class != 0:
        e.loan_class[slot] = r.five_class
    if r.guarantee != 0:
        e.loan_guarantee[slot] = r.guarantee
    if r.dpd >= 0:
        loans.report_dpd(e, slot, r.dpd, day)
        if r.dpd == 0:
            instalments.settle_before(e, slot, day)
    if r.event == LOAN_DUE:
        instalments.put_line(e, slot, r.due_day, r.due_fen)
    if closed:
        instalments.forget(e, slot)
