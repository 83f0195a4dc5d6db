"""The view of one lender (docs/signals.md): the inputs of a signal of scope lender, with that bank's loans alone.

`enter` replaces inputs of an evaluation with the view, `leave` restores them. A bank is followed from its first loan
event until no signal of it can hold: no open loan, no loan event of the last 360 days, no open episode.
"""

import numpy as np

from detectors.rules import machine
from detectors.rules import vocabulary as v
from detectors.rules.grammar import SEEN_DAYS_MAX
from detectors.rules.program import NOT_COMPUTABLE_BAND
from features.indicators import repayment
from features.indicators.nulls import VALUE
from features.state import held, seen
from features.state.instalments import NOTHING_DUE
from features.state.loans import BANK_SLOTS, lends
from kernels.decorators import copy, kernel

_SLOTS = np.array(sorted(v.SLOT_OF[name] for name in v.OVERLAID), np.int64)
_UNKNOWN = 0  # instalment of a row that comes back into memory
LENS = np.dtype(
    [
        ("last_day", "<u2", (seen.PLACES,)),
        ("value", "<f8", (len(_SLOTS),)),  # of all lenders, while one lender's lie over them
        ("null", "|u1", (len(_SLOTS),)),
    ]
)


@kernel
def enter(e, b, x, lens):
    """Replace x.value and x.null with the view of the bank in slot b; lens keeps what they were.

    Return as repayment.read_loans.
    """
    for i in range(_SLOTS.shape[0]):
        lens.value[i], lens.null[i] = x.value[_SLOTS[i]], x.null[_SLOTS[i]]
    stalled = (e.banks_stalled >> b) & 1 == 1
    x.null[v.LOAN_STALLED] = VALUE
    x.value[v.LOAN_STALLED] = stalled
    return repayment.read_loans(e, b, x.as_of_ms, x.balance_now_cny, x.balance_known == 1, stalled, x.value, x.null)


@kernel
def note_due(e, b, due_day, due_cny):
    """Note the next instalment that the bank's signals were last evaluated with."""
    e.lender_due_day[b], e.lender_due_cny[b] = due_day, due_cny


@kernel
def stays(gate, moving, e, b, x):
    """Return whether neither the time of day nor the balance moved the bank's view out of its bands.

    Nothing else moves it between facts on loans and days. gate, moving: `lender` and `lender_moving` of the rules.
    """
    due_day, band = np.int64(e.lender_due_day[b]), e.lender_band[b]
    if due_day == _UNKNOWN:
        return False
    if due_day == NOTHING_DUE:
        return True
    i, j = moving[0], moving[1]
    if i >= 0 and not machine.in_band(gate, i, repayment.days_to(due_day, x.as_of_ms), band[i]):
        return False
    if j >= 0 and x.balance_known == 1:
        return machine.in_band(gate, j, x.balance_now_cny / e.lender_due_cny[b], band[j])
    return j < 0 or band[j] == NOT_COMPUTABLE_BAND


@kernel
def leave(x, lens):
    """Restore the inputs of all lenders."""
    for i in range(_SLOTS.shape[0]):
        x.value[_SLOTS[i]], x.null[_SLOTS[i]] = lens.value[i], lens.null[i]


@kernel
def last_days(e, b, lens):
    """Fill lens.last_day with the last days of all events, of loan events only those of the bank in slot b."""
    copy(e.seen_day, lens.last_day)
    for place in range(seen.LOAN_COUNT):
        lens.last_day[place] = e.loan_seen_day[b, place]


@kernel
def is_followed(e, b):
    """Return whether signals are evaluated for the bank in slot b."""
    return (e.lenders >> b) & 1 == 1


@kernel
def follow_less(e, today):
    """Stop following the banks of which no signal can hold any more, at a close."""
    for b in range(BANK_SLOTS):
        if is_followed(e, b) and not _may_hold(e, b, today):
            e.lenders &= ~(1 << b)
            held.forget_bank(e, b)


@kernel
def _may_hold(e, b, today):
    if lends(e, b):
        return True
    for i in range(np.int64(e.episodes_open)):
        if e.episode_bank[i] == b:
            return True
    for place in range(seen.LOAN_COUNT):
        day = np.int64(e.loan_seen_day[b, place])
        if day > 0 and today - day < SEEN_DAYS_MAX:
            return True
    return False
