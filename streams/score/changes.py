"""What a record does to an enterprise's state, and when its days close: compiled leaves of the loop."""

from numba import njit

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from features.state import buckets, decay, loans, top
from features.state.buckets import NO_UNIT
from features.state.classes import OP_IN, OWN_IN, OWN_OUT
from streams.score.columns import (
    AUTHORIZATION,
    BOOKED,
    FREEZE,
    GOV,
    LOAN,
    LOAN_CLOSES,
    RELEASE,
    TXN,
)

_MAIN_BANK_SHARE = 0.1


@njit(cache=True)
def time_of(e):
    """The enterprise's t: its newest event + 1 ms, or 00:00 after its last closed day, whichever is later."""
    return max(e.newest_ms + 1, closing_time(e))


@njit(cache=True)
def closing_time(e):
    """The enterprise's t at the close of its last closed day: 00:00 of the day after, whenever the close happens."""
    return (e.closed_day + 1) * DAY_MS - ZONE_OFFSET_MS


@njit(cache=True)
def covered_days(e):
    """Days of history: a day closes only when it is covered."""
    return e.closed_day - e.first_day + 1


@njit(cache=True)
def apply_change(e, r, day):
    """Take one new record into the state; returns whether a loan was granted (an observation is due)."""
    if e.first_day == NO_UNIT:
        e.first_day = day
        e.closed_day = day - 1
    e.newest_ms = max(e.newest_ms, r.event_ms)
    kind = r.kind
    if kind == TXN:
        _apply_txn(e, r, day)
    elif kind == LOAN:
        return _apply_loan(e, r)
    elif kind == AUTHORIZATION:
        slot = loans.bank_slot(e.bank, r.bank)
        if slot == loans.NO_SLOT:
            e.bank_overflow += 1
        else:
            e.authorization_from[slot] = r.valid_from
            e.authorization_to[slot] = r.valid_to
    elif kind == GOV and r.event == FREEZE:
        e.frozen = 1
    elif kind == GOV and r.event == RELEASE:
        e.frozen = 0
    return False


@njit(cache=True)
def _apply_txn(e, r, day):
    fen = r.fen
    if fen < 0:
        return  # no reference rate: not computable, so in no sum
    category = r.category
    unit, amount, count = e.unit, e.amount, e.count
    if r.status != BOOKED:
        # A reversal is the bank's correction, a return is money that came back: both take the original out.
        buckets.add(unit, amount, count, buckets.day_of(r.ref_ms), category, -fen, -1)
        return
    buckets.add(unit, amount, count, day, category, fen, 1)
    e.txn_count += 1
    weight = decay.growth(day - e.first_day)
    if category != OWN_IN and category != OWN_OUT:
        slot = loans.bank_slot(e.bank, r.bank)
        if slot == loans.NO_SLOT:
            e.bank_overflow += 1
        else:
            e.bank_flow[slot] += fen * weight
    if category == OP_IN:
        e.last_op_in_ms = max(e.last_op_in_ms, r.event_ms)
        e.payer_all += fen * weight
        e.payer_credits += weight
        if r.payer != 0:
            e.payer_named += fen * weight
            top.add(e.payer, e.payer_weight, e.payer_error, r.payer, fen * weight)


@njit(cache=True)
def _apply_loan(e, r):
    lender = loans.bank_slot(e.bank, r.bank)
    slot = loans.NO_SLOT
    if lender != loans.NO_SLOT:
        slot = loans.loan_slot(e.loan, e.loan_bank, e.loan_open, r.loan, lender)
    if slot == loans.NO_SLOT:
        e.loan_overflow += 1
        return False
    if e.loan_bank[slot] != lender or e.loan[slot, 0] != r.loan[0]:
        e.loan_dpd[slot] = -1
    e.loan[slot, :] = r.loan
    e.loan_bank[slot] = lender
    e.loan_open[slot] = 0 if r.event == LOAN_CLOSES else 1
    e.loan_outstanding[slot] = r.outstanding
    if r.dpd >= 0:
        e.loan_dpd[slot] = r.dpd
    return r.granted == 1


@njit(cache=True)
def day_is_due(e, up_to_day, feeds):
    """Whether the next day of s may close: time is past it, and every bank with a tenth of its flow has closed it."""
    day = e.closed_day + 1
    if e.first_day == NO_UNIT or day >= up_to_day:
        return False
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(e, b, feeds)
        if f >= 0 and feeds.closed_up_to[f] < day:
            return False
    return True


@njit(cache=True)
def mark_stalled(e, feeds):
    """Note whether the feed of one of the enterprise's main banks is stalled."""
    e.stalled = 0
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(e, b, feeds)
        if f >= 0 and feeds.stalled[f]:
            e.stalled = 1


@njit(cache=True)
def observes_month_end(e):
    """Whether the day just closed ends a month, and a loan is open."""
    day = e.closed_day
    if buckets.month_of(day) == buckets.month_of(day + 1):
        return False
    open_loans, _ = loans.dpd_max(e.loan_open, e.loan_dpd)
    return open_loans > 0


@njit(cache=True)
def _main_feed(e, b, feeds):
    """The feed of bank slot b; -1 where it is free, has under a tenth of the flow, or the tick does not speak of it."""
    bank, banks = e.bank[b], feeds.bank
    if bank == 0 or e.bank_flow[b] < _MAIN_BANK_SHARE * e.bank_flow.sum():
        return -1
    low, high = 0, banks.shape[0]
    while low < high:
        middle = (low + high) // 2
        if banks[middle] < bank:
            low = middle + 1
        else:
            high = middle
    return low if low < banks.shape[0] and banks[low] == bank else -1
