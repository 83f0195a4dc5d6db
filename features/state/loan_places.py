"""The rule of who gets a place where an enterprise has more open loans than places: shares by bank, then by importance.

A new loan takes a slot that is free or whose loan is closed, else a place beside the slots. Where those are all taken,
the bank with the most open loans, the new one counted, loses its least important loan: the fewest days past due, then
the smallest amount. Each fact on an open loan leaves its lender a slot: the bank with the most slots moves its least
important loan beside them. So as long as there are no more lenders than places, each has at least one.

A loan that is lost is counted (loan_overflow, facts) with its day, and comes back with its next fact if there is room
by then.

Fields of one enterprise: those of loans.py; loan_hash uint64 (8), hashes of the ids of the loans beside the slots;
loans_beside uint8, how many of these places were ever taken.
"""

import numpy as np

from features.state import instalments, loans
from features.state.loan_table import LOAN_PLACES, LOAN_SLOTS, NO_SLOT, places
from kernels.decorators import copy, kernel


@kernel
def place_of(e, loan_id, lender, day, dpd, amount, ends):
    """Return the place of a lender's loan, giving it one where it is new; NO_SLOT where it finds none.

    day, dpd, amount: of the fact, its days past due and what is at risk in fen. `ends`: the fact closes the loan, which
    then takes no other's place.
    """
    place = _find(e, loan_id, lender)
    if place == NO_SLOT:
        place = _vacant(e, 0, LOAN_PLACES if not ends else LOAN_SLOTS)
        if place == NO_SLOT:
            if ends:
                return NO_SLOT
            place = _given_up(e, lender, day, dpd, amount)
            if place == NO_SLOT:
                return NO_SLOT
        _begin(e, place, loan_id, lender)
    if place < LOAN_SLOTS or ends:
        return place
    slot = _vacant(e, 0, LOAN_SLOTS)
    if slot == NO_SLOT and _held(e, lender, LOAN_SLOTS) == 0:
        slot = _least(e, _richest(e, lender, 0, LOAN_SLOTS), LOAN_SLOTS)
    if slot == NO_SLOT:
        return place
    _exchange(e, slot, place, loan_id)
    return slot


@kernel
def _find(e, loan_id, lender):
    for i in range(LOAN_SLOTS):
        if e.loan_bank[i] == lender and loans.is_same(e.loan[i], loan_id):
            return i
    if e.loans_beside > 0:
        name = _hash(loan_id)
        for i in range(LOAN_SLOTS, places(e)):
            if e.loan_bank[i] == lender and e.loan_hash[i - LOAN_SLOTS] == name:
                return i
    return NO_SLOT


@kernel
def _hash(loan_id):
    """Return a hash of a loan's id, uint64. It tells apart the loans of one lender: only they could be confused."""
    h = np.uint64(0)
    for i in range(loan_id.shape[0]):
        h = (h ^ loan_id[i]) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
    return h


@kernel
def _vacant(e, first, end):
    """Return the first of the places first..end-1 that is free, or whose loan is closed; NO_SLOT where all are open."""
    for i in range(first, end):
        if not e.loan_open[i]:
            return i
    return NO_SLOT


@kernel
def _begin(e, place, loan_id, lender):
    """Give a place to another loan."""
    if place < LOAN_SLOTS:
        copy(loan_id, e.loan[place])
    else:
        e.loan_hash[place - LOAN_SLOTS] = _hash(loan_id)
        e.loans_beside = max(np.int64(e.loans_beside), place - LOAN_SLOTS + 1)
    e.loan_bank[place], e.loan_ms[place] = lender, -1
    e.loan_dpd[place], e.loan_dpd_more[place] = -1, 0
    e.loan_outstanding[place] = 0
    e.loan_due_day[place] = e.loan_class[place] = e.loan_guarantee[place] = 0
    instalments.forget(e, place)


@kernel
def _given_up(e, lender, day, dpd, amount):
    """Return the place that the richest bank gives up; NO_SLOT where that is the lender, and the new loan is least."""
    bank = _richest(e, lender, 1, LOAN_PLACES)
    place = _least(e, bank, LOAN_PLACES)
    if bank == lender and not _is_less(e, place, dpd, amount):
        loans.lose(e, day, dpd)
        return NO_SLOT
    loans.lose(e, day, loans.dpd(e, place))
    return place


@kernel
def _richest(e, lender, more, end):
    """Return the slot of the bank with the most open loans in places before `end`; the lender has `more` of them.

    Of several it is the lender, else the first.
    """
    richest, most = np.int64(lender), _held(e, lender, end) + more
    for b in range(loans.BANK_SLOTS):
        held = _held(e, b, end)
        if b != lender and held > most:
            richest, most = np.int64(b), held
    return richest


@kernel
def _held(e, bank, end):
    """Return how many open loans of a bank stand in places before `end`."""
    held = 0
    for i in range(end):
        held += e.loan_open[i] != 0 and e.loan_bank[i] == bank
    return held


@kernel
def _least(e, bank, end):
    """Return the place before `end` of the least important open loan of a bank, of several the last."""
    least = NO_SLOT
    for i in range(end):
        if not e.loan_open[i] or e.loan_bank[i] != bank:
            continue
        if least == NO_SLOT or not _is_less(e, least, loans.dpd(e, i), loans.at_risk(e, i)):
            least = i
    return least


@kernel
def _is_less(e, place, dpd, amount):
    """Return whether the loan at `place` is less important than one with so many days past due and such an amount."""
    own = loans.dpd(e, place)
    return own < dpd or (own == dpd and loans.at_risk(e, place) < amount)


@kernel
def _exchange(e, slot, place, loan_id):
    """Move the loan `loan_id` from its place beside the slots to a slot, and what the slot holds to that place."""
    e.loan_hash[place - LOAN_SLOTS] = _hash(e.loan[slot])
    copy(loan_id, e.loan[slot])
    e.loan_bank[slot], e.loan_bank[place] = e.loan_bank[place], e.loan_bank[slot]
    e.loan_open[slot], e.loan_open[place] = e.loan_open[place], e.loan_open[slot]
    e.loan_ms[slot], e.loan_ms[place] = e.loan_ms[place], e.loan_ms[slot]
    e.loan_outstanding[slot], e.loan_outstanding[place] = e.loan_outstanding[place], e.loan_outstanding[slot]
    e.loan_limit[slot], e.loan_limit[place] = e.loan_limit[place], e.loan_limit[slot]
    e.loan_revolving[slot], e.loan_revolving[place] = e.loan_revolving[place], e.loan_revolving[slot]
    e.loan_dpd[slot], e.loan_dpd[place] = e.loan_dpd[place], e.loan_dpd[slot]
    e.loan_dpd_day[slot], e.loan_dpd_day[place] = e.loan_dpd_day[place], e.loan_dpd_day[slot]
    e.loan_dpd_more[slot], e.loan_dpd_more[place] = e.loan_dpd_more[place], e.loan_dpd_more[slot]
    e.loan_due_day[slot], e.loan_due_day[place] = e.loan_due_day[place], e.loan_due_day[slot]
    e.loan_class[slot], e.loan_class[place] = e.loan_class[place], e.loan_class[slot]
    e.loan_guarantee[slot], e.loan_guarantee[place] = e.loan_guarantee[place], e.loan_guarantee[slot]
    instalments.exchange(e, slot, place)
