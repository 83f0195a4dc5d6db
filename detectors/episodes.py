"""Episodes: one continuous period of a signal, from its raising to its end (docs/signals.md).

Raising and upgrading are immediate, and so is staleness, once. All else waits for a day's close: a level falls to the
highest one still true after its own condition was false at seven closes, a stale episode goes on, and it ends when its
hysteresis is true or there is nothing left to measure. So between two closes an episode never goes back, and noise
around a threshold moves it up to its highest level and no further (tests/detectors/test_flapping.py has the law). A
result that is not computable or suppressed keeps an open episode open, marks it stale and stops the timers, which later
go on where they stopped.

An episode that ended at a close is remembered for the cooldown of the rules: if its signal rises again by then, it goes
on. One that is retracted (detectors/retraction.py) is not.

Arrays of one enterprise, first its `episodes_open` open ones, then `episodes_recent` that ended within the cooldown:
episode_key uint64 (EPISODES_MAX) the signal's hash, episode_bank int8 the slot of the lender that it is about or
EVERY_BANK, level, stale, opening, revision and timers; of one that ended, episode_false_closes counts the closes since.
An episode that finds no place is counted in episode_overflow, and all signals are evaluated until it has one
(episode_lacking). Open ones go before: where all places are taken, the one that ended longest ago is forgotten, counted
in cooldown_overflow, and its signal would open an episode of its own: too early rather than not at all.
"""

import numpy as np

from detectors.rules.grammar import HELD_CLOSES_MAX
from detectors.rules.program import CLEAR, FALSE, NOT_APPLICABLE, RED, TRUE, YELLOW
from domain.outputs import AlertState
from features.fields import EPISODES_MAX
from features.state.parts import touch_cold
from kernels.decorators import kernel

EVERY_BANK, NO_EPISODE = -1, -1
(
    NOTHING, RAISED, RECURRED, UPGRADED, DOWNGRADED, STALE, RESUMED, LISTED, CLOSED,
    NO_LONGER_APPLIES, NOT_IN_RULES, CLEARED, RETRACTED,
) = range(13)  # fmt: skip
TRANSITIONS: tuple[AlertState, ...] = (
    "raised", "raised", "raised", "upgraded", "downgraded", "stale", "raised", "raised", "closed",
    "ended", "ended", "cleared", "retracted",
)  # fmt: skip


@kernel
def find(e, key, bank):
    """Return the place of the open episode of a signal (and lender); NO_EPISODE where none is open."""
    return _find(e, key, bank, np.int64(0), np.int64(e.episodes_open))


@kernel
def _find(e, key, bank, first, end):
    for i in range(first, end):
        if e.episode_key[i] == key and e.episode_bank[i] == bank:
            return i
    return np.int64(NO_EPISODE)


@kernel
def rise(e, key, bank, level, t_ms, offset, since_ms):
    """Open an episode, or go on with the one that ended within the cooldown; return (its place, the transition).

    NO_EPISODE and NOTHING where all places are taken. t_ms, offset: of the record that opens it; since_ms: the time of
    that event, or of the close.
    """
    i, last = np.int64(e.episodes_open), _taken(e)
    k = _find(e, key, bank, i, last)
    if k != NO_EPISODE:
        _swap(e, k, i)
        e.episodes_open += 1
        e.episodes_recent -= 1
        e.episode_level[i], e.episode_false_closes[i] = level, 0
        return i, RECURRED
    if i == EPISODES_MAX:
        e.episode_overflow += 1
        e.episode_lacking = 1
        return np.int64(NO_EPISODE), NOTHING
    if last == EPISODES_MAX:
        _drop(e, _longest_ended(e))
        e.cooldown_overflow += 1
        last -= 1
    _swap(e, i, last)
    e.episodes_open += 1
    e.episode_key[i], e.episode_bank[i], e.episode_level[i] = key, bank, level
    e.episode_opened_ms[i], e.episode_opened_offset[i], e.episode_since_ms[i] = t_ms, offset, since_ms
    touch_cold(e)
    return i, RAISED


@kernel
def take(e, i, status, closing):
    """Apply a status to open episode i, at an event or a close; return the transition."""
    if status == NOT_APPLICABLE:
        return NO_LONGER_APPLIES if closing else NOTHING
    was_stale = e.episode_stale[i]
    if status > RED:
        e.episode_stale[i] = 1
        return NOTHING if was_stale else STALE
    if status > e.episode_level[i]:
        e.episode_level[i], e.episode_false_closes[i], e.episode_stale[i] = status, 0, 0
        return UPGRADED
    if was_stale and closing:
        e.episode_stale[i] = 0
        return RESUMED
    return NOTHING


@kernel
def close(e, i, status, own, may_clear, closes_to_lower):
    """Apply a day's close with a computable status; return the transition downwards, NOTHING where there is none.

    own: truth of the episode's own level. may_clear: truth of its hysteresis.
    """
    if may_clear and status == CLEAR:  # while a level is true it would be raised again at once
        return CLEARED
    if own == TRUE:
        e.episode_false_closes[i] = 0
    elif own == FALSE:
        e.episode_false_closes[i] = min(e.episode_false_closes[i] + 1, closes_to_lower)
    if e.episode_false_closes[i] >= closes_to_lower and status >= YELLOW:
        e.episode_level[i], e.episode_false_closes[i] = status, 0
        return DOWNGRADED
    return NOTHING


@kernel
def note_truth(e, i, status, closing):
    """Note whether open episode i only waits for its hysteresis, as a close finds it; return whether that changed.

    It does from a close at which no level is true until one is true again. What is not computable tells nothing.
    """
    before = e.episode_waits[i]
    if YELLOW <= status <= RED:
        e.episode_waits[i] = 0
    elif closing and status == CLEAR:
        e.episode_waits[i] = 1
    return e.episode_waits[i] != before


@kernel
def hold(e, i, watched):
    """Advance the timer of held(): true at one more close, or reset; unknown stops it. Return the closes in a row."""
    if watched == TRUE:
        e.episode_held_closes[i] = min(e.episode_held_closes[i] + 1, HELD_CLOSES_MAX)
    elif watched == FALSE:
        e.episode_held_closes[i] = 0
    return e.episode_held_closes[i]


@kernel
def is_rise(transition):
    """Return whether the episode opened, or opened again, with this transition."""
    return transition in (RAISED, RECURRED)


@kernel
def is_over(transition):
    """Return whether the episode ended with this transition."""
    return transition >= NO_LONGER_APPLIES


@kernel
def end(e, i, transition, cooldown):
    """Take episode i, which is over, from the open ones. The last open one moves into its place.

    Where it ended at a close it is remembered; cooldown: the closes after it up to which it may go on, 0: none.
    """
    last = np.int64(e.episodes_open) - 1
    _swap(e, i, last)
    e.episodes_open -= 1
    e.episodes_recent += 1
    e.episode_stale[last] = e.episode_waits[last] = e.episode_false_closes[last] = e.episode_held_closes[last] = 0
    if cooldown == 0 or transition not in (CLEARED, NO_LONGER_APPLIES):
        _drop(e, last)


@kernel
def cool(e, cooldown):
    """Count one more close since the recent ones ended, and forget those whose cooldown is over."""
    for k in range(_taken(e) - 1, np.int64(e.episodes_open) - 1, -1):
        if e.episode_false_closes[k] >= cooldown:
            _drop(e, k)
        else:
            e.episode_false_closes[k] += 1


@kernel
def revise(e, i):
    """Count one more revision of an open episode."""
    e.episode_revision[i] += 1


@kernel
def _taken(e):
    """Return the number of places that are taken."""
    return np.int64(e.episodes_open) + np.int64(e.episodes_recent)


@kernel
def _longest_ended(e):
    """Return the recent one that ended at the earliest close, and of these the one that opened first."""
    found = np.int64(e.episodes_open)
    for k in range(found + 1, _taken(e)):
        longer = np.int64(e.episode_false_closes[k]) - np.int64(e.episode_false_closes[found])
        if longer > 0 or (longer == 0 and e.episode_opened_offset[k] < e.episode_opened_offset[found]):
            found = np.int64(k)
    return found


@kernel
def _drop(e, k):
    """Free the place of a recent one. The last of them moves into it."""
    last = _taken(e) - 1
    _swap(e, k, last)
    e.episodes_recent -= 1
    e.episode_key[last], e.episode_bank[last], e.episode_level[last], e.episode_stale[last] = 0, 0, 0, 0
    e.episode_opened_ms[last] = e.episode_opened_offset[last] = e.episode_since_ms[last] = 0
    e.episode_revision[last] = e.episode_false_closes[last] = e.episode_held_closes[last] = 0
    touch_cold(e)


@kernel
def _swap(e, i, j):
    if i == j:
        return
    _exchange(e.episode_key, i, j)
    _exchange(e.episode_bank, i, j)
    _exchange(e.episode_level, i, j)
    _exchange(e.episode_stale, i, j)
    _exchange(e.episode_waits, i, j)
    _exchange(e.episode_opened_ms, i, j)
    _exchange(e.episode_opened_offset, i, j)
    _exchange(e.episode_since_ms, i, j)
    _exchange(e.episode_revision, i, j)
    _exchange(e.episode_false_closes, i, j)
    _exchange(e.episode_held_closes, i, j)
    touch_cold(e)


@kernel
def _exchange(of, i, j):
    one, other = of[i], of[j]
    of[i], of[j] = other, one
