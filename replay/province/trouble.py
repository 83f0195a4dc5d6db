"""Kernels of trouble as it shows in the accounts, beside lower sales."""

from typing import Any

import numpy as np

from kernels.decorators import kernel
from replay.province.business import buys_from, is_in_trouble, pays_no_lender, progress
from replay.province.chance import draw, draw_factor
from replay.province.layout import (
    BUY,
    CASH_OUT,
    DEBT_SPIRAL,
    FAILS,
    FRAUD,
    NEW_LENDER,
    NOBODY,
    OVER_EXPANSION,
    PRIVATE_LENDER,
    PRIVATE_REPAY,
    SALE,
    SHADOW_REPAY,
    SIPHONING,
    SUDDEN_STOP,
    TO_COMPANY,
    TO_PERSON,
    WINDOW_DRESSING,
)
from replay.province.posting import SWEEP_MS, pay, receive, transfer
from replay.province.state import LENDER_COUNT, LENDERS, OUTSIDER_COUNT, OUTSIDERS, PERSONS

VISITS = 4.3  # in a month, for payments about once a week
WEEKLY = 0.2  # chance on a business day
LEFT_OVER = 0.012  # of a month's sales: the rest in a failed enterprise's account
FRAUD_DAYS = 12


@kernel
def suffer(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Apply the enterprise's scenario to today."""
    day = today.day
    if not is_in_trouble(f, day):
        return
    if pays_no_lender(f, day):
        _empty_accounts(w, number, f, today)
        return
    if day >= f.turn:
        return
    p = progress(f, day)
    if f.scenario == SIPHONING:
        _siphon(w, number, f, today, p)
    elif f.scenario == DEBT_SPIRAL:
        _spiral(w, number, f, today, p)
    elif f.scenario == OVER_EXPANSION:
        _expand(w, f, today, p)
    elif f.scenario == FRAUD:
        if f.ending == FAILS and day >= f.turn - FRAUD_DAYS and draw(f) < 0.3:
            _take_away(w, number, f, today, 0.7)
    else:
        if f.scenario == WINDOW_DRESSING:
            _dress(w, f, today)
        _pay(w, f, today, f.strain * (0.3 + 1.4 * p), BUY, _somebody(w, f))


@kernel
def _pay(w: Any, f: Any, today: Any, of_month: Any, kind: Any, party: Any) -> Any:
    """Pay about once a week, so that a month's payments sum to the share `of_month` of sales."""
    if of_month > 0.0 and draw(f) < WEEKLY:
        amount = np.int64(of_month * f.base / VISITS * draw_factor(f, 0.5))
        pay(w, f, today.start_ms, kind, party, amount - amount % 10_000)


@kernel
def _somebody(w: Any, f: Any) -> Any:
    """Return a supplier mostly, otherwise a party outside of the province."""
    i = buys_from(w, f)
    if i != NOBODY and w.links[i].other_account < 0 and draw(f) < 0.8:
        return np.int64(w.links[i].party)
    return w.places[OUTSIDERS] + np.int64(draw(f) * w.places[OUTSIDER_COUNT])


@kernel
def _companion(w: Any, f: Any) -> Any:
    """Return a related enterprise; without one, always the same party outside."""
    if f.related[0] >= 0:
        return np.int64(f.related[0])
    return w.places[OUTSIDERS] + np.int64(f.link_first) % w.places[OUTSIDER_COUNT]


@kernel
def _siphon(w: Any, number: Any, f: Any, today: Any, p: Any) -> Any:
    kind, party = BUY, _companion(w, f)
    u = draw(f)
    if u < 0.25:
        kind = TO_COMPANY
    elif u < 0.4:
        kind, party = TO_PERSON, w.places[PERSONS] + 2 * number
    _pay(w, f, today, f.strain * (0.3 + 1.4 * p), kind, party)


@kernel
def _spiral(w: Any, number: Any, f: Any, today: Any, p: Any) -> Any:
    """Borrow from new lenders, and repay the old ones with it."""
    u = draw(f)
    if u < 0.03 * (0.5 + p):
        fen = np.int64((0.10 + 0.35 * draw(f)) * f.base)
        fen -= fen % 100_000 if fen > 1_000_000 else 0
        if draw(f) < 0.6:
            lender = w.places[LENDERS] + np.int64(draw(f) * w.places[LENDER_COUNT])
            receive(w, f, today.start_ms, NEW_LENDER, lender, fen)
        else:
            receive(w, f, today.start_ms, PRIVATE_LENDER, w.places[PERSONS] + 2 * number + 1, fen)
        f.hidden_debt += 1.12 * fen
    elif f.hidden_debt > 0.0 and u > 0.88:
        kind, party = SHADOW_REPAY, w.places[LENDERS] + np.int64(draw(f) * w.places[LENDER_COUNT])
        amount = np.int64(f.hidden_debt * (0.02 + 0.05 * draw(f)))
        if draw(f) >= 0.6:
            kind, party = PRIVATE_REPAY, w.places[PERSONS] + 2 * number + 1
        f.hidden_debt -= pay(w, f, today.start_ms, kind, party, amount)
    _pay(w, f, today, f.strain * p, TO_COMPANY, _somebody(w, f))


@kernel
def _expand(w: Any, f: Any, today: Any, p: Any) -> Any:
    """Buy equipment, premises and stock for a growth that does not last."""
    if p < 0.8:
        _pay(w, f, today, f.strain, BUY, w.places[OUTSIDERS] + np.int64(draw(f) * w.places[OUTSIDER_COUNT]))


@kernel
def _dress(w: Any, f: Any, today: Any) -> Any:
    """Receive false sales at a month's end, and return the money after it."""
    party = _companion(w, f)
    if today.left_in_month <= 2 and draw(f) < 0.6:
        amount = np.int64((0.15 + 0.45 * draw(f)) * (1.05 - f.course) * f.base)
        amount -= amount % 10_000
        if amount > 0:
            f.propped += receive(w, f, today.start_ms, SALE, party, amount)
    elif today.since_month_end <= 5 and f.propped > 0.0 and draw(f) < 0.55:
        amount = np.int64(f.propped * (0.4 + 0.6 * draw(f)))
        f.propped -= pay(w, f, today.start_ms, BUY if draw(f) < 0.6 else TO_COMPANY, party, amount - amount % 10_000)


@kernel
def _take_away(w: Any, number: Any, f: Any, today: Any, part: Any) -> Any:
    """Pay out much of the balance to insiders."""
    amount = np.int64(part * draw(f) * w.accounts[f.account].balance)
    kind, party = TO_PERSON, w.places[PERSONS] + 2 * number
    if draw(f) < 0.5:
        kind, party = BUY, w.places[OUTSIDERS] + np.int64(draw(f) * w.places[OUTSIDER_COUNT])
    pay(w, f, today.start_ms, kind, party, amount - amount % 10_000)


@kernel
def _empty_accounts(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Empty the accounts of an enterprise in arrears by its most pressing payments, before lenders can collect."""
    for a in range(f.account_first, f.account_first + f.account_count):
        one = w.accounts[a]
        if a != f.account and not one.dollars and one.balance > LEFT_OVER * f.base:
            spare = one.balance - np.int64(0.5 * LEFT_OVER * f.base)
            transfer(w, number, a, f.account, today.start_ms + SWEEP_MS, spare)
    if f.scenario == FRAUD or f.scenario == SUDDEN_STOP:
        _take_away(w, number, f, today, 1.0)
    for _ in range(6):
        spare = w.accounts[f.account].balance - np.int64(LEFT_OVER * f.base)
        if spare < 10_000:
            return
        u, party, kind = draw(f), NOBODY, BUY
        if u < 0.45:
            party = _somebody(w, f)
        elif u < 0.7:
            kind, party = TO_PERSON, w.places[PERSONS] + 2 * number
        elif u < 0.85:
            kind, party = TO_COMPANY, _companion(w, f)
        elif u < 0.92:
            kind = CASH_OUT
        else:
            kind, party = PRIVATE_REPAY, w.places[PERSONS] + 2 * number + 1
        amount = np.int64(spare * (0.3 + 0.7 * draw(f)))
        pay(w, f, today.start_ms, kind, party, amount)
