"""De-duplication equals a dict, whatever rebuilds, restarts and evictions lie between."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from domain.calendar import day_start_ms
from features import layout, values
from features.state import buckets, dedup

SLOTS = 3


@njit(cache=True)
def remember(arena, state, slot, id_hash, fingerprint, day):
    return dedup.remember(arena, state[slot], slot, id_hash, fingerprint, day)


@njit(cache=True)
def close(state, slot):
    buckets.close_next_day(state[slot])


def dedup_entries(arena, state, slot):
    entries, entry = 0, state["dedup_head"][slot]
    while entry >= 0:
        entries, entry = entries + 1, arena.next[entry]
    return entries


class Naive:
    """Ids in a dict, forgotten by day."""

    def __init__(self):
        self.seen, self.newest, self.closed = {}, 0, -1

    def remember(self, event, body, day):
        first = max(self.newest, self.closed + 1) - dedup.KEEP_DAYS
        known = self.seen.get(event)
        if known is not None and known[1] >= first:
            return dedup.DUPLICATE if known[0] == body else dedup.CONFLICT
        self.seen[event] = body, day
        self.newest = max(self.newest, day)
        return dedup.NEW


steps = st.one_of(
    st.tuples(st.just("event"), st.integers(0, 12), st.integers(1, 25), st.integers(1, 3), st.integers(0, SLOTS - 1)),
    st.tuples(st.just("event"), st.integers(0, 12), st.integers(1, 25), st.integers(1, 3), st.integers(0, SLOTS - 1)),
    st.tuples(st.just("day"), st.integers(1, 4)),
    st.tuples(st.just("close"), st.integers(0, SLOTS - 1), st.integers(1, 3)),
    st.tuples(st.just("rebuild")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("leave"), st.integers(0, SLOTS - 1)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=80))
def test_ids_are_remembered_as_a_dict_does(script):
    state, arena = layout.allocate(SLOTS), dedup.empty(128)
    naive, today, first = [Naive() for _ in range(SLOTS)], 20_000, 20_000
    state["closed_day"] = first - 1
    for one in naive:
        one.closed = first - 1
    stored = {}
    for what, *rest in script:
        if what == "event":
            late, event, body, slot = rest
            day = today - late
            got = remember(arena, state, slot, np.uint64(event), np.uint64(body), day)
            assert got == naive[slot].remember(event, body, day)
            if got == dedup.NEW:
                state["newest_ms"][slot] = max(state["newest_ms"][slot], day_start_ms(day) + 5)
            state["dirty"][slot] |= 1
        elif what == "day":
            today += rest[0]
        elif what == "close":
            slot, days = rest
            for _ in range(min(days, today - 1 - naive[slot].closed)):
                close(state, slot)
                naive[slot].closed += 1
                state["dirty"][slot] |= 1
        elif what == "rebuild":
            arena = dedup.rebuilt(arena, state, np.arange(SLOTS), 100)
        dirty = np.flatnonzero(state["dirty"])
        if what != "rebuild":
            for slot, value in zip(dirty, values.pack(state, arena, dirty, state["dirty"][dirty]), strict=True):
                stored[slot] = value.over(stored.get(slot))
            state["dirty"] = 0
        whole = dict(enumerate(values.pack(state, arena, np.arange(SLOTS))))
        assert {slot: whole[slot] for slot in stored} == stored, "what is stored does not hang on when"
        if what == "leave" and rest[0] in stored:  # and come back, into the same row
            (slot,) = rest
            free, held = dedup.free_count(arena), dedup_entries(arena, state, slot)
            dedup.forget(arena, state, np.array([slot]))
            assert dedup.free_count(arena) == free + held
            layout.words(state)[slot] = layout.words(layout.allocate(1))[0]
            state["closed_day"][slot] = first - 1
            values.restore(state, arena, np.array([slot]), [f"E{slot}"], [stored[slot]])
            assert dedup.free_count(arena) >= free
        if what == "restart" and stored:
            state, arena = layout.allocate(SLOTS), dedup.empty(128)
            state["closed_day"] = first - 1
            slots = sorted(stored)
            held = [stored[slot] for slot in slots]
            values.restore(state, arena, np.array(slots), [f"E{slot}" for slot in slots], held)
