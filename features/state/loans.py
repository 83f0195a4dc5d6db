"""Loans and lenders of one enterprise: eight bank slots, eight loans.

A bank slot comes with the first event that names the bank. A ninth open loan (or ninth bank) is counted as overflow,
never dropped in silence: what rests on it is then null.

Arrays of one enterprise: bank int64 (8) as a bank code, 0 free; authorization_from/to int64 ms (8);
loan uint64 (8, 4) the loan id's bytes, loan_bank int8 (8) slot of its lender, loan_open uint8 (8),
loan_outstanding int64 fen (8), loan_dpd int32 (8) or -1 where the lender reports none.
"""

from numba import njit

BANK_SLOTS = 8
LOAN_SLOTS = 8
NO_SLOT = -1


@njit(cache=True)
def bank_slot(bank, code):
    """The slot of a bank, taken now if it is new; NO_SLOT where all are taken."""
    for i in range(BANK_SLOTS):
        if bank[i] == code:
            return i
        if bank[i] == 0:
            bank[i] = code
            return i
    return NO_SLOT


@njit(cache=True)
def _same(a, b):
    return a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]


@njit(cache=True)
def loan_slot(loan, loan_bank, loan_open, loan_id, lender):
    """The slot of a lender's loan; else a free one, else the first that is closed; NO_SLOT where all are open."""
    spare = NO_SLOT
    for i in range(LOAN_SLOTS):
        free = loan[i, 0] == 0
        if not free and loan_bank[i] == lender and _same(loan[i], loan_id):
            return i
        if spare == NO_SLOT and (free or not loan_open[i]):
            spare = i
    return spare


@njit(cache=True)
def dpd_max(loan_open, loan_dpd):
    """(open loans, largest days past due that a lender last reported for one of them; -1 where none did)."""
    loans, most = 0, -1
    for i in range(LOAN_SLOTS):
        if loan_open[i]:
            loans += 1
            most = max(most, loan_dpd[i])
    return loans, most
