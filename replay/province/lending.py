"""Kernels of a loan's life: grant, due dates, collection, arrears, classification, default, successor."""

from typing import Any

import numpy as np

from kernels.decorators import kernel
from replay.province.business import is_in_trouble, pays_no_lender, progress
from replay.province.chance import draw
from replay.province.layout import (
    BULLET,
    CALLED,
    CLASSIFIED,
    CLOSE,
    CLOSED,
    COMPENSATED,
    DEFAULT,
    DEFAULTED,
    DRAWN,
    FACTS,
    FAILS,
    FROM_COMPANY,
    FROM_PERSON,
    GONE,
    GRANTED,
    INSTALMENT,
    INSTALMENT_DUE,
    INTEREST,
    LENT,
    LOANS,
    NEVER,
    NOBODY,
    OPEN,
    OVERDUE,
    PLANNED,
    PRIVATE_LENDER,
    RECOVERS,
    RENEWED,
    REPAID,
    REPAY,
    REVOLVING,
    TO_COMPANY,
    TO_PERSON,
    WRITTEN_OFF,
)
from replay.province.posting import (
    COLLECTION_MS,
    EVENING_MONEY_MS,
    HOUR_MS,
    cash,
    debit_time,
    gather,
    is_enterprise,
    pay,
    post,
    transfer,
)
from replay.province.state import (
    BANKS,
    FIRST_DAY,
    FORGOTTEN,
    LATE_AT_FIRST,
    LATE_AT_LAST,
    LENT_AGAIN,
    OWNER_HELPS,
    PERSONS,
    RENEWED_SHARE,
)

REPORT_MS, GRANT_MS = 7 * HOUR_MS, 9 * HOUR_MS
DAYS_A_MONTH, MONTHS_A_YEAR = 30.4375, 12.0
REPORTED_DPD = (1, 4, 8, 15, 22, 31, 38, 46, 61, 76, 91)  # days past due that lenders report
SPECIAL_MENTION_DPD, DEFAULT_DPD = 31, 91
CALLED_DAYS, WRITTEN_OFF_DAYS = 45, 270
SAVING_DAYS = 60  # before a bullet loan is due the owner draws nothing
STOCK_SHARE = 0.85  # of a loan that goes to suppliers
FORGOTTEN_DAYS, LATE_DAYS = 6.0, 24.0  # the longest delay by oversight, and in trouble while it still pays
REFUSED_FROM = 0.5  # progress of trouble from which lenders do not lend again
DRAW_FROM, REPAY_FROM = 0.25, 1.0  # of the wanted cash: a limit is drawn below and repaid above


@kernel
def next_business(w: Any, day: Any) -> Any:
    """Return `day`, or the first business day after it."""
    i = day - w.places[FIRST_DAY]
    while i < w.calendar.shape[0] and not w.calendar[i].business:
        i += 1
    return w.places[FIRST_DAY] + i


@kernel
def _fact(w: Any, k: Any, event: Any, time_ms: Any, dpd: Any) -> Any:
    loan = w.loans[k]
    one = w.facts[w.counts[FACTS]]
    w.counts[FACTS] += 1
    line = min(loan.paid, loan.term - 1)
    one.time_ms, one.loan, one.event, one.outstanding = time_ms, k, event, loan.outstanding
    one.due_day, one.due, one.dpd, one.serial = loan.due_day[line], _due(loan), dpd, loan.paid


@kernel
def _due(loan: Any) -> Any:
    """Return principal and interest of the first unpaid line."""
    return _principal(loan) + _interest(loan)


@kernel
def _principal(loan: Any) -> Any:
    if loan.paid >= loan.term:
        return np.int64(0)
    if loan.kind == REVOLVING:
        return loan.outstanding if loan.paid == loan.term - 1 else np.int64(0)
    return loan.due_principal[loan.paid]


@kernel
def _interest(loan: Any) -> Any:
    return max(np.int64(loan.outstanding * loan.rate / MONTHS_A_YEAR), np.int64(100))


@kernel
def dpd_of(loan: Any, day: Any) -> Any:
    """Return the days past due of the first unpaid line; 0 before its due date."""
    if loan.paid >= loan.term:
        return 0
    return max(0, day - loan.due_day[loan.paid])


@kernel
def morning(w: Any, k: Any, today: Any) -> Any:
    """Let the lender act before the day's payments."""
    loan = w.loans[k]
    day, at_ms = today.day, today.start_ms + REPORT_MS
    f = w.firms[loan.firm]
    if loan.state == PLANNED:
        if loan.granted <= day and today.business:
            _grant(w, k, today)
        return
    if loan.state == DEFAULTED:
        _after_default(w, k, today)
        return
    if loan.state != OPEN:
        return
    if loan.kind == BULLET and loan.due_day[loan.term - 1] - SAVING_DAYS <= day <= loan.due_day[loan.term - 1]:
        f.dues_day = max(f.dues_day, loan.due_day[loan.term - 1])
    for i in range(loan.paid, loan.term):
        if loan.due_day[i] == day:
            _fact(w, k, INSTALMENT_DUE, at_ms, dpd_of(loan, day))
            w.facts[w.counts[FACTS] - 1].due_day = day
        elif loan.due_day[i] > day:
            break
    dpd = dpd_of(loan, day)
    for reported in REPORTED_DPD:
        if dpd == reported:
            _fact(w, k, OVERDUE, at_ms + 1_000, dpd)
    if dpd == SPECIAL_MENTION_DPD:
        _fact(w, k, CLASSIFIED, at_ms + 2_000, dpd)
    if dpd == DEFAULT_DPD:
        _fact(w, k, CLASSIFIED, at_ms + 2_000, dpd)
        _fact(w, k, DEFAULT, at_ms + 3_000, dpd)
        loan.state, loan.default_day = DEFAULTED, day


@kernel
def _grant(w: Any, k: Any, today: Any) -> Any:
    loan, day = w.loans[k], today.day
    number = np.int64(loan.firm)
    f = w.firms[number]
    refused = is_in_trouble(f, day) and progress(f, day) > REFUSED_FROM and loan.renews == NOBODY and loan.number >= 3
    if pays_no_lender(f, day) or (f.ending == FAILS and day >= f.turn) or (refused and draw(f) < 0.7):
        loan.state = GONE
        return
    loan.state, loan.granted, loan.paid, loan.late_until = OPEN, day, 0, 0
    part = loan.principal // loan.term
    for i in range(loan.term):
        loan.due_day[i] = next_business(w, day + np.int64((i + 1) * DAYS_A_MONTH))
        loan.due_principal[i] = part if loan.kind == INSTALMENT else 0
    loan.due_principal[loan.term - 1] = loan.principal - (part * (loan.term - 1) if loan.kind == INSTALMENT else 0)
    at_ms = today.start_ms + GRANT_MS
    if loan.renews != NOBODY:
        loan.outstanding = loan.principal
        _fact(w, k, RENEWED, at_ms, 0)
        return
    drawn = loan.principal
    if loan.kind == REVOLVING:
        drawn = np.int64(loan.limit * (0.4 + 0.5 * draw(f)))
        drawn -= drawn % 100_000
        loan.outstanding = 0
        _fact(w, k, GRANTED, at_ms, 0)
        _draw(w, k, at_ms + 60_000, drawn)
    else:
        loan.outstanding = drawn
        _fact(w, k, GRANTED, at_ms, 0)
        _disburse(w, k, at_ms + 1_000, drawn)
    _use(w, number, f, today, drawn)


@kernel
def _draw(w: Any, k: Any, at_ms: Any, fen: Any) -> Any:
    loan = w.loans[k]
    if fen <= 0:
        return
    loan.outstanding += fen
    _fact(w, k, DRAWN, at_ms, 0)
    _disburse(w, k, at_ms + 1_000, fen)


@kernel
def _disburse(w: Any, k: Any, at_ms: Any, fen: Any) -> Any:
    """Credit the loan to the account at the lender, and transfer it to the settlement account."""
    loan = w.loans[k]
    number = np.int64(loan.firm)
    f = w.firms[number]
    post(w, loan.account, at_ms, LENT, w.places[BANKS] + w.accounts[loan.account].bank, fen)
    transfer(w, number, loan.account, f.account, at_ms + 600_000, np.int64(0.97 * fen))


@kernel
def _use(w: Any, number: Any, f: Any, today: Any, drawn: Any) -> Any:
    """Repay the bridge loan first; the rest is spent on stock."""
    if f.bridge > 0.0:
        kind, party = TO_PERSON, w.places[PERSONS] + 2 * number
        if f.bridge_day % 2 == 0 and f.related[0] >= 0:
            kind, party = TO_COMPANY, np.int64(f.related[0])
        paid = pay(w, f, today.start_ms, kind, party, min(f.bridge * 1.01, 0.97 * drawn))
        f.bridge = max(0.0, f.bridge - paid)
        drawn -= paid
    f.stock += STOCK_SHARE * max(drawn, 0)


@kernel
def _after_default(w: Any, k: Any, today: Any) -> Any:
    loan, at_ms = w.loans[k], today.start_ms + REPORT_MS
    since = today.day - loan.default_day
    called = today.day == next_business(w, loan.default_day + CALLED_DAYS)
    if called and loan.calls and loan.guarantor[0] >= 0:
        g = w.firms[loan.guarantor[0]]
        if w.accounts[g.account].balance > loan.outstanding and not pays_no_lender(g, today.day):
            bank = w.places[BANKS] + w.accounts[loan.account].bank
            post(w, g.account, debit_time(g, today.start_ms), CALLED, bank, loan.outstanding)
            loan.outstanding = 0
            _fact(w, k, COMPENSATED, at_ms, 0)
            _fact(w, k, CLOSE, at_ms + 60_000, 0)
            loan.state = CLOSED
    elif since == WRITTEN_OFF_DAYS:
        _fact(w, k, WRITTEN_OFF, at_ms, since + DEFAULT_DPD)
        loan.state = GONE


@kernel
def evening(w: Any, k: Any, today: Any) -> Any:
    """Collect due lines, or draw and repay within a limit."""
    loan, day = w.loans[k], today.day
    if loan.state != OPEN or not today.business or day <= loan.granted:
        return
    number = np.int64(loan.firm)
    f = w.firms[number]
    collected = 0
    while loan.state == OPEN and loan.paid < loan.term and loan.due_day[loan.paid] <= day:
        if loan.due_day[loan.paid] == day and loan.late_until <= day and collected == 0:
            _slip(w, f, loan, day)
        if loan.late_until > day or pays_no_lender(f, day) or not _find_money(w, number, f, k, today):
            return
        _collect(w, k, today, collected)
        collected += 1
    if loan.state == OPEN and loan.kind == REVOLVING and collected == 0 and loan.paid < loan.term:
        _use_limit(w, number, f, k, today)


@kernel
def _slip(w: Any, f: Any, loan: Any, day: Any) -> Any:
    """Delay a due date by some days, by oversight or for lack of money."""
    if f.ending == RECOVERS and day < f.arrears_from <= day + LATE_DAYS:
        return  # its arrears follow at once, and it would be in default
    chance, most = w.numbers[FORGOTTEN], FORGOTTEN_DAYS
    if is_in_trouble(f, day):
        first, last = w.numbers[LATE_AT_FIRST], w.numbers[LATE_AT_LAST]
        chance, most = chance + first + (last - first) * progress(f, day), LATE_DAYS
    if draw(f) < chance:
        loan.late_until = day + 1 + np.int64(most * draw(f))


@kernel
def _find_money(w: Any, number: Any, f: Any, k: Any, today: Any) -> Any:
    """Bring the due amount to the account at the lender, with help where it lacks; return whether it is there."""
    loan = w.loans[k]
    due = _interest(loan) if _renews(w, loan) else _due(loan)
    lacks = due - cash(w, f)
    if lacks > 0:
        helps = w.numbers[OWNER_HELPS]
        if draw(f) > helps:
            loan.late_until = today.day + 1 + np.int64(5 * draw(f))
            return False
        fen = lacks + np.int64(0.02 * f.base)
        fen += 100_000 - fen % 100_000
        kind, party = FROM_PERSON, w.places[PERSONS] + 2 * number
        u = draw(f)
        if u < 0.35 and f.related[0] >= 0:
            kind, party = FROM_COMPANY, np.int64(f.related[0])
        elif u > (0.7 if is_in_trouble(f, today.day) else 0.93):
            kind, party = PRIVATE_LENDER, party + 1
        at_ms = today.start_ms + EVENING_MONEY_MS
        if is_enterprise(w, party):
            companion = w.firms[party].account
            if w.accounts[companion].balance < fen:
                kind, party = FROM_PERSON, w.places[PERSONS] + 2 * number
            else:
                post(w, companion, at_ms - 2_000, TO_COMPANY, number, fen)
        post(w, f.account, at_ms, kind, party, fen)
        if loan.paid == loan.term - 1 and loan.again == 2:
            f.bridge += fen
            f.bridge_day = today.day + (0 if kind == FROM_COMPANY else 1 - today.day % 2)
        else:
            f.hidden_debt += (1.1 if kind == PRIVATE_LENDER else 0.3) * fen
    gather(w, number, f, loan.account, today.start_ms, due)
    return w.accounts[loan.account].balance >= due


@kernel
def _renews(w: Any, loan: Any) -> Any:
    """Return whether the first unpaid line is the last one and its principal is renewed by another loan."""
    return loan.paid == loan.term - 1 and loan.again == 1 and w.counts[LOANS] < w.loans.shape[0]


@kernel
def _collect(w: Any, k: Any, today: Any, so_far: Any) -> Any:
    """Debit the first unpaid line, and report the outstanding amount."""
    loan = w.loans[k]
    bank = w.places[BANKS] + w.accounts[loan.account].bank
    at_ms = today.start_ms + COLLECTION_MS + 60_000 * so_far + 3_000 * (k % 15)
    principal, interest = _principal(loan), _interest(loan)
    post(w, loan.account, at_ms, INTEREST, bank, interest)
    if principal > 0 and not _renews(w, loan):
        post(w, loan.account, at_ms + 1_000, REPAY, bank, principal)
    loan.outstanding -= principal
    loan.paid += 1
    if loan.paid < loan.term:
        _fact(w, k, REPAID, at_ms + 2_000, dpd_of(loan, today.day))
        return
    _fact(w, k, REPAID, at_ms + 2_000, 0)
    _fact(w, k, CLOSE, at_ms + 3_000, 0)
    loan.state = CLOSED
    if loan.again > 0:
        _follow(w, k, today.day)


@kernel
def _follow(w: Any, k: Any, day: Any) -> Any:
    """Plan the successor of this loan."""
    if w.counts[LOANS] >= w.loans.shape[0]:
        return
    loan, n = w.loans[k], w.counts[LOANS]
    f = w.firms[loan.firm]
    w.counts[LOANS] += 1
    new = w.loans[n]
    new.firm, new.account, new.kind, new.rate, new.term = loan.firm, loan.account, loan.kind, loan.rate, loan.term
    new.number = loan.number + 3
    new.principal, new.limit = loan.principal, loan.limit
    new.guarantor[0], new.guarantor[1], new.calls = loan.guarantor[0], loan.guarantor[1], loan.calls
    new.state, new.outstanding, new.paid = PLANNED, 0, 0
    new.renews = k if loan.again == 1 else NOBODY
    new.default_day, new.late_until = NEVER, 0
    u = draw(f)
    goes_on = w.numbers[LENT_AGAIN]
    new.again = 1 if loan.kind == BULLET and u < goes_on * w.numbers[RENEWED_SHARE] else (2 if u < goes_on else 0)
    new.granted = day + 1 if loan.again == 1 else day + 2 + np.int64(14 * draw(f) * draw(f))
    if loan.again != 1 and draw(f) < 0.3:  # a little more or less than before
        factor = 0.7 + 0.7 * draw(f)
        tens = max(1.0, np.floor(loan.principal * factor / 1_000_000))
        new.principal = np.int64(tens) * 1_000_000
        new.limit = new.principal if loan.kind == REVOLVING else 0


@kernel
def _use_limit(w: Any, number: Any, f: Any, k: Any, today: Any) -> Any:
    """Draw on a limit when cash is low, repay when there is plenty."""
    loan = w.loans[k]
    if draw(f) > 0.2 or pays_no_lender(f, today.day) or loan.paid >= loan.term - 1:
        return
    held = cash(w, f)
    at_ms = today.start_ms + COLLECTION_MS - 1_200_000 + 3_000 * (k % 15)
    wanted = max(f.target, 0.15 * f.base)
    if held < DRAW_FROM * wanted and loan.outstanding < loan.limit and dpd_of(loan, today.day) == 0:
        fen = min(loan.limit - loan.outstanding, np.int64(0.5 * wanted))
        fen -= fen % 100_000
        if fen > 0:
            loan.outstanding += fen
            drawn_ms = today.start_ms + EVENING_MONEY_MS + 3_000 * (k % 15)
            _fact(w, k, DRAWN, drawn_ms, 0)
            bank = w.places[BANKS] + w.accounts[loan.account].bank
            post(w, loan.account, drawn_ms + 1_000, LENT, bank, fen)
    elif held > REPAY_FROM * wanted and loan.outstanding > 0:
        fen = min(loan.outstanding, np.int64(0.5 * (held - 0.7 * wanted)), w.accounts[f.account].balance // 2)
        fen -= fen % 100_000
        if fen > 100_000:
            gather(w, number, f, loan.account, today.start_ms, fen)
            if w.accounts[loan.account].balance >= fen:
                loan.outstanding -= fen
                bank = w.places[BANKS] + w.accounts[loan.account].bank
                post(w, loan.account, at_ms, REPAY, bank, fen)
                _fact(w, k, REPAID, at_ms + 1_000, 0)
