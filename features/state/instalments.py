"""Due instalments: the unpaid ones of all loans of one enterprise, at most 48.

A schedule comes with the grant (and again with an extension or restructuring); each `repaid` pays its loan's earliest
line; `instalment_due` replaces the line of its day; a lender that reports no days past due has been paid all lines
before that day. Lines without an amount are not kept.

Where there is no room, the lines furthest ahead are left out and their loan is marked as cut: once a cut loan has no
line left, what is due next is not known. The law: without a cut, the lines are those of the schedules less those that
are paid; the earliest lines are exact also with one.

Fields of one enterprise: due_count int32, number of lines; due_day int32 (48); due_fen int64 (48); due_loan int8 (48),
the loan's place; loan_scheduled uint8 (16), UNSCHEDULED, WHOLE or CUT.
"""

import numpy as np

from features.state.buckets import NO_UNIT
from features.state.loan_table import places
from features.state.parts import touch_cold
from kernels.decorators import kernel

LINES = 48
_A_MONTH_MIN, _A_MONTH_MAX = 28, 31.0  # days from one monthly instalment to the next
UNSCHEDULED, WHOLE, CUT = range(3)
NOTHING_DUE = NO_UNIT
EVERY_BANK = np.int64(-1)  # for a bank slot: whichever


@kernel
def put_schedule(e, loan, lines, first, count):
    """Replace a loan's lines by lines[first : first + count], dtype LINE."""
    touch_cold(e)
    forget(e, loan)
    e.loan_scheduled[loan] = WHOLE
    for i in range(first, first + count):
        _put(e, loan, lines[i].due_day, lines[i].due_fen)


@kernel
def put_line(e, loan, day, fen):
    """Set a loan's line of `day` to `fen`, whatever the schedule has."""
    touch_cold(e)
    for i in range(e.due_count):
        if e.due_loan[i] == loan and e.due_day[i] == day:
            e.due_fen[i] = fen
            return
    if e.loan_scheduled[loan] == UNSCHEDULED:
        e.loan_scheduled[loan] = CUT  # more may follow
    _put(e, loan, day, fen)


@kernel
def pay(e, loan):
    """Remove the loan's earliest line, which is paid."""
    touch_cold(e)
    earliest = -1
    for i in range(e.due_count):
        if e.due_loan[i] == loan and (earliest < 0 or e.due_day[i] < e.due_day[earliest]):
            earliest = i
    if earliest >= 0:
        _remove(e, earliest)


@kernel
def settle_before(e, loan, day):
    """Remove the loan's lines before `day`, which are paid."""
    touch_cold(e)
    for i in range(e.due_count - 1, -1, -1):
        if e.due_loan[i] == loan and e.due_day[i] < day:
            _remove(e, i)


@kernel
def forget(e, loan):
    """Remove all lines of a loan that is closed, or whose slot another loan takes."""
    touch_cold(e)
    e.loan_scheduled[loan] = UNSCHEDULED
    for i in range(e.due_count - 1, -1, -1):
        if e.due_loan[i] == loan:
            _remove(e, i)


@kernel
def exchange(e, loan, other):
    """Exchange the lines of the loans in two places."""
    touch_cold(e)
    e.loan_scheduled[loan], e.loan_scheduled[other] = e.loan_scheduled[other], e.loan_scheduled[loan]
    for i in range(e.due_count):
        if e.due_loan[i] == loan:
            e.due_loan[i] = other
        elif e.due_loan[i] == other:
            e.due_loan[i] = loan


@kernel
def next_due(e, day, bank):
    """Return (next due day from `day` on, sum due on it in fen) to a bank or to any.

    NOTHING_DUE as the day where none is.
    """
    next_day, fen = np.int64(NOTHING_DUE), np.int64(0)
    for i in range(e.due_count):
        this = np.int64(e.due_day[i])
        if this < day or (bank != EVERY_BANK and e.loan_bank[e.due_loan[i]] != bank):
            continue
        if next_day == NOTHING_DUE or this < next_day:
            next_day, fen = this, e.due_fen[i]
        elif this == next_day:
            fen += e.due_fen[i]
    return next_day, fen


@kernel
def of_a_month(e, day):
    """Return a month's worth of instalments in fen, float64, of all open loans; 0 where none is ahead.

    Of each loan: what falls due within 28 days from `day` on, or where nothing does its next instalment, over
    as many months as it is away, at least one.
    """
    fen, near = 0.0, 0
    for i in range(e.due_count):
        loan = e.due_loan[i]
        if e.loan_open[loan] and day <= e.due_day[i] < day + _A_MONTH_MIN:
            fen += e.due_fen[i]
            near |= 1 << loan
    for loan in range(places(e)):
        if e.loan_open[loan] and e.loan_scheduled[loan] != UNSCHEDULED and near >> loan & 1 == 0:
            next_day, next_fen = next_of(e, loan, day)
            fen += next_fen / max(1.0, (next_day - day) / _A_MONTH_MAX)
    return fen


@kernel
def next_of(e, loan, day):
    """Return (the loan's next due day from `day` on, sum due on it in fen); `day` and 0 where none is."""
    next_day, fen = day, np.int64(0)
    for i in range(e.due_count):
        this = np.int64(e.due_day[i])
        if e.due_loan[i] == loan and this >= day:
            if fen == 0 or this < next_day:
                next_day, fen = this, e.due_fen[i]
            elif this == next_day:
                fen += e.due_fen[i]
    return next_day, fen


@kernel
def due_between(e, first, last):
    """Return the sum in fen due from `first` to `last`, both included."""
    fen = 0
    for i in range(e.due_count):
        if first <= e.due_day[i] <= last:
            fen += e.due_fen[i]
    return fen


@kernel
def is_cut_short(e, bank):
    """Return whether an open loan of a bank, or of any, has more lines than are kept, and none of these is left."""
    for loan in range(places(e)):
        if is_open(e, loan, bank) and e.loan_scheduled[loan] == CUT and not _has_line(e, loan):
            return True
    return False


@kernel
def is_any_scheduled(e, bank):
    """Return whether the lender of an open loan (a bank, or any) has reported when it is due."""
    for loan in range(places(e)):
        if is_open(e, loan, bank) and e.loan_scheduled[loan] != UNSCHEDULED:
            return True
    return False


@kernel
def is_open(e, loan, bank):
    """Return whether a loan is open and of the bank in slot `bank` (EVERY_BANK: of any)."""
    return e.loan_open[loan] != 0 and (bank == EVERY_BANK or e.loan_bank[loan] == bank)


@kernel
def _has_line(e, loan):
    for i in range(e.due_count):
        if e.due_loan[i] == loan:
            return True
    return False


@kernel
def _put(e, loan, day, fen):
    if fen <= 0:
        return
    if e.due_count < LINES:
        place = e.due_count
        e.due_count += 1
    else:
        place = 0
        for i in range(LINES):
            place = i if e.due_day[i] > e.due_day[place] else place
        if e.due_day[place] <= day:
            e.loan_scheduled[loan] = CUT
            return
        e.loan_scheduled[e.due_loan[place]] = CUT
    e.due_day[place], e.due_fen[place], e.due_loan[place] = day, fen, loan


@kernel
def _remove(e, i):
    """Remove line i: the last line takes its place, and the last place is as before it was used."""
    e.due_count -= 1
    last = e.due_count
    e.due_day[i], e.due_fen[i], e.due_loan[i] = e.due_day[last], e.due_fen[last], e.due_loan[last]
    e.due_day[last], e.due_fen[last], e.due_loan[last] = 0, 0, 0
