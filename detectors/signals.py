"""Signals: which of them an event can have changed, and what their statuses do to the enterprise's episodes."""

import numpy as np

from detectors import episodes
from detectors.rules import machine
from detectors.rules.conditions import LEVELS
from detectors.rules.grammar import HELD_CLOSES_MAX
from detectors.rules.program import (
    CLEAR,
    CLOSES_BITS,
    CLOSES_MASK,
    FALSE,
    NOT_APPLICABLE,
    RED,
    STATUS_BITS,
    TRUE,
    YELLOW,
)
from features.state import held
from kernels.decorators import kernel

_STATUS = (1 << STATUS_BITS) - 1
_LEVELS = len(LEVELS)
_ONE, _NO_SIGNAL = np.uint64(1), np.uint64(0)
_HELD_ALL = (1 << (CLOSES_BITS * _LEVELS)) - 1


@kernel
def changed(gate, value, null, band, code, count, new_day, whole):
    """Return the signals, one bit each, whose status may have changed.

    One of the gate's first `count` inputs left its band, an event that they read came, or a day began. These are
    signals that read something of `gate`. code: that of the event (features.state.seen). whole: return all of them. To
    evaluate more signals than these adds no output and leaves the state as it is, so bands need not outlive memory.
    """
    mask = machine.moved(gate, value, null, band, count) | gate.reads_event[code]
    if new_day:
        mask |= gate.reads_day
    return gate.every if whole else mask


@kernel
def with_timed(rules, e, bank, mask, closing):
    """Return the signals in `mask`, and at a close those too whose timers it may move although nothing has changed.

    These have an open episode, or levels that have held some closes, or were evaluated since the last close: their
    levels may have become true. So an event's mask is remembered until then. They are of the lender in slot `bank`;
    EVERY_BANK: of the platform.
    """
    if not closing:
        e.evaluated[bank] |= mask
        return mask
    mask |= e.evaluated[bank]
    e.evaluated[bank] = 0
    for i in range(np.int64(e.episodes_open)):
        if e.episode_bank[i] == bank:
            mask |= _bit_of(rules, e.episode_key[i])
    for i in range(held.PLACES):
        if e.held_key[i] != 0 and e.held_bank[i] == bank:
            mask |= _bit_of(rules, e.held_key[i])
    return mask


@kernel
def _bit_of(rules, key):
    s = signal_of(rules, key)
    return _ONE << np.uint64(s) if s >= 0 else _NO_SIGNAL


@kernel(forceinline=True)
def follow(rules, s, e, bank, x, cause, last_day, today, closing, closes_to_lower):
    """Evaluate signal s (of the lender in slot `bank`) and move its episode.

    Return (transition, the episode's place or NO_EPISODE, the status with its detail). cause: a retraction.CAUSE. At a
    close at which a signal is suppressed or not computable, the closes that its levels have held stay. Where they find
    no place, the levels do not wait. A retraction forgets them: what they counted was not so.
    """
    if closing:
        detailed = _status_at_close(rules, s, e, bank, x, last_day, today)
    else:
        detailed = status_of(rules, s, e, bank, x, last_day, today)
    status = detailed & _STATUS
    i = episodes.find(e, rules.key[s], bank)
    if i == episodes.NO_EPISODE:
        if not YELLOW <= status <= RED:
            return episodes.NOTHING, i, detailed
        since_ms = x.as_of_ms if closing else cause.event_ms
        i, moved = episodes.rise(e, rules.key[s], bank, status, x.as_of_ms, x.offset, since_ms)
    elif machine.has(cause.doubted[bank], s) and status in (CLEAR, NOT_APPLICABLE):
        held.keep(e, rules.key[s], bank, 0)
        moved = episodes.RETRACTED
    else:
        moved = episodes.take(e, i, status, closing)
    if closing and i != episodes.NO_EPISODE and status <= RED:
        lower = _close(rules, s, e, i, x, last_day, today, status, closes_to_lower)
        moved = moved if lower == episodes.NOTHING else lower
    if moved != episodes.NOTHING:
        episodes.revise(e, i)
    return moved, i, detailed


@kernel
def status_of(rules, s, e, bank, x, last_day, today):
    """Return the status of signal s (of the lender in slot `bank`) between closes, with its detail."""
    closes = np.int64(held.closes(e, rules.key[s], bank)) if rules.has_held[s] else np.int64(0)
    return machine.status(rules, s, x.value, x.null, last_day, today, closes)


@kernel
def _status_at_close(rules, s, e, bank, x, last_day, today):
    """Return the status of signal s with its detail at a close; count first how long its levels have held."""
    if not rules.has_held[s]:
        return status_of(rules, s, e, bank, x, last_day, today)
    key = rules.key[s]
    closes = np.int64(held.closes(e, key, bank))
    # As if every level had held long enough. No held() stands under a not: what is clear so is clear anyway.
    detailed = machine.status(rules, s, x.value, x.null, last_day, today, np.int64(_HELD_ALL))
    status = detailed & _STATUS
    if status > RED or status < YELLOW:
        if closes != 0 and status in (CLEAR, NOT_APPLICABLE):
            held.keep(e, key, bank, 0)
        return detailed
    closes = _counted(rules, s, closes, x, last_day, today)
    if not held.keep(e, key, bank, closes):
        return detailed
    return machine.status(rules, s, x.value, x.null, last_day, today, closes)


@kernel
def _counted(rules, s, closes, x, last_day, today):
    """Return the closes that each level of signal s has held, packed, with this one."""
    for level in range(_LEVELS):
        if rules.level_held[s, level]:
            true = machine.run(rules, rules.level_at[s, level], x.value, x.null, last_day, today, np.int64(0))
            now = machine.closes(closes, level)
            if true == TRUE:
                now = min(now + 1, HELD_CLOSES_MAX)
            elif true == FALSE:
                now = 0
            closes = (closes & ~(CLOSES_MASK << (level * CLOSES_BITS))) | (now << (level * CLOSES_BITS))
    return closes


@kernel
def _close(rules, s, e, i, x, last_day, today, status, closes_to_lower):
    held = episodes.hold(e, i, machine.run(rules, rules.watch_at[s], x.value, x.null, last_day, today, np.int64(0)))
    may_clear = machine.run(rules, rules.clear_at[s], x.value, x.null, last_day, today, np.int64(held)) == TRUE
    level = np.int64(e.episode_level[i])
    own = np.int64(TRUE)
    if status != level:
        own = machine.run(rules, rules.level_at[s, level - 1], x.value, x.null, last_day, today, np.int64(0))
    return episodes.close(e, i, status, own, may_clear, closes_to_lower)


@kernel
def signal_of(rules, key):
    """Return the index of the signal of an episode's key; -1 where these rules do not have it."""
    for s in range(rules.key.shape[0]):
        if rules.key[s] == key:
            return s
    return -1
