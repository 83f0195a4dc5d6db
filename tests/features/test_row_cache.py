"""The row cache: numbers that stay, rows that come and go, and a bound that holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import layout, table
from features.row_cache import LACKING_MAX, RowCache
from features.values import unpack

IDS = st.sets(st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=1, max_size=32), min_size=1, max_size=60)


@given(IDS, st.integers(0, 30))
def test_each_id_keeps_its_number_while_the_directory_grows(ids, stored):
    names = sorted(ids)
    listed = [name.encode() for name in names[:stored]]
    directory = table.with_room(table.empty(1), len(listed))
    table.enter(directory, layout.id_table(listed), table.ABSENT)
    numbers = {}
    for name in names + names:
        directory = table.with_room(directory, 1)
        out, lacking = np.empty(1, np.int32), np.empty(1, np.int32)
        table.begin_run(directory, layout.id_table([name.encode()]), 0, len(numbers) + 1, 1, out, lacking)
        assert numbers.setdefault(name, int(out[0])) == out[0]
    assert sorted(numbers.values()) == list(range(len(names)))
    assert [layout.id_text(directory.entries["id"][numbers[name]]) for name in names] == names
    assert {name for name in names if directory.entries["row"][numbers[name]] == table.ABSENT} == set(names[:stored])


class Store:
    """RowCache over a Redis that is a dict; each enterprise counts in `applied_count` how often it was used."""

    def __init__(self, resident_max):
        self.stored, self.fetched, self.evicted = {}, 0, 0
        self.waiting = None  # what a flush has taken
        self.residents = RowCache([], 1)
        self.residents.resident_max = resident_max  # raised when its process loses partitions: the rows grow

    def use(self, names):
        """As a batch of records does, one of each name."""
        keys, end, r = layout.id_table([name.encode() for name in names]), 0, self.residents
        while end < len(keys):
            numbers, lacking = r.begin_run(keys, end)
            end += len(numbers)
            self.bring(lacking)
            rows = r.rows_of(numbers)
            r.handed(rows)
            for row in rows:
                r.state["applied_count"][row] += 1
                r.state["dirty"][row] = 1

    def take(self):
        rows = self.residents.dirty_rows()
        self.waiting = rows, self.residents.take(rows)

    def write(self):
        if self.waiting is not None:
            rows, taken = self.waiting
            for name, value in taken:
                self.stored[name] = value.over(self.stored.get(name))
            self.residents.written(rows)
            self.waiting = None

    def bring(self, lacking):
        r = self.residents
        before = len(r)
        if (wanted := r.rows_to_evict(len(lacking))) and not r.evict(wanted):
            self.write()
            self.take()
            self.write()
            assert r.evict(wanted)
        self.evicted += max(0, before - len(r))
        absent = r.rows_of(lacking) == table.ABSENT
        names = r.names_of(lacking[absent])
        self.fetched += len(names)
        r.restore(lacking[absent], names, [self.stored[name] for name in names])
        r.add(lacking[~absent])

    def counts(self):
        r = self.residents
        held = {**self.stored, **dict(r.values(r.rows()))}
        counts = unpack(list(held), [value.hot for value in held.values()])["applied_count"]
        return dict(zip(held, counts.tolist(), strict=True))


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.sampled_from(["take", "write"])),
        max_size=18,
    ),
    st.integers(1, 20),
)
def test_an_evicted_row_comes_back_unchanged_and_the_bound_holds(batches, resident_max):
    """Other rows are loaded while a flush waits with its snapshot."""
    store, counts = Store(resident_max), {}
    for batch in batches:
        if isinstance(batch, str):
            store.write()
            if batch == "take":
                store.take()
            continue
        store.use([f"E{n}" for n in batch])
        for n in batch:
            counts[f"E{n}"] = counts.get(f"E{n}", 0) + 1
        assert len(store.residents) <= resident_max
        assert store.residents.known == len(counts)
    store.write()
    assert store.counts() == counts
    assert len(store.residents.rows()) == len(store.residents)


def test_the_least_recently_touched_leave_first_and_the_clean_before_the_dirty():
    store = Store(4)
    for name in "ABCD":
        store.use([name])
    store.use(["A"])
    store.use(["E"])  # all are dirty: they are flushed, and B has waited longest
    in_memory = store.residents.names_of(store.residents.numbers_at(store.residents.rows()))
    assert sorted(in_memory) == ["A", "C", "D", "E"]
    assert sorted(store.stored) == ["A", "B", "C", "D"]
    store.use(["C"])
    flushed_before = dict(store.stored)
    store.use(["F"])  # A and D are clean
    in_memory = store.residents.names_of(store.residents.numbers_at(store.residents.rows()))
    assert sorted(in_memory) == ["A", "C", "E", "F"]
    assert store.stored == flushed_before


def test_a_row_takes_memory_once_it_is_given():
    residents = RowCache([], 1_000_000)
    empty = residents.nbytes
    assert empty < 2 * 10**6
    store = Store(1_000_000)
    for many in (3, 300, 5_000):
        store.use([f"E{n}" for n in range(many)])
        taken = store.residents.nbytes
        assert many * layout.ROW.itemsize < taken < 1.2 * many * layout.ROW.itemsize + 2 * 10**6
    assert set(store.counts().values()) == {1, 2, 3}


def test_rows_in_a_flush_snapshot_stay_until_they_are_written():
    store = Store(2)
    store.use(["A", "B"])
    store.take()
    assert not store.residents.evict(1)
    store.use(["A"])
    store.write()
    assert store.residents.evict(1)
    assert store.residents.names_of(store.residents.numbers_at(store.residents.rows())) == ["A"]  # it has changed since
    assert not store.residents.evict(1)


def test_a_value_under_the_name_of_another_enterprise_is_refused():
    store = Store(2)
    for name in "ABC":
        store.use([name])
    store.stored["A"] = store.stored["B"]
    with pytest.raises(layout.LayoutError, match="value of A: it is that of B"):
        store.use(["A"])


def test_memory_does_not_grow_with_those_who_pass_through():
    store = Store(100)
    for n in range(0, 20_000, 50):
        store.use([f"E{k}" for k in range(n, n + 50)])
    assert store.residents.known == 20_000
    assert len(store.residents.state) <= 1_024
    assert len(store.residents) <= 100
    assert store.evicted >= 19_900


def test_a_run_brings_no_more_than_can_be_fetched_at_once():
    residents = RowCache([f"E{n}".encode() for n in range(3_000)], 2**31 - 1)
    numbers, lacking = residents.begin_run(layout.id_table([f"E{n}".encode() for n in range(3_000)]), 0)
    assert len(numbers) == len(lacking) == LACKING_MAX


def test_an_id_that_is_too_long_is_refused_rather_than_cut():
    with pytest.raises(layout.LayoutError, match="longer than 32 bytes"):
        RowCache([b"E" * 33], 10)
