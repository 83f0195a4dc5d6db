"""Episodes: one continuous stretch of a signal, from its raising to its end.

Raising and upgrading are immediate. At day closes only: a level falls to the highest one still true after seven closes
at which its own condition was false, and the episode clears after its hysteresis held for the signal's number of
closes. A result that is not computable or suppressed keeps an open episode open, marks it stale and stops the timers.
"""

from numba import njit

from detectors.signals import CLEAR, ENDED, NOT_COMPUTABLE, RED, SUPPRESSED

NOTHING, RAISED, UPGRADED, DOWNGRADED, STALE, ENDED_BY_FACT, CLEARED = range(7)
TRANSITIONS = ("", "raised", "upgraded", "downgraded", "stale", "ended", "cleared")
CLOSES_TO_LOWER = 7


@njit(cache=True)
def advance(e, k, result, clear_now, clear_closes, closing, t_ms, offset):
    """Move the episode of signal k of enterprise e; returns the transition, NOTHING where no revision is due."""
    level = e.episode_level[k]
    if level == 0:
        if result == CLEAR or result > RED:
            return NOTHING
        e.episode_level[k] = result
        e.episode_opened_ms[k], e.episode_opened_offset[k] = t_ms, offset
        e.episode_revision[k] = 0
        return _revised(e, k, RAISED)
    if result in (NOT_COMPUTABLE, SUPPRESSED):
        e.episode_false_closes[k] = e.episode_held_closes[k] = 0
        if e.episode_stale[k]:
            return NOTHING
        transition = _revised(e, k, STALE)
        e.episode_stale[k] = 1
        return transition
    if result == ENDED:
        e.episode_level[k] = 0
        return _revised(e, k, ENDED_BY_FACT)
    e.episode_stale[k] = 0
    if result > level:
        e.episode_level[k] = result
        return _revised(e, k, UPGRADED)
    if not closing:
        return NOTHING
    e.episode_held_closes[k] = e.episode_held_closes[k] + 1 if clear_now else 0
    e.episode_false_closes[k] = e.episode_false_closes[k] + 1 if result < level else 0
    if e.episode_held_closes[k] >= clear_closes:
        e.episode_level[k] = 0
        return _revised(e, k, CLEARED)
    if e.episode_false_closes[k] >= CLOSES_TO_LOWER and result != CLEAR:
        e.episode_level[k] = result
        return _revised(e, k, DOWNGRADED)
    return NOTHING


@njit(cache=True)
def restate(e, k):
    """Count one more revision of an open episode, for an opening list; returns whether it is open."""
    e.episode_revision[k] += 1 if e.episode_level[k] else 0
    return e.episode_level[k] > 0


@njit(cache=True)
def _revised(e, k, transition):
    e.episode_revision[k] += 1
    e.episode_stale[k] = 0
    e.episode_false_closes[k] = e.episode_held_closes[k] = 0
    return transition
