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
def advance(state, s, k, result, clear_now, clear_closes, closing, t_ms, score_before_milli):
    """Move the episode of signal k of slot s; returns the transition, NOTHING where no revision is due."""
    level = state.episode_level[s, k]
    if level == 0:
        if result == CLEAR or result > RED:
            return NOTHING
        state.episode_level[s, k] = result
        state.episode_opened_ms[s, k] = t_ms
        state.episode_revision[s, k] = 0
        state.episode_score_before[s, k] = score_before_milli
        return _revised(state, s, k, RAISED)
    if result in (NOT_COMPUTABLE, SUPPRESSED):
        state.episode_false_closes[s, k] = state.episode_held_closes[s, k] = 0
        if state.episode_stale[s, k]:
            return NOTHING
        transition = _revised(state, s, k, STALE)
        state.episode_stale[s, k] = 1
        return transition
    if result == ENDED:
        state.episode_level[s, k] = 0
        return _revised(state, s, k, ENDED_BY_FACT)
    state.episode_stale[s, k] = 0
    if result > level:
        state.episode_level[s, k] = result
        return _revised(state, s, k, UPGRADED)
    if not closing:
        return NOTHING
    state.episode_held_closes[s, k] = state.episode_held_closes[s, k] + 1 if clear_now else 0
    state.episode_false_closes[s, k] = state.episode_false_closes[s, k] + 1 if result < level else 0
    if state.episode_held_closes[s, k] >= clear_closes:
        state.episode_level[s, k] = 0
        return _revised(state, s, k, CLEARED)
    if state.episode_false_closes[s, k] >= CLOSES_TO_LOWER and result != CLEAR:
        state.episode_level[s, k] = result
        return _revised(state, s, k, DOWNGRADED)
    return NOTHING


@njit(cache=True)
def _revised(state, s, k, transition):
    state.episode_revision[s, k] += 1
    state.episode_stale[s, k] = 0
    state.episode_false_closes[s, k] = state.episode_held_closes[s, k] = 0
    return transition
