"""Loans and lenders of one enterprise: eight bank slots, eight loans.

A bank takes a slot with its first event; one with neither flow nor an open loan gives way to a bank that has. A ninth
open loan (or ninth bank with flow or a loan) is counted as overflow: what rests on loans is then null, never a guess.

Arrays of one enterprise: bank int64 (8) as a bank code, 0 free; bank_flow float64 (8); authorization_from/to int64 ms
(8, 2), two periods of consent a bank; authorization_ms int64 (8) time of its newest event; loan uint64 (8, 4) the bytes
of the loan id, loan_bank int8 (8) slot of its lender, loan_open uint8 (8), loan_ms int64 (8) time of the newest event,
loan_outstanding int64 fen (8), loan_limit int64 fen (8), loan_revolving uint8 (8), loan_dpd int32 (8) days past due, -1
where the lender reports none, loan_dpd_day int32 (8) day of that report, loan_dpd_more int32 (8) the days since it that
the lender's receipts have covered: days past due run on with receipts, and never without.
"""

import numpy as np

from features.state import balances, held, instalments
from kernels.decorators import copy, kernel

BANK_SLOTS = 8
LOAN_SLOTS = 8
NO_SLOT = -1


@kernel
def bank_slot(e, code):
    """Return the slot of a bank, taking one if it is new.

    NO_SLOT where all belong to banks with flow or an open loan.
    """
    spare, idle = NO_SLOT, NO_SLOT
    for i in range(BANK_SLOTS):
        if e.bank[i] == code:
            return i
        if e.bank[i] == 0:
            spare = i if spare == NO_SLOT else spare
        elif e.bank_flow[i] == 0.0 and not lends(e, i) and not _is_warned_of(e, i):
            idle = i if idle == NO_SLOT else idle
    spare = idle if spare == NO_SLOT else spare
    if spare != NO_SLOT:
        e.bank[spare] = code
        e.bank_flow[spare] = 0.0
        e.authorization_from[spare, :] = 0
        e.authorization_to[spare, :] = 0
        e.authorization_ms[spare] = -1
        e.loan_seen_day[spare, :] = 0
        balances.forget_bank(e, spare)
        held.forget_bank(e, spare)
        e.elsewhere_revision[spare] = 0
        e.lenders &= ~(1 << spare)
        e.banks_stalled &= ~(1 << spare)
        for k in range(LOAN_SLOTS):
            if e.loan_bank[k] == spare:
                e.loan[k, :] = 0
                e.loan_bank[k] = NO_SLOT
                instalments.forget(e, k)
    return spare


@kernel
def known_bank_slot(e, code):
    """Return the slot that a bank has; NO_SLOT where it has none."""
    for i in range(BANK_SLOTS):
        if e.bank[i] == code:
            return i
    return NO_SLOT


@kernel
def _is_warned_of(e, slot):
    """Return whether an episode about the bank in this slot is open."""
    for i in range(np.int64(e.episodes_open)):
        if e.episode_bank[i] == slot:
            return True
    return False


@kernel
def lends(e, slot):
    """Return whether the bank in this slot has an open loan."""
    for k in range(LOAN_SLOTS):
        if e.loan_open[k] and e.loan_bank[k] == slot:
            return True
    return False


@kernel
def authorize(e, slot, event_ms, valid_from, valid_to, revoked):
    """Take in an authorization event.

    A newer one wins, an older one that comes late changes nothing. Times are in ms.
    """
    if event_ms < e.authorization_ms[slot]:
        return
    e.authorization_ms[slot] = event_ms
    begin, end = e.authorization_from[slot], e.authorization_to[slot]
    if revoked:
        for k in range(2):
            end[k] = min(end[k], event_ms)
            begin[k] = min(begin[k], end[k])
        return
    for k in range(2):
        if begin[k] < end[k] and valid_from <= end[k] and valid_to >= begin[k]:  # they meet: one stretch
            begin[k], end[k] = min(begin[k], valid_from), max(end[k], valid_to)
            return
    k = 0 if end[0] <= end[1] else 1  # the stretch that ends first gives way
    begin[k], end[k] = valid_from, valid_to


@kernel
def is_authorized(e, slot, t_ms):
    """Return whether the bank in `slot` has consent at t."""
    for k in range(2):
        if e.authorization_from[slot, k] <= t_ms < e.authorization_to[slot, k]:
            return True
    return False


@kernel
def is_same(a, b):
    """Return whether two ids are equal, all bytes of them."""
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]


@kernel
def loan_slot(loan, loan_bank, loan_open, loan_id, lender):
    """Return the slot of a lender's loan.

    Else a free one, else the first that is closed; NO_SLOT where all are open.
    """
    spare = NO_SLOT
    for i in range(LOAN_SLOTS):
        free = loan[i, 0] == 0
        if not free and loan_bank[i] == lender and is_same(loan[i], loan_id):
            return i
        if spare == NO_SLOT and (free or not loan_open[i]):
            spare = i
    return spare


@kernel
def begin(e, slot, loan_id, lender):
    """Give a slot to another loan."""
    copy(loan_id, e.loan[slot])
    e.loan_bank[slot], e.loan_ms[slot] = lender, -1
    e.loan_dpd[slot], e.loan_dpd_more[slot] = -1, 0
    e.loan_outstanding[slot] = 0
    instalments.forget(e, slot)


@kernel
def report_dpd(e, slot, days, day):
    """Take in the days past due that the lender reports as of `day`."""
    e.loan_dpd[slot], e.loan_dpd_day[slot], e.loan_dpd_more[slot] = days, day, 0


@kernel
def run_on(e, slot, covered_day):
    """Advance days past due to `covered_day`, which the lender's receipts reach.

    What was past due still is, by one day more each day.
    """
    e.loan_dpd_more[slot] = max(0, covered_day - e.loan_dpd_day[slot]) if e.loan_dpd[slot] > 0 else 0


@kernel
def dpd(e, slot):
    """Return a loan's days past due; -1 where its lender reports none."""
    return e.loan_dpd[slot] + e.loan_dpd_more[slot]


@kernel
def open_count(e, bank):
    """Return the number of open loans of a bank, or of all."""
    loans = 0
    for i in range(LOAN_SLOTS):
        loans += instalments.is_open(e, i, bank)
    return loans


@kernel
def newest_fact_ms(e):
    """Return the time in ms of the newest event of any loan; -1 where there is none."""
    newest = np.int64(-1)
    for i in range(LOAN_SLOTS):
        newest = max(newest, e.loan_ms[i])
    return newest


@kernel
def dpd_max(e, bank):
    """Return the largest days past due of an open loan of a bank, or of all; -1 where none is reported."""
    most = -1
    for i in range(LOAN_SLOTS):
        if instalments.is_open(e, i, bank):
            most = max(most, dpd(e, i))
    return most


@kernel
def outstanding(e):
    """Return the fen outstanding over the open loans."""
    fen = 0
    for i in range(LOAN_SLOTS):
        if e.loan_open[i]:
            fen += e.loan_outstanding[i]
    return fen


@kernel
def revolving(e):
    """Return (fen outstanding, limit in fen) over the open revolving loans with a limit."""
    owed, limit = 0, 0
    for i in range(LOAN_SLOTS):
        if e.loan_open[i] and e.loan_revolving[i] and e.loan_limit[i] > 0:
            owed += e.loan_outstanding[i]
            limit += e.loan_limit[i]
    return owed, limit


@kernel
def lender_count(e, bank):
    """Return the number of banks (of one, or of all) with an open loan that is outstanding or may still be drawn."""
    lending, lenders = 0, 0
    for i in range(LOAN_SLOTS):
        if instalments.is_open(e, i, bank) and max(e.loan_outstanding[i], e.loan_limit[i]) > 0:
            lending |= 1 << e.loan_bank[i]
    while lending:
        lending &= lending - 1
        lenders += 1
    return lenders
