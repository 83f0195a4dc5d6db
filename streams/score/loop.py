"""The one compiled loop: what happens to an enterprise, record by record and day by day.

For each record: skip what the state already holds -> refuse what is late -> de-duplicate -> update state -> evaluate.
For each tick: close the due days of every enterprise -> evaluate. To evaluate is to read the indicators, score them,
see which signals hold, move their episodes, and write down what changed. Each step is a call into the room that owns
it; what stands here is their order. `e` is the row of one enterprise, `r` one record, `x` the evaluation at hand.
"""

import numpy as np
from numba import njit

from detectors import context, episodes, scorecard, signals
from detectors.rules import machine
from domain.calendar import DAY_MS
from features.indicators import core
from features.state import buckets, dedup, past_scores, seen
from features.state.parts import HOT
from streams.score import outbook
from streams.score.changes import (
    apply_change,
    close_next_day,
    closing_time,
    day_is_due,
    history_days,
    is_loan_stalled,
    is_stalled,
    observes_month_end,
    skip_days_before_history,
    time_of,
)

LATENESS_MS_MAX = 7 * DAY_MS


@njit(cache=True, nogil=True)
def apply_records(state, arena, slots, records, lines, first, engine, book):
    """Apply records[first:] in order; returns where it stopped because the output book was nearly full."""
    for i in range(first, slots.shape[0]):
        if outbook.is_nearly_full(book):
            return i
        e, r = state[slots[i]], records[i]
        if r.offset <= e.applied_offset:
            book.tally[outbook.HELD_ALREADY] += 1
            continue  # the value came back from Redis with this record in it
        e.applied_offset = r.offset
        e.dirty |= HOT
        outbook.begin(book, slots[i], i, r.offset)
        if e.newest_ms >= 0 and r.event_ms < time_of(e) - LATENESS_MS_MAX:
            e.late_count += 1
            book.tally[outbook.WAS_LATE] += 1
            outbook.write(book, outbook.LATE)
            continue
        day = buckets.day_of(r.event_ms)
        seen = dedup.remember(arena, e, slots[i], r.id_hash, r.fingerprint, day)
        if seen == dedup.DUPLICATE:
            e.duplicate_count += 1
            book.tally[outbook.WAS_DUPLICATE] += 1
        elif seen == dedup.CONFLICT:
            e.conflict_count += 1
            book.tally[outbook.WAS_CONFLICT] += 1
            outbook.write(book, outbook.CONFLICT)
        else:
            e.applied_count += 1
            book.tally[outbook.WAS_APPLIED] += 1
            granted = apply_change(e, r, day, lines)
            if granted:
                book.draft[0].granted[:] = r.loan
            evaluate(e, engine, book, time_of(e), False, granted, r.seen)
    return slots.shape[0]


@njit(cache=True, nogil=True)
def close_days(state, slots, first, offset, up_to_day, feeds, engine, book):
    """Close what the tick at `offset` makes due in slots[first:]; returns where it stopped, the book nearly full."""
    for k in range(first, slots.shape[0]):
        e = state[slots[k]]
        if offset <= e.applied_offset:
            continue
        stalled, loan_stalled, closed_before = is_stalled(e, feeds), is_loan_stalled(e, feeds), e.closed_day
        e.dirty |= stalled != e.stalled or loan_stalled != e.loan_stalled
        e.stalled, e.loan_stalled = stalled, loan_stalled
        skip_days_before_history(e, up_to_day)
        outbook.begin(book, slots[k], outbook.A_CLOSE, offset)
        outbook.go_on(book, e.sweep_seq)
        while day_is_due(e, up_to_day, feeds):
            if outbook.is_nearly_full(book):
                e.sweep_seq = outbook.next_seq(book)
                return k  # its closed days stay closed; the others come with the next call
            close_next_day(e, feeds)
            evaluate(e, engine, book, closing_time(e), True, observes_month_end(e), seen.NOTHING)
            past_scores.note(e, e.closed_day, scorecard.displayed(e.score_milli))
        if e.closed_day != closed_before or e.sweep_seq > 0:
            e.sweep_seq = 0
            e.applied_offset = offset
            e.dirty |= HOT
    return slots.shape[0]


@njit(cache=True, nogil=True)
def restate_open(state, slots, first, offset, engine, book):
    """At the end of a backfill, raise every episode that is still open once, as stock; returns as close_days does."""
    for k in range(first, slots.shape[0]):
        if outbook.is_nearly_full(book):
            return k
        e = state[slots[k]]
        if offset <= e.applied_offset:
            continue
        outbook.begin(book, slots[k], outbook.A_CLOSE, offset)
        x = book.draft[0]
        x.stock, x.as_of_ms, x.score_milli, x.score_before_milli = 1, time_of(e), e.score_milli, e.score_milli
        core.read(e, x.as_of_ms, history_days(e), x.value, x.null)
        for i in range(np.int64(e.episodes_open)):
            episodes.revise(e, i)
            s = signals.signal_of(engine.rules, e.episode_key[i])
            outbook.describe(x, e, s, i, episodes.RAISED)
            outbook.write(book, outbook.ALERT)
        e.applied_offset = offset
        e.dirty |= HOT
    return slots.shape[0]


@njit(cache=True)
def evaluate(e, engine, book, t_ms, closing, observed, code):
    """Indicators -> score -> signals -> episodes -> outputs, at the enterprise's own time t; `code` is the event's."""
    x = book.draft[0]
    x.as_of_ms = t_ms
    x.history_days = history_days(e)
    x.score_before_milli = e.score_milli
    core.read(e, t_ms, x.history_days, x.value, x.null)
    scorecard.assess(engine.card, e, x, closing)
    if outbook.score_is_due(e, x, engine.emit_moves, engine.emit_step_milli, closing):
        outbook.write(book, outbook.SCORE)
        e.emitted_milli, e.emitted_shape = x.score_milli, outbook.shape_of(x)
    if observed:
        outbook.write(book, outbook.OBSERVATION)
    context.read(e, engine, x)
    rules, today = engine.rules, buckets.day_of(t_ms - 1)
    new_day = today != e.evaluated_day
    e.evaluated_day = today
    mask = signals.changed(rules.platform, x.value, x.null, e.band, code, new_day, closing)
    for s in range(rules.key.shape[0] if mask else 0):
        if machine.has(mask, s):
            moved, i, _ = signals.follow(
                rules, s, e, episodes.EVERY_BANK, x, e.seen_day, today, closing, engine.closes_to_lower
            )
            if moved != episodes.NOTHING:
                outbook.describe(x, e, s, i, moved)
                outbook.write(book, outbook.ALERT)
            if episodes.is_over(moved):
                episodes.forget(e, i)
