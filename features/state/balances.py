"""Booked balances: the newest of each account, and what all accounts together held at the end of each day.

Within an account the newest balance by event time counts (of equal times the one that came last); an older one that
comes late changes nothing. Across accounts order does not matter: a balance of day d moves the total of d and of every
later day. So the law is: the total of day d is the sum, over the accounts, of the newest accepted balance up to d.

Order-dependent where an account's balances come out of order. A ninth account takes the place of one that has been
silent for 90 days, whose money leaves the total; where there is none, totals are unknown from that day until it is out
of reach. A bank's balances are known while it has sent one, and within the last seven days no transaction without one.
A day is known where banks with seven tenths of the decayed flow are, judged when it closes.

Totals are kept for 35 days. A day that closed FOLDED_DAYS ago is folded into the lowest total of its week; events come
at most seven days late, so the lowest total of 90 days is exact (but for what an operator admits even later). It is of
ends of days: within a day the total of several banks' accounts depends on whose records came first.

Fields of one enterprise: account uint64 (8) hash of bank and account, 0 free; account_fen int64 (8); account_ms int64
(8); account_overflow_day int32; balance_first_day and balance_day int32, the first and the newest day of a balance;
balance_eod int64 fen (35), day d at d mod 35; balance_known uint64, bit 0 is the last closed day; low_week int32, the
newest folded week; low_fen int64 (12), the lowest known total of week w at w mod 12; low_known uint16, bit w mod 12,
whether it has one; low_90d_fen int64 and low_90d_known uint8, the lowest of those from s(90d) of the last close on; per
bank slot balance_last_day and balance_blind_day int32 (8), the newest day of a transaction with, and of one without, a
balance; unplaced_day int32, the newest day of a transaction of a bank that has no slot (any more): its money may be in
the totals.
"""

import numpy as np

from domain.calendar import DAY_MS
from features.state.buckets import NO_UNIT
from features.state.days import week_of
from features.state.parts import touch_cold
from kernels.decorators import kernel

ACCOUNTS = 8
DAYS = 35
MISSING = -(2**63)  # a transaction without a balance
FOLDED_DAYS = 14  # since its close: twice the lateness that is allowed
LOW_WEEKS = 12  # from s(90d) to the newest folded week
NO_LOW = 2**63 - 1
_LOW_DAYS = 90
_NO = np.bool_(False)
_SILENT_MS = 90 * DAY_MS
_BLIND_DAYS = 7
_SHARE_KNOWN_MIN = 0.7
_ONE = np.uint64(1)
_NONE = -1


@kernel
def add(e, account, bank, day, event_ms, fen):
    """Take in the balance (fen) after one transaction, MISSING where it came without.

    `bank`: the bank's slot, or negative.
    """
    if bank < 0:
        e.unplaced_day = max(e.unplaced_day, day)
    elif fen == MISSING:
        e.balance_blind_day[bank] = max(e.balance_blind_day[bank], day)
    else:
        e.balance_last_day[bank] = max(e.balance_last_day[bank], day)
    if fen == MISSING:
        return
    place = _place(e, account, day, event_ms)
    if place == _NONE:
        e.account_overflow_day = max(e.account_overflow_day, day)
    elif event_ms >= e.account_ms[place]:
        _move(e, day, fen - e.account_fen[place])
        e.account_fen[place], e.account_ms[place] = fen, event_ms


@kernel
def close(e):
    """Note whether the balance of day `e.closed_day`, which has just closed, is known, and fold an older day."""
    e.balance_known = (e.balance_known << _ONE) | np.uint64(is_known_now(e, e.closed_day))
    day = e.closed_day - FOLDED_DAYS
    if is_known(e, day, _NO):
        _fold(e, week_of(day), end_of_day(e, day))
    e.low_90d_known, e.low_90d_fen = 0, 0
    first_week = week_of(np.int64(e.closed_day) + 1 - _LOW_DAYS)
    for week in range(max(first_week, e.low_week - LOW_WEEKS + 1), e.low_week + 1):
        place = week % LOW_WEEKS
        if e.low_known >> place & 1 and (e.low_90d_known == 0 or e.low_fen[place] < e.low_90d_fen):
            e.low_90d_known, e.low_90d_fen = 1, e.low_fen[place]


@kernel
def is_known_now(e, day):
    """Return whether balances of banks with seven tenths of the flow are known, for open days and one that closes."""
    if e.balance_day == NO_UNIT or day < e.balance_first_day:
        return False
    known, total = 0.0, 0.0
    for bank in range(e.bank_flow.shape[0]):
        total += e.bank_flow[bank]
        if e.balance_last_day[bank] != NO_UNIT and e.balance_blind_day[bank] <= day - _BLIND_DAYS:
            known += e.bank_flow[bank]
    return total > 0.0 and known >= _SHARE_KNOWN_MIN * total


@kernel
def is_known(e, day, now):
    """Return whether the total of `day` is known.

    `now`: is_known_now of the newest day, which counts for all open days.
    """
    if day <= max(e.account_overflow_day, e.balance_day - DAYS):
        return False
    back = e.closed_day - day
    return now and day >= e.balance_first_day if back < 0 else (e.balance_known >> np.uint64(back)) & _ONE == _ONE


@kernel
def end_of_day(e, day):
    """Return the total in fen at the end of a day for which `is_known` holds."""
    return e.balance_eod[min(day, e.balance_day) % DAYS]


@kernel
def lowest_before(e, day, now):
    """Return the lowest known total in fen from s(90d) of the last close to the day before `day`; NO_LOW without one.

    `day`: up to 29 days before the newest one. Days that are not folded yet are among them where closes lag behind.
    """
    lowest = np.int64(e.low_90d_fen if e.low_90d_known else NO_LOW)
    for open_day in range(max(e.closed_day - FOLDED_DAYS, e.balance_day - DAYS) + 1, day):
        if is_known(e, open_day, now):
            lowest = min(lowest, end_of_day(e, open_day))
    return lowest


@kernel
def sum_and_days(e, first, last, now):
    """Return (sum of the known totals in fen, their number) over the days first..last, at most 35, both included."""
    total, days = np.int64(0), 0
    for day in range(first, last + 1):
        if is_known(e, day, now):
            total += end_of_day(e, day)
            days += 1
    return total, days


@kernel
def forget_bank(e, bank):
    """Reset the fields of a bank slot that another bank takes; what the bank before has sent is of no slot then."""
    e.unplaced_day = max(e.unplaced_day, e.balance_last_day[bank], e.balance_blind_day[bank])
    e.balance_last_day[bank] = e.balance_blind_day[bank] = NO_UNIT


@kernel
def _fold(e, week, fen):
    """Lower the lowest total of a week to `fen`, where it is higher. Weeks never go back."""
    if week > e.low_week:
        for passed in range(max(e.low_week + 1, week - LOW_WEEKS + 1), week + 1):
            e.low_known &= ~(1 << passed % LOW_WEEKS)
            e.low_fen[passed % LOW_WEEKS] = 0
        e.low_week = week
        touch_cold(e)
    place = week % LOW_WEEKS
    if e.low_known >> place & 1 == 0 or fen < e.low_fen[place]:
        e.low_known |= 1 << place
        e.low_fen[place] = fen
        touch_cold(e)


@kernel
def _place(e, account, day, event_ms):
    """Return the account's place, a free one, or one silent for 90 days, emptied; _NONE where there is none."""
    oldest = 0
    for place in range(ACCOUNTS):
        if e.account[place] == account:
            return place
        if e.account[place] == 0:
            e.account[place], e.account_fen[place], e.account_ms[place] = account, 0, event_ms
            return place
        if e.account_ms[place] < e.account_ms[oldest]:
            oldest = place
    if e.account_ms[oldest] > event_ms - _SILENT_MS:
        return _NONE
    _move(e, day, -e.account_fen[oldest])
    e.account[oldest], e.account_fen[oldest], e.account_ms[oldest] = account, 0, event_ms
    return oldest


@kernel
def _move(e, day, fen):
    """Add `fen` to the totals of `day` and all later days."""
    if e.balance_day == NO_UNIT:
        e.balance_day = e.balance_first_day = day
    e.balance_first_day = min(e.balance_first_day, day)
    total = e.balance_eod[e.balance_day % DAYS]
    for later in range(max(e.balance_day + 1, day - DAYS + 1), day + 1):
        e.balance_eod[later % DAYS] = total
    e.balance_day = max(e.balance_day, day)
    for moved in range(max(day, e.balance_day - DAYS + 1), e.balance_day + 1):
        e.balance_eod[moved % DAYS] += fen
