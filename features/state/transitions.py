"""The transitions of an enterprise's state by a record, and the closing of its days: compiled leaves of the loop.

`e` is a row of features.layout.ROW, changed in place; `r` one of record_columns.RECORD; `feeds` a
streams.score.due.Feeds.
"""

import numpy as np

from domain.calendar import DAY_MS, ZONE_OFFSET_MS
from features.state import balances, buckets, coverage, decay, loans, payers, seen
from features.state.buckets import NO_UNIT
from features.state.classes import OP_IN, OP_OUT, OWN_IN, OWN_OUT, RET_C, RET_D, UNRATED
from features.state.days import day_of, month_of
from features.state.instalments import EVERY_BANK
from features.state.loan_events import apply_loan, ends
from features.state.loan_table import NO_SLOT, places
from features.state.parts import HOT, touch_cold
from features.state.record_columns import (
    AUTHORIZATION,
    BOOKED,
    FREEZE,
    GOV,
    LOAN,
    NEITHER,
    PROFILE,
    RETURNED,
    REVOKED,
    TXN,
)
from kernels.decorators import kernel

LATENESS_DAYS_MAX = 7
LATENESS_MS_MAX = LATENESS_DAYS_MAX * DAY_MS  # of a record, against its enterprise's time; older ones are refused
_MAIN_BANK_SHARE = 0.1
_NONE, _ONE = np.int64(0), np.int64(1)  # as values, not literals, so that buckets.add is compiled once


@kernel
def time_of(e):
    """Return the enterprise's t: its newest event + 1 ms, or 00:00 after its last closed day, whichever is later."""
    return max(e.newest_ms + 1, closing_time(e))


@kernel
def closing_time(e):
    """Return the enterprise's t at the close of its last closed day: 00:00 of the day after, whenever it is closed."""
    return (e.closed_day + 1) * DAY_MS - ZONE_OFFSET_MS


@kernel
def history_days(e):
    """Return the number of closed days since the first transaction."""
    return 0 if e.first_day == NO_UNIT else max(0, e.closed_day - e.first_day + 1)


@kernel
def is_watched(e):
    """Return whether a day has closed before the first transaction."""
    return e.begun_day != NO_UNIT and e.closed_day >= e.begun_day


@kernel
def apply_change(e, r, day, lines):
    """Apply one new record to the state; return whether a loan was granted, so that an observation is due.

    `lines`, dtype LINE, holds the schedules that records name.
    """
    if e.closed_day == NO_UNIT:
        e.closed_day = day - 1
    e.newest_ms = max(e.newest_ms, r.event_ms)
    kind, lender = r.kind, NO_SLOT
    if kind == LOAN:
        lender = loans.bank_slot(e, r.bank, loans.NO_CLAIM if ends(r) else loans.LENDS)
    if r.seen != seen.NOTHING:
        seen.note(e, r.seen, r.adverse, lender, day)
        if lender != NO_SLOT and (e.lenders >> lender) & 1 == 0:
            e.lenders |= 1 << lender
            # They are those of another bank, or of a time before.
            e.lender_band[lender, :] = 0
            e.band[:] = 0
    if kind == TXN:
        _apply_txn(e, r, day)
    elif kind == LOAN:
        return apply_loan(e, r, lender, day, lines)
    elif kind == AUTHORIZATION:
        lasts = r.event != REVOKED and r.valid_to > e.newest_ms
        slot = loans.bank_slot(e, r.bank, loans.HAS_CONSENT if lasts else loans.NO_CLAIM)
        if slot == NO_SLOT:
            e.bank_overflow += 1
        else:
            loans.authorize(e, slot, r.event_ms, r.valid_from, r.valid_to, r.event == REVOKED)
    elif kind == GOV:
        e.gov_ms = max(e.gov_ms, r.event_ms)
        if r.event != NEITHER and r.event_ms >= e.frozen_ms:
            e.frozen, e.frozen_ms = r.event == FREEZE, r.event_ms
    elif kind == PROFILE and r.event_ms >= e.profile_ms:
        e.declared_sales_fen, e.profile_ms = r.fen, r.event_ms
        touch_cold(e)
    return False


@kernel
def _apply_txn(e, r, day):
    # A reversal is the bank's correction, a return is money that came back: both take the original out, on its day.
    # That a return happened is conduct, and counts on the day of the return.
    sign = 1 if r.status == BOOKED else -1
    rated = r.fen >= 0
    category, fen = r.category if rated else UNRATED, r.fen if rated else 0
    if r.status == RETURNED:
        buckets.add(e, day, RET_C if r.category < OP_OUT else RET_D, _NONE, fen, _ONE)
        if not rated:
            buckets.add(e, day, UNRATED, _NONE, _NONE, _ONE)
    day = day if sign > 0 else day_of(r.ref_ms)
    buckets.add(e, day, np.int64(category), np.int64(r.overlays), sign * fen, sign)
    e.first_day = day if e.first_day == NO_UNIT else min(e.first_day, day)
    e.txn_count += sign
    if not rated:
        e.unrated_day = max(e.unrated_day, day)
    if r.category != OWN_IN and r.category != OWN_OUT:
        _apply_external(e, r, day, category, fen, sign)
    if sign > 0:  # the balance beside a return or reversal may be the original's
        balances.add(e, r.account, loans.known_bank_slot(e, r.bank), day, r.event_ms, r.balance)


@kernel
def _apply_external(e, r, day, category, fen, sign):
    """Add a transaction with another party to decayed flows and to last times, or take it out of the flows again."""
    if sign > 0:
        e.last_txn_ms = max(e.last_txn_ms, r.event_ms)
        if r.category == OP_IN:
            e.last_op_in_ms = max(e.last_op_in_ms, r.event_ms)
    if category == UNRATED:
        return
    now = sign * decay.weight(day)
    slot = loans.bank_slot(e, r.bank, loans.HAS_FLOW)
    if slot == NO_SLOT:
        e.bank_overflow += 1
    else:
        e.bank_flow[slot] = max(0.0, e.bank_flow[slot] + fen * now)
    e.flow_all = max(0.0, e.flow_all + fen * now)
    e.flow_count = max(0.0, e.flow_count + now)
    if r.payer == 0:
        e.flow_unnamed = max(0.0, e.flow_unnamed + fen * now)
    if category == OP_IN and sign > 0:
        payers.add(e, r.payer, day, r.event_ms, fen)
    elif category == OP_IN:
        payers.take(e, r.payer, day, fen)


@kernel
def begin_days(e, up_to_day, feeds):
    """Let days close before the first transaction, from a receipt of a lender with an open loan on; pass those before.

    Where nobody lends there is nothing to read, and nobody to tell. Before that receipt days end by time alone, and
    what they read would hang on when a tick came. The first day that closes is that of the newest record, so that none
    reads what came after it; where that is an old one, days beyond the lateness are passed.
    """
    if e.first_day != NO_UNIT or e.begun_day != NO_UNIT or e.closed_day == NO_UNIT or e.closed_day + 1 >= up_to_day:
        return
    begins = False
    for b in range(loans.BANK_SLOTS):
        f = _feed(e.bank[b], feeds)
        begins |= f >= 0 and feeds.covered_up_to[f] != NO_UNIT and loans.lends(e, b)
    passed = up_to_day - 1
    if begins:
        passed = min(passed, max(passed - LATENESS_DAYS_MAX, day_of(e.newest_ms) - 1))
    if passed > e.closed_day:
        buckets.close_days_to(e, passed)
    if begins:
        e.begun_day = e.closed_day + 1
        e.dirty |= HOT


@kernel
def day_is_due(e, up_to_day, feeds):
    """Return whether the next day may close: time has passed it, and all main banks (a tenth of the flow) closed it.

    Before the first transaction these are all banks known to it, but for those that have not sent a receipt yet.
    """
    day, has_flow = e.closed_day + 1, e.first_day != NO_UNIT
    if day >= up_to_day or not (has_flow or e.begun_day != NO_UNIT):
        return False
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(e, b, feeds)
        if f >= 0 and feeds.closed_up_to[f] < day and (has_flow or feeds.covered_up_to[f] != NO_UNIT):
            return False
    return True


@kernel
def close_next_day(e, feeds):
    """Close the next day. It is covered where every main bank's receipts reach it, from the first transaction's day on.

    A day before it that closed uncovered is covered from now on, where its receipts have come since and none of its
    records can have been refused as late: a bank that was silent for some days leaves no hole once it has sent them.
    """
    buckets.close_next_day(e)
    covered_up_to = np.int64(e.closed_day if NO_UNIT < e.first_day <= e.closed_day else NO_UNIT)
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(e, b, feeds)
        if f >= 0:
            covered_up_to = min(covered_up_to, feeds.covered_up_to[f])
    coverage.close(e, 1 if covered_up_to == e.closed_day else 0)
    whole_from = max(np.int64(e.first_day), day_of(time_of(e) - LATENESS_MS_MAX - 1) + 1)
    for day in range(whole_from, min(covered_up_to, e.closed_day - 1) + 1):
        if not coverage.is_covered(e.covered, e.closed_day - day):
            coverage.cover(e, e.closed_day - day)
    balances.close(e)
    for k in range(places(e)):
        if e.loan_open[k] and e.loan_dpd[k] > 0:
            f = _feed(e.bank[e.loan_bank[k]], feeds)
            if f >= 0:
                loans.run_on(e, k, min(feeds.covered_up_to[f], e.closed_day))
    e.banks_stalled = _banks_stalled(e, feeds)


@kernel
def is_stalled(e, feeds):
    """Return whether the feed of one of the enterprise's main banks is stalled."""
    for b in range(loans.BANK_SLOTS):
        f = _main_feed(e, b, feeds)
        if f >= 0 and feeds.stalled[f]:
            return 1
    return 0


@kernel
def is_loan_stalled(e, feeds):
    """Return whether the feed of a bank that lends to the enterprise is stalled."""
    for k in range(places(e)):
        if e.loan_open[k]:
            f = _feed(e.bank[e.loan_bank[k]], feeds)
            if f >= 0 and feeds.stalled[f]:
                return 1
    return 0


@kernel
def _flow(e):
    """Return IN + OUT of all banks, decayed."""
    total = 0.0
    for b in range(loans.BANK_SLOTS):
        total += e.bank_flow[b]
    return total


@kernel
def is_main(e, b):
    """Return whether the bank in slot b has a tenth of the enterprise's flow."""
    return e.bank[b] != 0 and e.bank_flow[b] >= _MAIN_BANK_SHARE * _flow(e)


@kernel
def _banks_stalled(e, feeds):
    """Return the banks, one bit each, whose feed is stalled, however small their share of the flow."""
    bits = 0
    for b in range(loans.BANK_SLOTS):
        f = _feed(e.bank[b], feeds)
        bits |= (1 << b) if f >= 0 and feeds.stalled[f] else 0
    return bits


@kernel
def observes_month_end(e):
    """Return whether the day just closed ends a month with a loan open, and no later event of a loan is known.

    Of a borrower without transactions there is nothing to learn.
    """
    if not (NO_UNIT < e.first_day <= e.closed_day and ends_month(e.closed_day)):
        return False
    return loans.open_count(e, EVERY_BANK) > 0 and loans.newest_fact_ms(e) < closing_time(e)


@kernel
def ends_month(day):
    """Return whether the next day is in another month."""
    return month_of(day) != month_of(day + 1)


@kernel
def _main_feed(e, b, feeds):
    """Return the index of the feed of bank slot b.

    -1 where it is free, has under a tenth of the flow, or is not in the tick.
    """
    return _feed(e.bank[b], feeds) if is_main(e, b) else -1


@kernel
def _feed(bank, feeds):
    """Return the index of a bank's feed; -1 where it is not in the tick."""
    banks = feeds.bank
    low, high = 0, banks.shape[0]
    while low < high:
        middle = (low + high) // 2
        if banks[middle] < bank:
            low = middle + 1
        else:
            high = middle
    return low if low < banks.shape[0] and banks[low] == bank else -1
