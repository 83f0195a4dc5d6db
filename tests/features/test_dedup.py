"""De-duplication equals dicts, for ids and for numbers, over rebuilds, restarts and evictions."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.calendar import day_start_ms
from features import layout, values
from features.state import buckets, dedup, parts
from kernels.decorators import allocating_kernel

SLOTS = 3
FIRST_DAY = 20_000


@allocating_kernel
def remember(arena, state, slot, id_hash, fingerprint, day):
    return dedup.remember(arena, state[slot], slot, id_hash, fingerprint, day)


@allocating_kernel
def remember_number(arena, state, slot, account, number, id_hash, fingerprint, day):
    return dedup.remember_number(arena, state[slot], slot, account, number, id_hash, fingerprint, day)


@allocating_kernel
def close(state, slot):
    buckets.close_next_day(state[slot])


class Naive:
    """One enterprise: ids and numbers in dicts, forgotten by day."""

    def __init__(self):
        self.ids, self.newest, self.closed = {}, 0, FIRST_DAY - 1
        self.blocks = defaultdict(dict)  # (account, number // 16) -> number -> what came with it
        self.block_day = {}

    @property
    def first(self):
        return max(self.newest, self.closed + 1) - parts.KEEP_DAYS

    def remember(self, event, body, day):
        known = self.ids.get(event)
        if known is not None and known[1] >= self.first:
            return dedup.DUPLICATE if known[0] == body else dedup.CONFLICT
        self.ids[event] = body, day
        self.newest = max(self.newest, day)
        return dedup.NEW

    def remember_number(self, account, number, event, body, day):
        place = account, number // dedup.BLOCK
        if self.block_day.get(place, self.first) < self.first:
            del self.blocks[place], self.block_day[place]
        block = self.blocks[place]
        if number in block:
            return dedup.DUPLICATE if block[number] == (event, body) else dedup.CONFLICT
        block[number] = event, body
        self.block_day[place] = max(self.block_day.get(place, day), day)
        self.newest = max(self.newest, day)
        return dedup.NEW


class World:
    """Both sides, and the contents of Redis."""

    def __init__(self):
        self.naive, self.today, self.stored = [Naive() for _ in range(SLOTS)], FIRST_DAY, {}
        self.begin()

    def begin(self):
        self.state, self.arena = layout.allocate(SLOTS), dedup.empty(128, 128)
        self.state["closed_day"] = FIRST_DAY - 1

    def take(self, slot, day, got, expected):
        assert got == expected
        if got == dedup.NEW:
            self.state["newest_ms"][slot] = max(self.state["newest_ms"][slot], day_start_ms(day) + 5)
        self.state["dirty"][slot] |= 1

    def id(self, slot, late, event, body):
        day = self.today - late
        got = remember(self.arena, self.state, slot, np.uint64(event), np.uint64(body), day)
        self.take(slot, day, got, self.naive[slot].remember(event, body, day))

    def number(self, slot, late, account, number, event, body):
        day = self.today - late
        numbered = np.uint64(account), number, np.uint64(event), np.uint64(body)
        got = remember_number(self.arena, self.state, slot, *numbered, day)
        self.take(slot, day, got, self.naive[slot].remember_number(account, number, event, body, day))

    def run(self, slot, late, account, first, count):
        """Numbers in a row, as banks send them."""
        for number in range(first, first + count):
            self.number(slot, late, account, number, number, 1)

    def days(self, count):
        self.today += count

    def close(self, slot, count):
        for _ in range(min(count, self.today - 1 - self.naive[slot].closed)):
            close(self.state, slot)
            self.naive[slot].closed += 1
            self.state["dirty"][slot] |= 1

    def rebuild(self):
        self.arena = dedup.rebuilt(self.arena, self.state, np.arange(SLOTS), 100, 100)

    def leave(self, slot):
        """Out of memory, and back into the same row."""
        if slot in self.stored:
            free = [int(pool.free[1]) for pool in self.arena]
            dedup.forget(self.arena, self.state, np.array([slot]))
            layout.words(self.state)[slot] = layout.words(layout.allocate(1))[0]
            values.restore(self.state, self.arena, np.array([slot]), [f"E{slot}"], [self.stored[slot]])
            assert all(int(pool.free[1]) >= before for pool, before in zip(self.arena, free, strict=True))

    def restart(self):
        if self.stored:
            self.begin()
            slots = sorted(self.stored)
            held = [self.stored[slot] for slot in slots]
            values.restore(self.state, self.arena, np.array(slots), [f"E{slot}" for slot in slots], held)

    def flush(self):
        dirty = np.flatnonzero(self.state["dirty"])
        packed = values.pack(self.state, self.arena, dirty, self.state["dirty"][dirty])
        for slot, value in zip(dirty.tolist(), packed, strict=True):
            self.stored[slot] = value.over(self.stored.get(slot))
        self.state["dirty"] = 0
        whole = dict(enumerate(values.pack(self.state, self.arena, np.arange(SLOTS))))
        assert {slot: whole[slot] for slot in self.stored} == self.stored, "what is stored does not hang on when"


slots, late, body = st.integers(0, SLOTS - 1), st.integers(0, 12), st.integers(1, 3)
ids = st.tuples(st.just("id"), slots, late, st.integers(1, 25), body)
numbers = st.tuples(st.just("number"), slots, late, st.integers(1, 2), st.integers(0, 40), st.integers(1, 2), body)
runs = st.tuples(
    st.just("run"), slots, st.integers(0, 3), st.integers(1, 2), st.sampled_from((0, 7, 16, 20)), st.integers(1, 17)
)
others = st.one_of(
    st.tuples(st.just("days"), st.integers(1, 4)),
    st.tuples(st.just("close"), slots, st.integers(1, 3)),
    st.tuples(st.just("rebuild")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("leave"), slots),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.one_of(ids, numbers, runs, others), max_size=60))
def test_records_are_remembered_as_dicts_do(script):
    played(script)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.one_of(ids, numbers, runs, others), max_size=60), st.sampled_from(("leave", "restart", "rebuild")))
@example([("id", 0, 0, 1, 1), ("days", 4), ("days", 4), ("days", 1), ("id", 0, 0, 2, 1), ("close", 0, 1)], "restart")
def test_what_redis_holds_does_not_hang_on_who_was_in_memory(script, moved):
    """Closes may lag behind the newest event by any number of days."""
    kept = [step for step in script if step[0] not in ("leave", "restart", "rebuild")]
    everywhere = [(moved, slot) for slot in range(SLOTS)] if moved == "leave" else [(moved,)]
    assert played([each for step in kept for each in (step, *everywhere)]).stored == played(kept).stored


def played(script):
    """Return the world after the steps of a script."""
    world = World()
    for what, *rest in script:
        if not dedup.has_room(world.arena, 20, 20):
            world.rebuild()
        getattr(world, what)(*rest)
        world.flush()
    return world


def test_a_body_is_identified_by_all_bits_of_its_fingerprint_and_a_number_by_id_and_body():
    world = World()
    world.id(0, 0, 7, 1)
    for bit in range(1, 64):
        if bit != 32:  # the fold of 1
            world.id(0, 0, 7, 1 << bit)
    world.number(0, 0, 1, 5, 7, 1)
    world.number(0, 0, 1, 5, 8, 1)
    world.number(0, 0, 1, 5, 7, 2)
    world.number(0, 0, 2, 5, 7, 1)


@pytest.mark.parametrize(("numbered", "most"), [(True, 6.0), (False, 33.0)])
def test_an_entry_takes_the_stated_bytes(numbered, most):
    """In memory, of an arena that is full: entries and index."""
    records = 16 * 1_024
    arena = dedup.empty(0, records // dedup.BLOCK) if numbered else dedup.empty(records, 0)
    assert dedup.nbytes(arena) / records < most


def test_a_full_block_of_an_open_day_moves_to_the_cold_part_at_the_close_only():
    world = World()
    world.run(0, 0, 1, 0, 15)
    world.flush()
    assert world.stored[0].cold is None
    world.days(1)
    world.close(0, 1)
    world.flush()
    cold = world.stored[0].cold
    world.run(0, 0, 1, 15, 1)
    world.flush()
    assert world.stored[0].cold == cold, "a block that lacked a number was in the hot part all along"
    world.days(1)
    world.close(0, 1)
    world.flush()
    assert len(world.stored[0].cold) - len(cold) == 8 + 1 + 2 + 16 * 4
