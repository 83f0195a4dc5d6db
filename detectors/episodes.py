"""Episodes: one continuous period of a signal, from its raising to its end (docs/signals.md).

Raising and upgrading are immediate. At day closes only: a level falls to the highest one still true after its own
condition was false at seven closes, and the episode clears when its hysteresis is true. A result that is not computable
or suppressed keeps an open episode open, marks it stale and stops the timers, which later go on where they stopped.

Arrays of one enterprise, its `episodes_open` open ones first: episode_key uint64 (EPISODES_MAX) the signal's hash,
episode_bank int8 the slot of the lender that it is about or EVERY_BANK, level, stale, opening, revision and timers. An
episode that finds no place is counted in episode_overflow, and all signals are evaluated until it has one
(episode_lacking).
"""

import numpy as np

from detectors.rules.grammar import HELD_CLOSES_MAX
from detectors.rules.program import CLEAR, FALSE, NOT_APPLICABLE, RED, TRUE, YELLOW
from domain.outputs import AlertState
from features.fields import EPISODES_MAX
from kernels.decorators import kernel

EVERY_BANK, NO_EPISODE = -1, -1
(
    NOTHING, RAISED, UPGRADED, DOWNGRADED, STALE, RESUMED, LISTED, CLOSED, NO_LONGER_APPLIES, NOT_IN_RULES, CLEARED,
) = range(11)  # fmt: skip
TRANSITIONS: tuple[AlertState, ...] = (
    "raised", "raised", "upgraded", "downgraded", "stale", "raised", "raised", "closed", "ended", "ended", "cleared",
)  # fmt: skip


@kernel
def find(e, key, bank):
    """Return the place of the open episode of a signal (and lender); NO_EPISODE where none is open."""
    for i in range(np.int64(e.episodes_open)):
        if e.episode_key[i] == key and e.episode_bank[i] == bank:
            return i
    return NO_EPISODE


@kernel
def open_one(e, key, bank, level, t_ms, offset):
    """Open an episode; return its place, NO_EPISODE where all are taken. t_ms, offset: of the record that opens it."""
    i = np.int64(e.episodes_open)
    if i == EPISODES_MAX:
        e.episode_overflow += 1
        e.episode_lacking = 1
        return np.int64(NO_EPISODE)
    e.episodes_open += 1
    e.episode_key[i], e.episode_bank[i], e.episode_level[i], e.episode_stale[i] = key, bank, level, 0
    e.episode_opened_ms[i], e.episode_opened_offset[i], e.episode_revision[i] = t_ms, offset, 0
    e.episode_false_closes[i] = e.episode_held_closes[i] = 0
    return i


@kernel
def take(e, i, status):
    """Apply a status to open episode i, at an event or a close; return the transition."""
    if status == NOT_APPLICABLE:
        return NO_LONGER_APPLIES
    if status > RED:
        was_stale = e.episode_stale[i]
        e.episode_stale[i] = 1
        return NOTHING if was_stale else STALE
    was_stale = e.episode_stale[i]
    e.episode_stale[i] = 0
    if status > e.episode_level[i]:
        e.episode_level[i], e.episode_false_closes[i] = status, 0
        return UPGRADED
    return RESUMED if was_stale else NOTHING


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
def hold(e, i, watched):
    """Advance the timer of held(): true at one more close, or reset; unknown stops it. Return the closes in a row."""
    if watched == TRUE:
        e.episode_held_closes[i] = min(e.episode_held_closes[i] + 1, HELD_CLOSES_MAX)
    elif watched == FALSE:
        e.episode_held_closes[i] = 0
    return e.episode_held_closes[i]


@kernel
def is_over(transition):
    """Return whether the episode ended with this transition."""
    return transition >= NO_LONGER_APPLIES


@kernel
def forget(e, i):
    """Free the place of an episode that is over. The last open one moves into it."""
    last = np.int64(e.episodes_open) - 1
    e.episodes_open = last
    e.episode_key[i], e.episode_bank[i] = e.episode_key[last], e.episode_bank[last]
    e.episode_level[i], e.episode_stale[i] = e.episode_level[last], e.episode_stale[last]
    e.episode_opened_ms[i], e.episode_opened_offset[i] = e.episode_opened_ms[last], e.episode_opened_offset[last]
    e.episode_revision[i] = e.episode_revision[last]
    e.episode_false_closes[i], e.episode_held_closes[i] = e.episode_false_closes[last], e.episode_held_closes[last]
    e.episode_key[last], e.episode_bank[last], e.episode_level[last], e.episode_stale[last] = 0, 0, 0, 0
    e.episode_opened_ms[last] = e.episode_opened_offset[last] = e.episode_revision[last] = 0
    e.episode_false_closes[last] = e.episode_held_closes[last] = 0


@kernel
def revise(e, i):
    """Count one more revision of an open episode."""
    e.episode_revision[i] += 1
