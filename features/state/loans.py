"""Loans and lenders of one enterprise: eight bank slots, sixteen loans (loan_table.py, loan_places.py).

A bank takes a slot with its first event, where one is free; else it takes that of a bank with less of a claim: a lender
goes before a bank with consent, that before one with flow alone. What is not kept is counted: where a lender or a loan
found no place within the last 90 days, what it would change is null, never a guess.

Arrays of one enterprise: bank int64 (8) as a bank code, 0 free; bank_flow float64 (8); authorization_from/to int64 ms
(8, 2), two periods of consent a bank; authorization_ms int64 (8) time of its newest event; loan uint64 (8, 4) the bytes
of the loan id; by place, loan_bank int8 (16) slot of its lender, loan_open uint8 (16), loan_ms int64 (16) time of the
newest event, loan_outstanding int64 fen (16), loan_limit int64 fen (16), loan_revolving uint8 (16), loan_dpd int32 (16)
days past due, -1 where the lender reports none, loan_dpd_day int32 (16) day of that report, loan_dpd_more int32 (16)
the days since it that the lender's receipts have covered: days past due run on with receipts, and never without;
loan_due_day int32 (16) day of maturity, loan_class and loan_guarantee uint8 (16), of each what was last reported, 0
where nothing was.
lender_overflow_day, loan_overflow_day int32: the newest day of a fact on an open loan of a bank without a slot, and on
any of which nothing is kept; arrears_overflow_day, arrears_overflow_dpd int32: of these the one longest past due.
"""

import numpy as np

from features.state import balances, case_views, dispositions, held, instalments, lives
from features.state.loan_table import LOAN_SLOTS, NO_SLOT, places
from kernels.decorators import kernel

BANK_SLOTS = 8
NO_CLAIM, HAS_FLOW, HAS_CONSENT, LENDS = range(4)  # a bank's claim to its slot
_SILENT_DAYS = 90  # a loan of which nothing was heard for so long does not count as missing any more


@kernel
def bank_slot(e, code, claim):
    """Return the slot of a bank, giving it one if it is new.

    `claim`: of its event. It takes a slot from one of the banks with the least claim, if that is less or none, and of
    these from the one with the least flow. NO_SLOT where there is none.
    """
    slot = known_bank_slot(e, code)
    if slot == NO_SLOT:
        slot = known_bank_slot(e, 0)
        if slot == NO_SLOT:
            slot = _with_least_claim(e, claim)
        if slot != NO_SLOT:
            _give_to_bank(e, slot, code)
    return slot


@kernel
def _with_least_claim(e, claim):
    found, least = NO_SLOT, max(claim, NO_CLAIM + 1)
    for i in range(BANK_SLOTS):
        own = _claim(e, i)
        if own < least or (found != NO_SLOT and own == least and e.bank_flow[i] < e.bank_flow[found]):
            found, least = i, own
    return found


@kernel
def _claim(e, slot):
    if lends(e, slot) or _is_warned_of(e, slot):
        return LENDS
    for k in range(2):
        if e.authorization_to[slot, k] > max(e.authorization_from[slot, k], e.newest_ms):
            return HAS_CONSENT
    return HAS_FLOW if e.bank_flow[slot] > 0.0 else NO_CLAIM


@kernel
def _give_to_bank(e, slot, code):
    e.bank[slot] = code
    e.bank_flow[slot] = 0.0
    e.authorization_from[slot, :] = 0
    e.authorization_to[slot, :] = 0
    e.authorization_ms[slot] = -1
    e.loan_seen_day[slot, :] = 0
    balances.forget_bank(e, slot)
    held.forget_bank(e, slot)
    case_views.forget_bank(e, slot)
    lives.forget_bank(e, slot)
    dispositions.forget_bank(e, slot)
    e.elsewhere_revision[slot] = 0
    e.lenders &= ~(1 << slot)
    e.banks_stalled &= ~(1 << slot)
    for k in range(places(e)):
        if e.loan_bank[k] == slot:
            if k < LOAN_SLOTS:
                e.loan[k, :] = 0
            e.loan_bank[k] = NO_SLOT
            instalments.forget(e, k)


@kernel
def known_bank_slot(e, code):
    """Return the slot that a bank has; NO_SLOT where it has none."""
    for i in range(BANK_SLOTS):
        if e.bank[i] == code:
            return i
    return NO_SLOT


@kernel
def _is_warned_of(e, slot):
    """Return whether an episode about the bank in this slot is open or ended within the cooldown, or its case open."""
    if lives.is_live(e, slot):
        return True
    for i in range(np.int64(e.episodes_open) + np.int64(e.episodes_recent)):
        if e.episode_bank[i] == slot:
            return True
    return False


@kernel
def lends(e, slot):
    """Return whether the bank in this slot has an open loan."""
    for k in range(places(e)):
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
def is_eligible(e, slot):
    """Return whether the bank in this slot may see the enterprise: it lent and had consent when last looked at."""
    return np.int64(e.eligible) >> slot & 1 == 1


@kernel
def authorized_until(e, slot, t_ms):
    """Return when the consent ends that the bank in `slot` has at t, ms; t where it has none."""
    until = t_ms
    for k in range(2):
        if e.authorization_from[slot, k] <= t_ms:
            until = max(until, e.authorization_to[slot, k])
    return until


@kernel
def is_same(a, b):
    """Return whether two ids are equal, all bytes of them."""
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]


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
    for i in range(places(e)):
        loans += instalments.is_open(e, i, bank)
    return loans


@kernel
def newest_fact_ms(e):
    """Return the time in ms of the newest event of any loan; -1 where there is none."""
    newest = np.int64(-1)
    for i in range(places(e)):
        newest = max(newest, e.loan_ms[i])
    return newest


@kernel
def dpd_max(e, bank):
    """Return the largest days past due of an open loan of a bank, or of all; -1 where none is reported."""
    most = -1
    for i in range(places(e)):
        if instalments.is_open(e, i, bank):
            most = max(most, dpd(e, i))
    return most


@kernel
def at_risk(e, place):
    """Return what is outstanding of a loan or may still be drawn, fen."""
    return max(e.loan_outstanding[place], e.loan_limit[place])


@kernel
def undrawn(e, place):
    """Return what may still be drawn of a revolving loan with a limit, fen; -1 of any other loan."""
    if e.loan_revolving[place] == 0 or e.loan_limit[place] <= 0:
        return np.int64(-1)
    return max(np.int64(0), e.loan_limit[place] - e.loan_outstanding[place])


@kernel
def misses_lender(e, day):
    """Return whether a bank without a slot lent within the last 90 days: what rests on all lenders is not known."""
    return day - e.lender_overflow_day < _SILENT_DAYS


@kernel
def misses_loan(e, day):
    """Return whether an open loan found no place within the last 90 days: what rests on all loans is not known."""
    return day - max(e.lender_overflow_day, e.loan_overflow_day) < _SILENT_DAYS


@kernel
def misses_arrears(e, day, known):
    """Return whether a loan of which nothing is kept may be longer past due than the `known` days of all others."""
    return known < e.arrears_overflow_dpd and day - e.arrears_overflow_day < _SILENT_DAYS


@kernel
def lose(e, day, dpd):
    """Count a fact on an open loan, past due by `dpd` days, of which nothing is kept."""
    e.loan_overflow += 1
    e.loan_overflow_day = max(e.loan_overflow_day, day)
    if dpd > 0 and (dpd >= e.arrears_overflow_dpd or day - e.arrears_overflow_day >= _SILENT_DAYS):
        e.arrears_overflow_dpd, e.arrears_overflow_day = dpd, day


@kernel
def beside(e, bank):
    """Return (number, fen outstanding, days past due as reported or -1) of a bank's open loans beside the slots."""
    count, fen, most = 0, 0, -1
    for i in range(LOAN_SLOTS, places(e)):
        if e.loan_open[i] and e.loan_bank[i] == bank:
            count, fen, most = count + 1, fen + e.loan_outstanding[i], max(most, e.loan_dpd[i])
    return count, fen, most


@kernel
def outstanding(e):
    """Return the fen outstanding over the open loans."""
    fen = 0
    for i in range(places(e)):
        if e.loan_open[i]:
            fen += e.loan_outstanding[i]
    return fen


@kernel
def revolving(e):
    """Return (fen outstanding, limit in fen) over the open revolving loans with a limit."""
    owed, limit = 0, 0
    for i in range(places(e)):
        if e.loan_open[i] and e.loan_revolving[i] and e.loan_limit[i] > 0:
            owed += e.loan_outstanding[i]
            limit += e.loan_limit[i]
    return owed, limit


@kernel
def lender_count(e, bank):
    """Return the number of banks (of one, or of all) with an open loan that is outstanding or may still be drawn."""
    lending, lenders = 0, 0
    for i in range(places(e)):
        if instalments.is_open(e, i, bank) and at_risk(e, i) > 0:
            lending |= 1 << e.loan_bank[i]
    while lending:
        lending &= lending - 1
        lenders += 1
    return lenders
