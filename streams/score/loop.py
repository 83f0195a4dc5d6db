"""The one compiled loop: what happens to an enterprise, record by record and day by day.

For each record: skip what the state already holds -> refuse what is late -> de-duplicate -> update state -> evaluate.
For each tick: close the due days of every enterprise -> evaluate. To evaluate is to read the indicators, score them,
see which signals hold, move their episodes and the cases, and write down what changed. Each step is a call into the
room that owns it; this module has their order.

Arguments of all kernels: `e` the row of one enterprise, `r` one record, `x` the evaluation under way; state
features.layout.ROW (rows,); slots int64 (n,), rows of `state`; engine partition.Engine; book outbook.Book. Rows are
changed in place. Offsets are those of `events.v1`, times event times in ms.
"""

import numpy as np

from detectors import case_life, context, retraction, scorecard
from features.indicators import core
from features.state import buckets, dedup, past_scores, seen
from features.state.days import day_of
from features.state.loans import BANK_SLOTS
from features.state.parts import HOT
from features.state.record_columns import AUTHORIZATION, CASE_ACTION, LOAN
from features.state.transitions import (
    LATENESS_MS_MAX,
    apply_change,
    begin_days,
    close_next_day,
    closing_time,
    day_is_due,
    ends_month,
    history_days,
    is_loan_stalled,
    is_stalled,
    observes_month_end,
    time_of,
)
from kernels.decorators import copy, kernel
from streams.score import alerting, case_lives, case_rows, outbook

NO, YES = np.bool_(False), np.bool_(True)  # as values: of a literal, numba would compile each function twice


@kernel(nogil=True)
def apply_records(state, arena, slots, records, order, lines, first, engine, book):
    """Apply records[order[first:]]; return the index in `order` where it stopped because the book was nearly full.

    records: features.state.record_columns.RECORD (n,); slots int64 (n,): record i is of state[slots[i]]; order int64
    (n,); lines: LINE (lines,), schedules of loans; arena: features.state.dedup.Arena. A late record is refused here:
    older than LATENESS_MS_MAX against its enterprise's time, and not admitted by an operator.
    """
    for k in range(first, order.shape[0]):
        if outbook.is_nearly_full(book):
            return k
        i = order[k]
        e, r = state[slots[i]], records[i]
        if r.offset <= e.applied_offset:
            book.tally[outbook.HELD_ALREADY] += 1
            continue  # the value came back from Redis with this record in it
        e.applied_offset = r.offset
        e.dirty |= HOT
        outbook.begin(book, slots[i], i, r.offset)
        is_action = r.kind == CASE_ACTION  # of a person, at no time of the enterprise's own: never late
        if not r.admitted and not is_action and e.newest_ms >= 0 and r.event_ms < time_of(e) - LATENESS_MS_MAX:
            e.late_count += 1
            book.tally[outbook.WAS_LATE] += 1
            outbook.write(book, outbook.LATE)
            continue
        day = day_of(r.event_ms)
        kept_from = day
        if r.admitted or is_action:  # or it would be forgotten at once; of an action the day is not the enterprise's
            kept_from = max(np.int64(e.closed_day) if is_action else day, day_of(e.newest_ms))
        if r.number == dedup.NO_NUMBER:
            seen = dedup.remember(arena, e, slots[i], r.id_hash, r.fingerprint, kept_from)
        else:
            seen = dedup.remember_number(arena, e, slots[i], r.account, r.number, r.id_hash, r.fingerprint, kept_from)
        if seen == dedup.DUPLICATE:
            e.duplicate_count += 1
            book.tally[outbook.WAS_DUPLICATE] += 1
        elif seen == dedup.CONFLICT:
            e.conflict_count += 1
            book.tally[outbook.WAS_CONFLICT] += 1
            outbook.write(book, outbook.CONFLICT)
        elif is_action:
            refusal = case_lives.act(e, r, engine, book)
            e.refused_count += refusal != case_life.ACCEPTED
            e.applied_count += refusal == case_life.ACCEPTED
            book.tally[outbook.WAS_APPLIED if refusal == case_life.ACCEPTED else outbook.WAS_REFUSED + refusal - 1] += 1
        else:
            e.applied_count += 1
            book.tally[outbook.WAS_APPLIED] += 1
            draft, lens, scratch, cause = book.draft[0], book.lens[0], book.scratch[0], book.cause[0]
            retraction.consider(e, engine, draft, lens, scratch.sums, cause, r)
            granted = apply_change(e, r, day, lines)
            if granted:
                copy(r.loan, book.draft[0].granted)
            lends = r.kind in (LOAN, AUTHORIZATION)
            evaluate(e, engine, book, time_of(e), NO, granted, np.int64(r.seen), lends)
    return order.shape[0]


@kernel(nogil=True)
def close_days(state, slots, first, offset, up_to_day, feeds, backfill, engine, book):
    """Close the days of state[slots[first:]] that the tick at `offset` makes due; return the index where it stopped.

    It stops where the book is nearly full. feeds: due.Feeds of the tick; up_to_day: its day number. Each day's
    indicators are written as of that close; in a backfill only those of a month's last day.
    """
    for k in range(first, slots.shape[0]):
        e = state[slots[k]]
        if offset <= e.applied_offset:
            continue
        stalled, loan_stalled, closed_before = is_stalled(e, feeds), is_loan_stalled(e, feeds), e.closed_day
        if stalled != e.stalled or loan_stalled != e.loan_stalled:
            e.stalled, e.loan_stalled = stalled, loan_stalled
            e.evaluated_day = buckets.NO_UNIT  # so that the next evaluation looks at it
            e.dirty |= HOT
        begin_days(e, up_to_day, feeds)
        outbook.begin(book, slots[k], outbook.A_CLOSE, offset)
        outbook.go_on(book, e.sweep_seq)
        while day_is_due(e, up_to_day, feeds):
            if outbook.is_nearly_full(book):
                e.sweep_seq = outbook.next_seq(book)
                return k  # its closed days stay closed; the others come with the next call
            close_next_day(e, feeds)
            if e.first_day != buckets.NO_UNIT:  # else they stay as they begin: there is no history
                _close_indicators(e, book)
            evaluate(e, engine, book, closing_time(e), YES, observes_month_end(e), np.int64(seen.NOTHING), YES)
            if e.first_day != buckets.NO_UNIT:
                past_scores.note(e, e.closed_day, scorecard.displayed(e.score_milli))
            if ends_month(e.closed_day):
                e.disposed_kinds = 0
            if not backfill or ends_month(e.closed_day):
                outbook.write(book, outbook.INDICATORS)
        if e.closed_day != closed_before or e.sweep_seq > 0:
            e.sweep_seq = 0
            e.applied_offset = offset
            e.dirty |= HOT
    return slots.shape[0]


@kernel(nogil=True)
def restate_open(state, slots, first, offset, engine, book):
    """Write every open episode once, as an entry of the opening lists, at the end of a backfill.

    Return as `close_days`.
    """
    for k in range(first, slots.shape[0]):
        if outbook.is_nearly_full(book):
            return k
        e = state[slots[k]]
        if offset <= e.applied_offset:
            continue
        outbook.begin(book, slots[k], outbook.A_CLOSE, offset)
        alerting.restate(e, engine, book, time_of(e), history_days(e))
        case_lives.restate(e, engine, book)
        e.applied_offset = offset
        e.dirty |= HOT
    return slots.shape[0]


@kernel(nogil=True)
def change_rules(state, slots, first, offset, before, after, book):
    """End the episodes of signals that `before` has and `after` has not; return as `close_days`.

    before, after: detectors.rules.program.Rules.
    """
    for k in range(first, slots.shape[0]):
        if outbook.is_nearly_full(book):
            return k
        e = state[slots[k]]
        if offset <= e.applied_offset:
            continue
        outbook.begin(book, slots[k], outbook.A_CLOSE, offset)
        alerting.change_rules(e, before, after, book, time_of(e))
        e.applied_offset = offset
        e.dirty |= HOT
    return slots.shape[0]


@kernel
def _close_indicators(e, book):
    x = book.draft[0]
    core.close(e, closing_time(e), np.int64(history_days(e)), x.value, x.null, book.scratch[0].sums)


@kernel(forceinline=True)
def evaluate(e, engine, book, t_ms, closing, observed, code, lends):
    """Read the indicators at the enterprise's own time, score them, follow signals and episodes; write what is due.

    closing: at a day's close. observed: write an observation. code: the event's, of features.state.seen. lends: the
    event may change a loan, who lends or may look; a consent that has ended does so with any event.
    """
    x = book.draft[0]
    x.as_of_ms = t_ms
    x.history_days = history_days(e)
    x.score_before_milli = e.score_milli
    x.balance_now_cny, x.balance_known = core.read(
        e, t_ms, np.int64(x.history_days), x.value, x.null, book.scratch[0].sums
    )
    scorecard.assess(engine.card, e, x, closing)
    if outbook.score_is_due(e, x, engine.emit_moves, engine.emit_step_milli, closing):
        outbook.write(book, outbook.SCORE)
        e.emitted_milli, e.emitted_shape = x.score_milli, outbook.shape_of(x)
    if observed:
        x.disposed = e.disposed_kinds if closing else 0
        outbook.write(book, outbook.OBSERVATION)
    context.read(e, engine, x)
    first = book.used[0]
    # Who may no longer look hears that delivery ends, and not what is retracted.
    if lends or book.cause[0].kind or alerting.is_consent_over(e, t_ms):
        alerting.follow_lenders(e, engine.rules, book, YES)
    alerting.follow_signals(e, engine, book, code, closing, lends)
    if book.used[0] != first or case_rows.is_due(e, engine.rules, x, closing):
        case_rows.follow(e, engine.rules, book, first, closing)
    if closing or book.used[0] != first:  # what moves a case is written down
        untold = case_lives.follow(e, engine, book, first, closing)
        for b in range(BANK_SLOTS if untold else 0):
            if (untold >> b) & 1:
                alerting.list_open(e, b, engine.rules, book)
