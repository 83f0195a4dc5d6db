"""Kernels of bookings: every amount is booked by `post` or `post_pending`."""

from typing import Any

import numpy as np

from kernels.decorators import kernel
from replay.province.chance import draw, draw_factor
from replay.province.layout import (
    BOOKED,
    BUY,
    FROM_COMPANY,
    IS_CREDIT,
    MOVES,
    NOBODY,
    OWN_IN,
    OWN_OUT,
    RETURNED,
    REVERSED,
    SALE,
    TO_COMPANY,
    UNDOS,
)
from replay.province.state import PAYMENT_NOISE, RETURNED_SHARE, REVERSED_SHARE

HOUR_MS = 3_600_000
# Credits come in the morning, debits after them. Payments between enterprises of the province are available the next
# day. Transfers to the accounts at lenders follow, then lenders collect. So no balance falls below zero within a day.
CREDITS_MS, CREDITS_SPAN_MS = 8 * HOUR_MS, 3 * HOUR_MS
DEBITS_MS, DEBITS_SPAN_MS = 11 * HOUR_MS + 300_000, 5 * HOUR_MS + 1_800_000
SWEEP_MS = 11 * HOUR_MS + 60_000  # balances at other banks are collected before any payment
EVENING_MONEY_MS, TRANSFERS_MS, COLLECTION_MS = 16 * HOUR_MS + 3_000_000, 17 * HOUR_MS, 18 * HOUR_MS
UNDO_MS = 7 * HOUR_MS + 1_800_000
UNDO_DAYS = 4


@kernel
def post(w: Any, account: Any, time_ms: Any, kind: Any, party: Any, amount: Any) -> Any:
    """Book an amount at once."""
    if IS_CREDIT[kind]:
        w.accounts[account].balance += amount
    else:
        w.accounts[account].balance -= amount
    _note(w, account, time_ms, kind, BOOKED, party, amount)


@kernel
def post_pending(w: Any, account: Any, time_ms: Any, kind: Any, party: Any, amount: Any) -> Any:
    """Book a credit whose money is available from the evening on."""
    w.accounts[account].pending += amount
    _note(w, account, time_ms, kind, BOOKED, party, amount)


@kernel
def _note(w: Any, account: Any, time_ms: Any, kind: Any, status: Any, party: Any, amount: Any) -> Any:
    m = w.moves[w.counts[MOVES]]
    w.counts[MOVES] += 1
    m.time_ms, m.account, m.kind, m.status, m.party, m.amount = time_ms, account, kind, status, party, amount
    m.flaw, m.ref_seq, m.ref_ms = 0, 0, 0


@kernel
def credit_time(f: Any, start_ms: Any) -> Any:
    """Return a time (ms) of the morning."""
    return start_ms + CREDITS_MS + np.int64(draw(f) * CREDITS_SPAN_MS)


@kernel
def debit_time(f: Any, start_ms: Any) -> Any:
    """Return a time (ms) of the working day after the morning."""
    return start_ms + DEBITS_MS + np.int64(draw(f) * DEBITS_SPAN_MS)


@kernel
def pay(w: Any, f: Any, start_ms: Any, kind: Any, party: Any, amount: Any) -> Any:
    """Pay from the settlement account, up to its balance, and return the amount; a party of the province gets it."""
    fen = min(np.int64(amount), w.accounts[f.account].balance)
    if fen <= 0:
        return np.int64(0)
    time_ms = debit_time(f, start_ms)
    post(w, f.account, time_ms, kind, party, fen)
    if is_enterprise(w, party):
        other = SALE if kind == BUY else FROM_COMPANY
        post_pending(w, w.firms[party].account, time_ms + 2_000, other, np.int64(w.accounts[f.account].firm), fen)
    return fen


@kernel
def is_enterprise(w: Any, party: Any) -> Any:
    """Return whether a party is an enterprise of the province."""
    return 0 <= party < w.firms.shape[0]


@kernel
def receive(w: Any, f: Any, start_ms: Any, kind: Any, party: Any, amount: Any) -> Any:
    """Receive money on the settlement account in the morning; return the received amount.

    An enterprise of the province pays during the day, up to its balance; the money is available in the evening.
    """
    fen = np.int64(amount)
    if fen <= 0:
        return np.int64(0)
    if is_enterprise(w, party):
        number = np.int64(w.accounts[f.account].firm)
        fen = pay(w, w.firms[party], start_ms, BUY if kind == SALE else TO_COMPANY, NOBODY, fen)
        if fen > 0:
            m = w.moves[w.counts[MOVES] - 1]
            m.party = number
            post_pending(w, f.account, m.time_ms + 2_000, kind, party, fen)
        return fen
    post(w, f.account, credit_time(f, start_ms), kind, party, fen)
    return fen


@kernel
def transfer(w: Any, number: Any, source: Any, target: Any, time_ms: Any, amount: Any) -> Any:
    """Move money between two accounts of an enterprise."""
    if amount > 0 and source != target:
        post(w, source, time_ms, OWN_OUT, number, amount)
        post(w, target, time_ms + 1_000, OWN_IN, number, amount)


@kernel
def cash(w: Any, f: Any) -> Any:
    """Return the fen on all yuan accounts of an enterprise."""
    total = np.int64(0)
    for a in range(f.account_first, f.account_first + f.account_count):
        if not w.accounts[a].dollars:
            total += w.accounts[a].balance
    return total


@kernel
def gather(w: Any, number: Any, f: Any, target: Any, start_ms: Any, amount: Any) -> Any:
    """Raise the balance of an account to `amount` in the evening, as far as the other accounts allow."""
    lacks = amount - w.accounts[target].balance
    for a in range(f.account_first, f.account_first + f.account_count):
        if lacks <= 0:
            return
        if a != target and not w.accounts[a].dollars and w.accounts[a].balance > 0:
            part = min(lacks, w.accounts[a].balance)
            transfer(w, number, a, target, start_ms + TRANSFERS_MS + 2_000 * f.transfers, part)
            f.transfers += 1
            lacks -= part


@kernel
def noisy(w: Any, f: Any, usual: Any) -> Any:
    """Return an amount around its usual size, mostly in whole yuan."""
    amount = np.int64(usual * draw_factor(f, w.numbers[PAYMENT_NOISE]))
    return amount - amount % 100 if amount > 100_000 else amount


@kernel
def perhaps_undo(w: Any, f: Any, day: Any, account: Any, kind: Any, party: Any, amount: Any) -> Any:
    """Plan, with a small probability, a return or reversal of the last booking in the next days."""
    share = w.numbers[RETURNED_SHARE] + w.numbers[REVERSED_SHARE]
    u = draw(f)
    if u >= share or w.counts[UNDOS] >= w.undos.shape[0]:
        return
    one = w.undos[w.counts[UNDOS]]
    w.counts[UNDOS] += 1
    one.day, one.account, one.kind, one.party, one.amount = (
        day + 1 + np.int64(draw(f) * UNDO_DAYS),
        account,
        kind,
        party,
        amount,
    )
    one.status = RETURNED if u < w.numbers[RETURNED_SHARE] else REVERSED
    one.move, one.seq = w.counts[MOVES] - 1, NOBODY


@kernel
def undo_due(w: Any, day: Any, start_ms: Any) -> Any:
    """Book the returns and reversals of today; where a balance is too low for one, it waits for the next day."""
    kept = 0
    for i in range(w.counts[UNDOS]):
        one = w.undos[i]
        account = w.accounts[one.account]
        credit = IS_CREDIT[one.kind]
        if one.day <= day and one.seq != NOBODY and (not credit or account.balance >= one.amount):
            account.balance += -one.amount if credit else one.amount
            _note(w, one.account, start_ms + UNDO_MS + 1_000 * i, one.kind, one.status, one.party, one.amount)
            m = w.moves[w.counts[MOVES] - 1]
            m.ref_seq, m.ref_ms = one.seq, one.time_ms
        elif one.day + 60 > day:
            if kept != i:
                other = w.undos[kept]
                other.day, other.account, other.kind, other.status = one.day, one.account, one.kind, one.status
                other.party, other.amount, other.move = one.party, one.amount, one.move
                other.seq, other.time_ms = one.seq, one.time_ms
            kept += 1
    w.counts[UNDOS] = kept
