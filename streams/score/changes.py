"""What a record does to an enterprise's state, and when its days close: compiled leaves of the loop."""

from numba import njit

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from features.state import buckets, decay, loans, top
from features.state.buckets import NO_UNIT
from features.state.classes import OP_IN, OWN_IN, OWN_OUT
from streams.score.records import (
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
def time_of(state, s):
    """The enterprise's t: its newest event + 1 ms, or 00:00 after its last closed day, whichever is later."""
    return max(state.newest_ms[s] + 1, closing_time(state, s))


@njit(cache=True)
def closing_time(state, s):
    """The enterprise's t at the close of its last closed day: 00:00 of the day after, whenever the close happens."""
    return (state.closed_day[s] + 1) * DAY_MS - ZONE_OFFSET_MS


@njit(cache=True)
def apply_change(state, s, records, i, day):
    """Take one new record into the state; returns whether a loan was granted (an observation is due)."""
    if state.first_day[s] == NO_UNIT:
        state.first_day[s] = day
        state.closed_day[s] = day - 1
    state.newest_ms[s] = max(state.newest_ms[s], records.event_ms[i])
    kind = records.kind[i]
    if kind == TXN:
        _apply_txn(state, s, records, i, day)
    elif kind == LOAN:
        return _apply_loan(state, s, records, i)
    elif kind == AUTHORIZATION:
        slot = loans.bank_slot(state.bank[s], records.bank[i])
        if slot == loans.NO_SLOT:
            state.bank_overflow[s] += 1
        else:
            state.authorization_from[s, slot] = records.valid_from[i]
            state.authorization_to[s, slot] = records.valid_to[i]
    elif kind == GOV and records.event[i] == FREEZE:
        state.frozen[s] = 1
    elif kind == GOV and records.event[i] == RELEASE:
        state.frozen[s] = 0
    return False


@njit(cache=True)
def _apply_txn(state, s, records, i, day):
    fen = records.fen[i]
    if fen < 0:
        return  # no reference rate: not computable, so in no sum
    category = records.category[i]
    unit, amount, count = state.unit[s], state.amount[s], state.count[s]
    if records.status[i] != BOOKED:
        # A reversal is the bank's correction, a return is money that came back: both take the original out.
        buckets.add(unit, amount, count, buckets.day_of(records.ref_ms[i]), category, -fen, -1)
        return
    buckets.add(unit, amount, count, day, category, fen, 1)
    state.txn_count[s] += 1
    weight = decay.growth(day - state.first_day[s])
    if category != OWN_IN and category != OWN_OUT:
        slot = loans.bank_slot(state.bank[s], records.bank[i])
        if slot == loans.NO_SLOT:
            state.bank_overflow[s] += 1
        else:
            state.bank_flow[s, slot] += fen * weight
    if category == OP_IN:
        state.last_op_in_ms[s] = max(state.last_op_in_ms[s], records.event_ms[i])
        state.payer_all[s] += fen * weight
        state.payer_credits[s] += weight
        if records.payer[i] != 0:
            state.payer_named[s] += fen * weight
            top.add(state.payer[s], state.payer_weight[s], state.payer_error[s], records.payer[i], fen * weight)


@njit(cache=True)
def _apply_loan(state, s, records, i):
    lender = loans.bank_slot(state.bank[s], records.bank[i])
    slot = loans.NO_SLOT
    if lender != loans.NO_SLOT:
        slot = loans.loan_slot(state.loan[s], state.loan_bank[s], state.loan_open[s], records.loan[i], lender)
    if slot == loans.NO_SLOT:
        state.loan_overflow[s] += 1
        return False
    if state.loan_bank[s, slot] != lender or state.loan[s, slot, 0] != records.loan[i, 0]:
        state.loan_dpd[s, slot] = -1
    state.loan[s, slot, :] = records.loan[i]
    state.loan_bank[s, slot] = lender
    state.loan_open[s, slot] = 0 if records.event[i] == LOAN_CLOSES else 1
    state.loan_outstanding[s, slot] = records.outstanding[i]
    if records.dpd[i] >= 0:
        state.loan_dpd[s, slot] = records.dpd[i]
    return records.granted[i] == 1


@njit(cache=True)
def day_is_due(state, s, up_to_day, feeds):
    """Whether the next day of s may close: time is past it, and every bank with a tenth of its flow has closed it."""
    day = state.closed_day[s] + 1
    if state.first_day[s] == NO_UNIT or day >= up_to_day:
        return False
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(state, s, b, feeds)
        if f >= 0 and feeds.closed_up_to[f] < day:
            return False
    return True


@njit(cache=True)
def mark_stalled(state, s, feeds):
    """Note whether the feed of one of the enterprise's main banks is stalled."""
    state.stalled[s] = 0
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(state, s, b, feeds)
        if f >= 0 and feeds.stalled[f]:
            state.stalled[s] = 1


@njit(cache=True)
def observes_month_end(state, s):
    """Whether the day just closed ends a month, and a loan is open."""
    day = state.closed_day[s]
    if buckets.month_of(day) == buckets.month_of(day + 1):
        return False
    open_loans, _ = loans.dpd_max(state.loan_open[s], state.loan_dpd[s])
    return open_loans > 0


@njit(cache=True)
def _main_feed(state, s, b, feeds):
    """The feed of bank slot b; -1 where it is free, has under a tenth of the flow, or the tick does not speak of it."""
    bank, banks = state.bank[s, b], feeds.bank
    if bank == 0 or state.bank_flow[s, b] < _MAIN_BANK_SHARE * state.bank_flow[s].sum():
        return -1
    low, high = 0, banks.shape[0]
    while low < high:
        middle = (low + high) // 2
        if banks[middle] < bank:
            low = middle + 1
        else:
            high = middle
    return low if low < banks.shape[0] and banks[low] == bank else -1
