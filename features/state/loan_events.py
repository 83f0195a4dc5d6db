"""The transitions of an enterprise's state by a loan's record: a compiled leaf of the loop."""

from features.state import buckets, instalments, loans, refinancing
from features.state.instalments import UNSCHEDULED
from features.state.record_columns import LOAN_CLOSED, LOAN_DUE, LOAN_GRANTED, LOAN_LENT, LOAN_REPAID
from kernels.decorators import kernel


@kernel
def apply_loan(e, r, day, lines):
    """Apply one loan event; return whether the loan was granted and nothing newer of it is known.

    A newer event wins. An older one that comes late changes nothing, but for what was paid and lent, and for a schedule
    where none is known.
    """
    lender = loans.bank_slot(e, r.bank)
    slot = loans.NO_SLOT
    if lender != loans.NO_SLOT:
        slot = loans.loan_slot(e.loan, e.loan_bank, e.loan_open, r.loan, lender)
    if slot == loans.NO_SLOT:
        e.loan_overflow += 1
        return False
    known = e.loan_bank[slot] == lender and loans.is_same(e.loan[slot], r.loan)
    if not known:
        loans.begin(e, slot, r.loan, lender)
    newest = r.event_ms >= e.loan_ms[slot]
    if r.event == LOAN_REPAID:
        instalments.pay(e, slot)
    if r.event == LOAN_GRANTED or r.event == LOAN_LENT:
        refinancing.lend(e, day)
    if r.line_count > 0 and (newest or e.loan_scheduled[slot] == UNSCHEDULED):
        instalments.put_schedule(e, slot, lines, r.line_first, r.line_count)
        if not newest:
            instalments.settle_before(e, slot, buckets.day_of(e.loan_ms[slot]))
    if newest:
        _take_newest(e, r, day, slot, known)
    return r.event == LOAN_GRANTED and newest


@kernel
def _take_newest(e, r, day, slot, known):
    """Set the state of the loan to what the record says."""
    repaid = e.loan_outstanding[slot] - r.outstanding
    ends = r.event == LOAN_CLOSED or r.event == LOAN_REPAID
    if known and ends and r.at_once and repaid > 0 and loans.dpd(e, slot) <= 0 and r.dpd <= 0:
        refinancing.repay(e, day, repaid)
    drawable = r.revolving and r.limit > 0
    e.loan_ms[slot] = r.event_ms
    e.loan_outstanding[slot], e.loan_limit[slot], e.loan_revolving[slot] = r.outstanding, r.limit, r.revolving
    closed = r.event == LOAN_CLOSED or (r.event == LOAN_REPAID and r.outstanding == 0 and not drawable)
    e.loan_open[slot] = 0 if closed else 1
    if r.dpd >= 0:
        loans.report_dpd(e, slot, r.dpd, day)
        if r.dpd == 0:
            instalments.settle_before(e, slot, day)
    if r.event == LOAN_DUE:
        instalments.put_line(e, slot, r.due_day, r.due_fen)
    if closed:
        instalments.forget(e, slot)
