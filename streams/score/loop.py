"""The one compiled loop: what happens to an enterprise, record by record and day by day.

For each record: skip what the state already holds -> refuse what is late -> de-duplicate -> update state -> evaluate.
For each tick: close the due days of every enterprise -> evaluate. To evaluate is to read the indicators, score them,
see which signals hold, move their episodes, and write down what changed. Each step is a call into the room that owns
it; what is here is their order.
"""

import numpy as np
from numba import njit

from detectors import episodes, scorecard, signals
from domain.calendar import DAY_MS
from features.indicators import CORE_COUNT, core
from features.state import buckets, dedup
from streams.score import outbook
from streams.score.changes import apply_change, closing_time, day_is_due, mark_stalled, observes_month_end, time_of

LATENESS_MS_MAX = 7 * DAY_MS
OUTPUTS_PER_EVALUATION_MAX = 2 + 64  # score, observation, one revision a signal


@njit(cache=True, nogil=True)
def apply_records(state, arena, slots, records, first, engine, book):
    """Apply records[first:] in order; returns where it stopped because the output book was nearly full."""
    for i in range(first, slots.shape[0]):
        if book.used[0] + OUTPUTS_PER_EVALUATION_MAX > book.offset.shape[0]:
            return i
        s = slots[i]
        offset = records.offset[i]
        if offset <= state.applied_offset[s]:
            continue  # the value came back from Redis with this record in it
        state.applied_offset[s] = offset
        state.dirty[s] = 1
        if state.newest_ms[s] >= 0 and records.event_ms[i] < time_of(state, s) - LATENESS_MS_MAX:
            state.late_count[s] += 1
            outbook.note(book, outbook.LATE, s, i, offset, 0)
            continue
        day = buckets.day_of(records.event_ms[i])
        seen = dedup.remember(arena, state.dedup_head, s, records.id_hash[i], records.fingerprint[i], day)
        if seen == dedup.DUPLICATE:
            state.duplicate_count[s] += 1
        elif seen == dedup.CONFLICT:
            state.conflict_count[s] += 1
            outbook.note(book, outbook.CONFLICT, s, i, offset, 0)
        else:
            state.applied_count[s] += 1
            granted = apply_change(state, s, records, i, day)
            evaluate(state, s, engine, book, offset, i, np.int64(0), False, granted)
    return slots.shape[0]


@njit(cache=True, nogil=True)
def close_days(state, used, first, offset, up_to_day, feeds, engine, book):
    """Close what the tick at `offset` makes due, slot by slot from `first`; returns where the book was nearly full."""
    for s in range(first, used):
        if state.applied_offset[s] >= offset:
            continue
        mark_stalled(state, s, feeds)
        while day_is_due(state, s, up_to_day, feeds):
            if book.used[0] + OUTPUTS_PER_EVALUATION_MAX > book.offset.shape[0]:
                return s  # closed days stay closed; the rest of this slot's days come with the next call
            state.closed_day[s] += 1
            month_end = observes_month_end(state, s)
            seq = np.int64(state.sweep_seq[s])
            state.sweep_seq[s] = evaluate(state, s, engine, book, offset, -1, seq, True, month_end)
        state.sweep_seq[s] = 0
        state.applied_offset[s] = offset
        state.dirty[s] = 1
    return used


@njit(cache=True)
def evaluate(state, s, engine, book, offset, record, seq, closing, observed):
    """Indicators -> score -> signals -> episodes -> outputs, at the enterprise's own time; returns the next seq."""
    value, null = np.empty(CORE_COUNT), np.empty(CORE_COUNT, np.int64)
    u, points, order = np.empty(CORE_COUNT), np.empty(CORE_COUNT, np.int64), np.empty(scorecard.REASONS_MAX, np.int64)
    t_ms = closing_time(state, s) if closing else time_of(state, s)
    day = buckets.day_of(t_ms - 1)
    history_days = state.closed_day[s] - state.first_day[s] + 1
    score_before = state.score_milli[s]
    core.read(state, s, t_ms, day, value, null)
    milli, cap = scorecard.score(engine.card, value, null, state.utility_last[s], state.frozen[s], u, points)
    status, why, coverage = scorecard.status_of(engine.card, null, history_days, state.txn_count[s])
    state.score_milli[s] = milli
    state.published_grade[s], state.closes_over_band[s] = scorecard.published_grade(
        milli, state.published_grade[s], state.closes_over_band[s], closing
    )
    scorecard.rank_reasons(engine.card, points, order)
    shape = outbook.shape_of(status, scorecard.grade_of(milli), state.published_grade[s], order)
    if outbook.score_is_due(state, s, milli, shape, engine.emit_moves, closing):
        row = outbook.note(book, outbook.SCORE, s, record, offset, seq)
        outbook.write_evaluation(book, row, t_ms, milli, cap, coverage, status, why, state.published_grade[s])
        outbook.write_indicators(book, row, value, null, u, points, order)
        state.emitted_milli[s], state.emitted_shape[s] = milli, shape
        seq += 1
    if observed:
        row = outbook.note(book, outbook.OBSERVATION, s, record, offset, seq)
        outbook.write_evaluation(book, row, t_ms, milli, cap, coverage, status, why, state.published_grade[s])
        outbook.write_indicators(book, row, value, null, u, points, order)
        seq += 1
    for k in range(engine.signals.indicator.shape[0]):
        result = signals.result(engine.signals, k, value, null, history_days, day, state.stalled[s])
        clear = signals.clears(engine.signals, k, value, null)
        level_before = state.episode_level[s, k]
        moved = episodes.advance(
            state, s, k, result, clear, engine.signals.clear_closes[k], closing, t_ms, score_before
        )
        if moved != episodes.NOTHING:
            row = outbook.note(book, outbook.ALERT, s, record, offset, seq)
            outbook.write_evaluation(book, row, t_ms, milli, cap, coverage, status, why, state.published_grade[s])
            outbook.write_indicators(book, row, value, null, u, points, order)
            outbook.write_episode(book, row, state, s, k, moved, level_before)
            seq += 1
    return seq
