"""The cases of banks, as records and closes move them: compiled leaves of the loop.

In all kernels `e` is a row of features.layout.ROW, `r` one of record_columns.RECORD, `engine` a partition.Engine and
`book` an outbook.Book.
"""

import numpy as np

from detectors import case_life
from features.state import buckets, lives
from features.state.loans import BANK_SLOTS
from features.state.transitions import closing_time
from kernels.decorators import kernel
from streams.score import outbook


@kernel
def act(e, r, book):
    """Apply an action on a case; return case_life.ACCEPTED, or why it was refused, which is then in the book."""
    x = book.draft[0]
    b, refusal = case_life.find(e, r.bank, r.case)
    if refusal == case_life.ACCEPTED:
        refusal = np.int64(case_life.act(e, b, r.event, r.actor, r.disposition, r.due_day))
    if refusal != case_life.ACCEPTED:
        outbook.write(book, outbook.REFUSED + refusal - 1)
        return refusal
    x.as_of_ms = closing_time(e) + 1  # the day: its newest event may be another bank's
    outbook.describe_case(x, e, b, case_life.ACTED + r.event)
    if r.event >= case_life.APPROVE:
        x.life_checker = r.actor
    outbook.write(book, outbook.CASE)
    if r.event == case_life.APPROVE and e.case_level[b] == 0:
        e.case_key[b] = 0  # all had cleared before it was disposed of
    return refusal


@kernel
def follow(e, engine, book, first, closing):
    """Follow the case of each bank at an evaluation; return the banks, one bit each, whose alerts are held no more.

    Rows of alerts since `first` are marked with the banks that they are held from.
    """
    x, resumed = book.draft[0], 0
    day = buckets.day_of(x.as_of_ms - 1)
    for b in range(BANK_SLOTS):
        if e.case_key[b] == 0 and e.life_stage[b] == lives.NONE:
            continue
        is_told = (e.eligible >> b) & 1 == 1
        level = np.int64(e.case_level[b])
        if case_life.holds(e, b, level, day):
            for row in range(first, book.used[0]):
                book.rows[row].held[b] = 1
        while True:
            change = case_life.follow(e, b, level, is_told, closing, day, x.as_of_ms, engine.deadlines)
            if change == case_life.NOTHING:
                break
            if change == case_life.RESUMED:
                resumed |= 1 << b
            outbook.describe_case(x, e, b, change)
            outbook.write(book, outbook.CASE)
    return resumed


@kernel
def restate(e, engine, book):
    """Write every case that is not closed once, with deadlines from now on, at the end of a backfill."""
    x = book.draft[0]
    for b in range(BANK_SLOTS):
        if lives.is_live(e, b):
            case_life.restart(e, b, buckets.day_of(x.as_of_ms - 1), engine.deadlines)
            outbook.describe_case(x, e, b, case_life.LISTED)
            outbook.write(book, outbook.CASE)
