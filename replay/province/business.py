"""Kernels of an enterprise's day: sales, receipts and payments."""

from typing import Any

import numpy as np

from kernels.decorators import kernel
from replay.province.chance import draw, draw_factor, draw_normal, exp
from replay.province.layout import (
    BUY,
    BUY_PERSON,
    CASH_OUT,
    CUSTOMER_LOSS,
    DEBT_SPIRAL,
    FAILS,
    FEE,
    FRAUD,
    FROM_COMPANY,
    FROM_PERSON,
    INTEREST_IN,
    INVEST,
    NOBODY,
    OVER_EXPANSION,
    OWN_IN,
    OWN_OUT,
    PAYROLL,
    PRIVATE_LENDER,
    PRIVATE_REPAY,
    PROJECT_GAP,
    RECOVERS,
    RENT,
    SALE,
    SALE_PLATFORM,
    SEASONAL_STOP,
    SHADOW_REPAY,
    SLOW_DECAY,
    SOCIAL,
    SUDDEN_STOP,
    TAX,
    TO_COMPANY,
    TO_PERSON,
    UTILITY,
    WINDOW_DRESSING,
)
from replay.province.posting import (
    SWEEP_MS,
    cash,
    credit_time,
    debit_time,
    noisy,
    pay,
    perhaps_undo,
    post,
    post_pending,
    receive,
    transfer,
)
from replay.province.state import (
    BAD_HIGH,
    BAD_LOW,
    BAD_MONTH,
    BANKS,
    CAUGHT_UP,
    DELAY_DAYS,
    FIRST_DAY,
    LANDLORDS,
    LENDERS,
    MEMORY,
    OWNER_HELPS,
    PERSONS,
    PLATFORMS,
    PUBLIC,
    SKIPPED,
)

DAYS_A_MONTH = 30.4375
PACE_DAYS, STAFF_DAYS = 45.0, 240.0
STAFF_LEAST = 0.35
RESERVE = 0.05  # of a month's sales, kept back for wages and taxes before suppliers are paid
DOLLAR_FEN = 7.1  # fen for a cent
FAILED_DAYS, STOPPED_DAYS = 70.0, 12.0  # in which business falls to its level after failure
EXPANSION = 0.45  # of sales at its height, reached at progress EXPANSION_AT
EXPANSION_AT = 0.6
WAGE_SHARE_SOCIAL = 0.22
LOW_CASH = 0.035  # of a month's sales
OWED_MAX = 2.0


@kernel
def progress(f: Any, day: Any) -> Any:
    """Return the progress of trouble, 0 to 1; 0 before its onset."""
    if day < f.onset:
        return 0.0
    if day >= f.turn:
        return 1.0
    return (day - f.onset) / max(f.turn - f.onset, 1)


@kernel
def is_in_trouble(f: Any, day: Any) -> Any:
    """Return whether trouble has begun and is not over."""
    return f.ending != 0 and f.onset <= day and (f.ending == FAILS or day < f.over)


@kernel
def pays_no_lender(f: Any, day: Any) -> Any:
    """Return whether it is in arrears by its course."""
    return f.arrears_from <= day < f.arrears_until


@kernel
def _down(f: Any, p: Any) -> Any:
    """Return sales against the usual at progress p, before the turn."""
    if f.scenario == SUDDEN_STOP:
        return 1.0 - f.depth * min(1.0, 8.0 * p)
    if f.scenario == OVER_EXPANSION:
        if p < EXPANSION_AT:
            return 1.0 + EXPANSION * p / EXPANSION_AT
        return 1.0 + EXPANSION - (EXPANSION + f.depth) * (p - EXPANSION_AT) / (1.0 - EXPANSION_AT)
    if f.scenario == CUSTOMER_LOSS:
        return 1.0 - 0.35 * f.depth * p  # beside the lost customers
    if f.scenario == SLOW_DECAY or f.scenario == WINDOW_DRESSING:
        return 1.0 - f.depth * p * (2.0 - p)
    if f.scenario == FRAUD:
        return 1.0
    return 1.0 - f.depth * p


@kernel
def course(f: Any, today: Any) -> Any:
    """Return sales against the usual, by the enterprise's course."""
    day = today.day
    if f.scenario == SEASONAL_STOP:
        since = (today.month_of_year - f.stop_month) % 12
        return 1.0 - f.depth if since < f.stop_months else 1.0
    if f.scenario == PROJECT_GAP:
        return 1.0 - f.depth if f.onset <= day < f.over else 1.0
    if f.ending == 0 or day < f.onset:
        return 1.0
    if day < f.turn:
        return _down(f, progress(f, day))
    lowest = _down(f, 1.0)
    if f.ending == RECOVERS:
        if day >= f.over:
            return 1.0
        return lowest + (1.0 - lowest) * (day - f.turn) / max(f.over - f.turn, 1)
    takes = STOPPED_DAYS if f.scenario == SUDDEN_STOP or f.scenario == FRAUD else FAILED_DAYS
    return lowest * (1.0 - (1.0 - f.after) * min(1.0, (day - f.turn) / takes))


@kernel
def begin_day(w: Any, f: Any, today: Any) -> Any:
    """Set the sales of today, without the season."""
    if today.month_begins:
        memory = w.numbers[MEMORY]
        f.shock = memory * f.shock + f.noise * (1.0 - memory * memory) ** 0.5 * draw_normal(f)
        f.month_level = 1.0
        if draw(f) < w.numbers[BAD_MONTH]:
            f.month_level = w.numbers[BAD_LOW] + (w.numbers[BAD_HIGH] - w.numbers[BAD_LOW]) * draw(f)
    f.course = course(f, today)
    trend = max(0.3, 1.0 + f.growth * (today.day - w.places[FIRST_DAY]))
    f.demand = exp(f.shock - 0.5 * f.noise * f.noise) * f.month_level * f.course * trend
    f.received, f.transfers = 0.0, 0
    if f.moves_on == today.day:
        f.account = f.moves_to


@kernel
def take_in(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Book the payments of customers outside the province and of the public."""
    season = w.seasons[f.industry, today.day - w.places[FIRST_DAY]]
    if f.public > 0.0:
        usual = f.public * f.base / DAYS_A_MONTH * season * f.demand / f.takings
        for _ in range(f.takings):
            amount = np.int64(usual * draw_factor(f, 0.35))
            if amount > 100:
                receive(w, f, today.start_ms, SALE_PLATFORM, w.places[PLATFORMS] + number % 2, amount)
                f.received += amount
    if not today.business:
        return
    for i in range(f.link_first, f.link_first + f.link_count):
        link = w.links[i]
        if link.pays or link.next > today.day or link["until"] <= today.day:
            continue
        level = f.demand * season
        goes = today.day >= link["from"] and not (level < 0.7 and draw(f) < 0.8 * (0.7 - level) / 0.7)
        if goes and draw(f) < w.numbers[SKIPPED]:
            goes = False
            link.owed = min(OWED_MAX, link.owed + 1.0) if draw(f) < w.numbers[CAUGHT_UP] else link.owed
        if goes:
            _customer_pays(w, f, link, today, level)
        _plan_next(w, f, link, today.day, 2.0 - min(level, 1.0))


@kernel
def _customer_pays(w: Any, f: Any, link: Any, today: Any, level: Any) -> Any:
    amount = noisy(
        w, f, link.share * f.base * link.every / DAYS_A_MONTH * max(level, 0.5 * (level + 0.4)) * (1.0 + link.owed)
    )
    link.owed = 0.0
    if amount < 100:
        return
    f.received += amount
    account = f.account
    if link.account == -2:
        account, amount = f.dollars, np.int64(amount / DOLLAR_FEN)
    elif link.account >= 0:
        account = link.account
    elif f.moves_on <= today.day < f.moves_on + 60 and draw(f) * 60 > today.day - f.moves_on:
        account = f.account_first
    post(w, account, credit_time(f, today.start_ms), link.kind, link.party, amount)
    if account != f.dollars:
        perhaps_undo(w, f, today.day, account, link.kind, link.party, amount)


@kernel
def _plan_next(w: Any, f: Any, link: Any, day: Any, slowness: Any) -> Any:
    """Set the day of a link's next payment, some days after its turn."""
    while link.plan <= day:
        link.plan += link.every
    u = draw(f)
    link.next = np.int64(link.plan + 3.0 * w.numbers[DELAY_DAYS] * slowness * u * u * min(1.0, link.every / 20.0))


@kernel
def _falls_on(today: Any, dom: Any) -> Any:
    """Return whether a due day of the month is booked today."""
    if today.wraps:
        return dom >= today.dom_first or dom <= today.dom_last
    return today.dom_first <= dom <= today.dom_last


@kernel
def pay_dues(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Pay wages, taxes, rent and the like on their days, and the amounts still owed."""
    start_ms = today.start_ms
    wages = f.payroll * f.base * f.staff
    if _falls_on(today, f.payroll_day):
        f.owed_wages += wages * draw_factor(f, 0.05)
    if f.bonus > 0.0 and today.to_festival == 12 + number % 6:
        f.owed_wages += f.bonus * wages
    if _falls_on(today, 10 + number % 5):
        months = today.month_of_year % 3 == 1
        if f.tax_every == 1 or months:
            f.owed_tax += f.tax * f.sold
            f.sold = 0.0
        paid = pay(w, f, start_ms, SOCIAL, w.places[PUBLIC] + 1, WAGE_SHARE_SOCIAL * wages)
        f.owed_tax += 0.5 * (WAGE_SHARE_SOCIAL * wages - paid)
    if _falls_on(today, f.rent_day) and f.rent > 0.0 and (f.rent_every == 1 or today.month_of_year % 3 == number % 3):
        f.owed_rent += f.rent * f.rent_every
    if _falls_on(today, f.utility_day):
        usual = f.utility * f.base * (0.35 + 0.65 * min(1.6, max(0.0, f.pace)))
        pay(w, f, start_ms, UTILITY, w.places[PUBLIC] + 2, noisy(w, f, usual))
    if _falls_on(today, 26):
        bank = w.places[BANKS] + w.accounts[f.account].bank
        pay(w, f, start_ms, FEE, bank, 2_000 + 1_000 * (number % 9))
        if today.month_of_year % 3 == 0:
            receive(w, f, start_ms, INTEREST_IN, bank, w.accounts[f.account].balance // 4_000)
    f.owed_wages -= _settle(w, f, start_ms, PAYROLL, NOBODY, f.owed_wages)
    f.owed_tax -= _settle(w, f, start_ms, TAX, w.places[PUBLIC], f.owed_tax)
    f.owed_rent -= _settle(w, f, start_ms, RENT, w.places[LANDLORDS] + number, f.owed_rent)


@kernel
def _settle(w: Any, f: Any, start_ms: Any, kind: Any, party: Any, owed: Any) -> Any:
    """Pay an owed amount, or a part of it where the balance is too low; return the paid amount."""
    amount = np.int64(owed)
    if amount < 1_000:
        return 0.0
    there = w.accounts[f.account].balance
    if there < amount:
        if there < 0.4 * amount or draw(f) < 0.8:
            return 0.0
        amount = np.int64(0.9 * there)
    return np.float64(pay(w, f, start_ms, kind, party, amount))


@kernel
def buy(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Pay the suppliers whose turn it is, as far as the balance allows."""
    p = progress(f, today.day)
    wants = f.pace
    if p > 0.0 and is_in_trouble(f, today.day) and today.day < f.turn:
        wants *= 1.0 + f.squeeze * min(1.0, 2.0 * p)  # more expensive, or not cut as fast as sales fall
    for i in range(f.link_first, f.link_first + f.link_count):
        link = w.links[i]
        if not link.pays or link.next > today.day:
            continue
        level = wants
        seller = link.other_account >= 0
        if seller:
            level *= min(1.5, w.firms[link.party].demand)
        usual = link.share * f.purchases * f.base * link.every / DAYS_A_MONTH
        amount = noisy(w, f, usual * level * (1.0 + link.owed))
        free = w.accounts[f.account].balance - np.int64(RESERVE * f.base)
        if amount < 100 or (level < 0.35 and draw(f) < 0.5):
            _plan_next(w, f, link, today.day, 1.0)
            continue
        if free < amount:
            if free < 0.3 * amount:
                link.next = today.day + 2 + np.int64(6 * draw(f))
                if today.day - link.plan > link.every:  # a whole turn was skipped
                    link.owed = min(OWED_MAX, link.owed + 0.5)
                    _plan_next(w, f, link, today.day, 1.0)
                continue
            link.owed = min(OWED_MAX, (amount - free) / max(usual, 1.0))
            amount = free
        else:
            link.owed = 0.0
        _pay_supplier(w, number, f, link, today, amount)
        _plan_next(w, f, link, today.day, 1.0)
    if f.stock > 0.01 * f.base:
        _spend_on_stock(w, number, f, today)


@kernel
def _pay_supplier(w: Any, number: Any, f: Any, link: Any, today: Any, amount: Any) -> Any:
    time_ms = debit_time(f, today.start_ms)
    post(w, f.account, time_ms, link.kind, link.party, amount)
    if link.other_account < 0:
        perhaps_undo(w, f, today.day, f.account, link.kind, link.party, amount)
        return
    seller = w.firms[link.party]
    account = link.other_account
    if seller.moves_on + 30 <= today.day:
        account = seller.moves_to
    post_pending(w, account, time_ms + 2_000, SALE, number, amount)
    seller.received += amount


@kernel
def _spend_on_stock(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Spend a loan on stock, with suppliers, over the next weeks."""
    if draw(f) < 0.5:
        return
    link = w.links[f.link_first + np.int64(draw(f) * f.link_count)]
    amount = np.int64(min(f.stock * (0.15 + 0.35 * draw(f)), w.accounts[f.account].balance - RESERVE * f.base))
    if link.pays and amount > 100_000:
        _pay_supplier(w, number, f, link, today, amount - amount % 100_000)
        f.stock -= amount


@kernel
def live_on(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Book cash withdrawals, the owner's drawings and loans, and transfers between the enterprise's own accounts."""
    day, start_ms = today.day, today.start_ms
    if draw(f) < f.cash_chance:
        pay(w, f, start_ms, CASH_OUT, NOBODY, _rounded(f, 0.015))
    if draw(f) < f.reimburse_chance:
        person = w.places[PERSONS] + 2 * number + (draw(f) < 0.3)
        pay(w, f, start_ms, TO_PERSON, person, _rounded(f, 0.012))
    if f.dollars >= 0 and draw(f) < 0.12 and w.accounts[f.dollars].balance > 0.01 * f.base / DOLLAR_FEN:
        cents = np.int64(w.accounts[f.dollars].balance * (0.6 + 0.4 * draw(f)))
        post(w, f.dollars, start_ms + SWEEP_MS, OWN_OUT, number, cents)
        post(w, f.account, start_ms + SWEEP_MS + 1_000, OWN_IN, number, np.int64(cents * DOLLAR_FEN))
    if draw(f) < 0.25:
        _bring_together(w, number, f, today)
    if _falls_on(today, 28):
        _draw_out(w, number, f, day, start_ms)
    if f.hidden_debt > 0.02 * f.base and draw(f) < 0.06:
        _repay_hidden(w, number, f, today)
    held = w.accounts[f.account].balance
    if held < LOW_CASH * f.base and not (f.ending == FAILS and day >= f.turn):
        helps = w.numbers[OWNER_HELPS] * (0.7 if is_in_trouble(f, day) else 1.0)
        if draw(f) < 0.15 * helps:
            borrow_privately(w, number, f, day, start_ms, (0.05 + 0.15 * draw(f)) * f.base)


@kernel
def _rounded(f: Any, of_base: Any) -> Any:
    """Return an amount near a share of a month's sales, in whole hundreds of yuan where it is large."""
    amount = np.int64(of_base * f.base * draw_factor(f, 0.7))
    return amount - amount % 10_000 if amount > 50_000 else amount


@kernel
def _bring_together(w: Any, number: Any, f: Any, today: Any) -> Any:
    """Move balances at other banks to the settlement account, except a small rest."""
    for a in range(f.account_first, f.account_first + f.account_count):
        one = w.accounts[a]
        if a == f.account or one.dollars or one.opened > today.day:
            continue
        spare = one.balance - np.int64(0.02 * f.base)
        if spare > 0.02 * f.base:
            transfer(w, number, a, f.account, today.start_ms + SWEEP_MS, spare - spare % 10_000)


@kernel
def _draw_out(w: Any, number: Any, f: Any, day: Any, start_ms: Any) -> Any:
    """Pay spare cash to the owner, unless a bullet loan is due soon."""
    if f.dues_day >= day or f.stock > 0.05 * f.base:
        return
    wanted = f.target * (0.4 + 0.6 * min(1.5, f.pace))
    spare = cash(w, f) - wanted
    if spare > 0.1 * f.base:
        kind, party = TO_PERSON, w.places[PERSONS] + 2 * number
        u = draw(f)
        if u < 0.12:
            kind, party = INVEST, w.places[BANKS] + w.accounts[f.account].bank
        elif u < 0.25 and f.related[0] >= 0:
            kind, party = TO_COMPANY, np.int64(f.related[0])
        part = np.int64(spare * (0.35 + 0.5 * draw(f)))
        pay(w, f, start_ms, kind, party, part - part % 10_000)


@kernel
def borrow_privately(w: Any, number: Any, f: Any, day: Any, start_ms: Any, amount: Any) -> Any:
    """Receive money from the owner, a related enterprise or a private lender."""
    u = draw(f)
    lends = 0.30 if is_in_trouble(f, day) else 0.08
    fen = np.int64(amount)
    fen -= fen % 100_000 if fen > 1_000_000 else 0
    if u < lends:
        receive(w, f, start_ms, PRIVATE_LENDER, w.places[PERSONS] + 2 * number + 1, fen)
        f.hidden_debt += 1.1 * fen
    elif u < 0.42 and f.related[0] >= 0:
        f.hidden_debt += 0.5 * receive(w, f, start_ms, FROM_COMPANY, np.int64(f.related[0]), fen)
    else:
        receive(w, f, start_ms, FROM_PERSON, w.places[PERSONS] + 2 * number, fen)
        f.hidden_debt += 0.25 * fen


@kernel
def _repay_hidden(w: Any, number: Any, f: Any, today: Any) -> Any:
    free = w.accounts[f.account].balance - 2.0 * RESERVE * f.base
    amount = np.int64(min(f.hidden_debt * (0.1 + 0.25 * draw(f)), free))
    if amount < 100_000:
        return
    kind, party = PRIVATE_REPAY, w.places[PERSONS] + 2 * number + 1
    if f.scenario == DEBT_SPIRAL and f.ending != 0 and draw(f) < 0.6:
        kind, party = SHADOW_REPAY, w.places[LENDERS] + number % 40
    elif draw(f) < 0.5:
        kind, party = TO_PERSON, w.places[PERSONS] + 2 * number
    f.hidden_debt -= pay(w, f, today.start_ms, kind, party, amount - amount % 10_000)


@kernel
def end_day(w: Any, f: Any) -> Any:
    """Release the day's receipts; let purchases and staff follow the pace of sales."""
    for a in range(f.account_first, f.account_first + f.account_count):
        one = w.accounts[a]
        one.balance += one.pending
        one.pending = 0
    f.sold += f.received
    ratio = f.received / (f.base / DAYS_A_MONTH)
    f.pace += (min(ratio, 12.0) - f.pace) / PACE_DAYS
    f.staff = max(STAFF_LEAST, f.staff + (f.pace - f.staff) / STAFF_DAYS)


@kernel
def buys_from(w: Any, f: Any) -> Any:
    """Return the index of one of its links to a supplier; NOBODY where none was found."""
    for _ in range(4):
        i = f.link_first + np.int64(draw(f) * f.link_count)
        if w.links[i].pays and (w.links[i].kind == BUY or w.links[i].kind == BUY_PERSON):
            return i
    return NOBODY
