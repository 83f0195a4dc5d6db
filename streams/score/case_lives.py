"""The cases of banks, as records and closes move them: compiled leaves of the loop.

In all kernels `e` is a row of features.layout.ROW, `r` one of record_columns.RECORD, `engine` a partition.Engine and
`book` an outbook.Book.
"""

import numpy as np

from detectors import case_life, cases, signals
from features.state import dispositions, lives, loans
from features.state.days import day_of
from features.state.loans import BANK_SLOTS
from features.state.transitions import closing_time
from kernels.decorators import kernel
from streams.score import case_rows, outbook


@kernel
def act(e, r, engine, book):
    """Apply an action on a case; return case_life.ACCEPTED, or why it was refused, which is then in the book."""
    x = book.draft[0]
    b, refusal = case_life.find(e, r.bank, r.case)
    if refusal == case_life.ACCEPTED:
        refusal = np.int64(case_life.act(e, b, r.event, r.actor, r.disposition, r.due_day, x.offset))
    if refusal != case_life.ACCEPTED:
        outbook.write(book, outbook.REFUSED + refusal - 1)
        return refusal
    x.as_of_ms = closing_time(e) + 1  # the day: its newest event may be another bank's
    outbook.describe_case(x, e, b, case_life.ACTED + r.event, 0)
    if r.event >= case_life.APPROVE:
        x.life_checker = r.actor
    outbook.write(book, outbook.CASE)
    if r.event == case_life.APPROVE:
        _dispose(e, b, engine.rules, day_of(x.as_of_ms - 1))
        if e.case_level[b] == 0:
            e.case_key[b] = 0  # all had cleared before it was disposed of
    return refusal


@kernel
def _dispose(e, b, rules, day):
    """Note as disposed of the findings of a bank's case, those too that have ended within the cooldown.

    What was raised after the maker submitted is not among them: nobody has concluded anything of it.
    """
    dispositions.forget_spent(e, b, day)
    e.disposed_kinds |= 1 << e.life_disposition[b]
    for i in range(np.int64(e.episodes_open) + np.int64(e.episodes_recent)):
        s = signals.signal_of(rules, e.episode_key[i])
        is_known = e.episode_opened_offset[i] <= e.life_submitted_offset[b]
        if s >= 0 and is_known and cases.sees(b, np.int64(e.episode_bank[i])):
            dispositions.note(e, b, rules.case_group[s], e.life_level[b], e.life_until_day[b])


@kernel
def follow(e, engine, book, first, closing):
    """Follow the case of each bank at an evaluation; return the banks, one bit each, to list what is open to.

    These are banks whose case comes back, and no row tells them. Rows of alerts since `first` are marked with the banks
    that have disposed of their finding.
    """
    x, untold, used = book.draft[0], 0, np.int64(book.used[0])
    day = day_of(x.as_of_ms - 1)
    for b in range(BANK_SLOTS):
        if e.case_key[b] == 0 and e.life_stage[b] == lives.NONE:
            continue
        is_told = loans.is_eligible(e, b)
        level, is_stale = np.int64(e.case_level[b]), is_told and cases.is_stale(e, b)
        is_watched, is_new = cases.is_watched(e, b), e.case_key[b] == cases.key_of(x.offset, x.as_of_ms)
        rest = level
        if e.life_stage[b] == lives.CLOSED:
            if e.case_key[b] != e.life_key[b]:
                dispositions.forget_spent(e, b, day)
            _hold(e, b, engine.rules, book, first, used, level, day)
            rest = _rest(e, b, engine.rules, book, first, level, day)
        if closing:
            case_life.wait(e, b, day)
        nth = 0
        while True:
            change = case_life.follow(
                e, b, level, rest, is_told, is_stale, is_watched, is_new, closing, day, x.as_of_ms, engine.deadlines
            )  # fmt: skip
            if change == case_life.NOTHING:
                break
            if change in (case_life.OPENED, case_life.REOPENED, case_life.RESUMED):
                untold |= 0 if _tells(book, first, used, b) else 1 << b
            outbook.describe_case(x, e, b, change, nth)
            outbook.write(book, outbook.CASE)
            nth += 1
    return untold


@kernel
def _hold(e, b, rules, book, first, end, level, day):
    """Mark the rows of findings of which a disposition with a day keeps alerts from the bank in slot b."""
    for r in range(first, end):
        row = book.rows[r]
        if row.kind == outbook.ALERT and dispositions.holds(e, b, rules.case_group[row.signal], level, day):
            row.held[b] = outbook.HELD


@kernel
def _rest(e, b, rules, book, first, level, day):
    """Return the level of a bank's case without the findings that it has disposed of."""
    hidden = np.int64(0)
    for i in range(np.int64(e.episodes_open) if level > 0 else 0):
        s = signals.signal_of(rules, e.episode_key[i])
        if s >= 0 and dispositions.covers(e, b, rules.case_group[s], level, day):
            hidden |= np.int64(1) << i
    if hidden == 0:
        return level
    lines = book.lines[first]
    cases.weigh(rules, e, lines)
    return cases.rest_of(rules, e, b, lines, cases.base_of(rules, book.draft[0]), hidden)


@kernel
def _tells(book, first, end, b):
    """Return whether a row tells the bank in slot b that its case is there.

    Where none does, the gravest that is news to it is marked to.
    """
    news = -1
    for r in range(first, end):
        row = book.rows[r]
        if row.kind != outbook.ALERT or row.held[b] == outbook.HELD:
            continue
        if row.to_bank == b or row.case_moved[b] != cases.UNMOVED:
            return True
        is_news = row.to_bank == outbook.TO_ALL and case_rows.is_news(row) and cases.sees(b, np.int64(row.episode_bank))
        if is_news and (news < 0 or row.level > book.rows[news].level):
            news = r
    if news < 0:
        return False
    book.rows[news].held[b] = outbook.NEWS
    return True


@kernel
def restate(e, engine, book):
    """Write every case that its bank may see and is not closed, with deadlines from now on, at a backfill's end."""
    x = book.draft[0]
    for b in range(BANK_SLOTS):
        if lives.is_live(e, b) and loans.is_eligible(e, b):
            case_life.restart(e, b, cases.is_watched(e, b), day_of(x.as_of_ms - 1), engine.deadlines)
            outbook.describe_case(x, e, b, case_life.LISTED, 0)
            outbook.write(book, outbook.CASE)
