"""Values in Redis: round trips, writes of changed parts only, and refusal of foreign input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import layout, values
from features.state import dedup
from features.state.parts import COLD, HOT
from features.values import Value
from streams.score.partition import Partition
from tests.streams.score.kit import applied, log_of, no_model

SLOT = np.array([0])


def random_row(seed, cold_day):
    """A row of arbitrary bytes, its chain of ids empty."""
    state = layout.allocate(1)
    state.view(np.uint8)[:] = np.frombuffer(np.random.default_rng(seed).bytes(layout.ROW.itemsize), np.uint8)
    state["id_head"], state["block_head"], state["cold_day"] = -1, -1, cold_day
    state["id_count"] = state["block_count"] = 0
    return state


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 20_000))
def test_every_field_comes_back_as_it_went(seed, cold_day):
    state, arena = random_row(seed, cold_day), dedup.empty(16)
    (value,) = values.pack(state, arena, SLOT)
    back = layout.allocate(1)
    values.restore(back, arena, SLOT, ["E1"], [value])
    hot = values.unpack(["E1"], [value.hot])
    for field in layout.FIELDS:
        assert back[field.name].tobytes() == state[field.name].tobytes(), field.name
        if field.part == HOT:
            assert hot[field.name].tobytes() == state[field.name].tobytes(), field.name


def test_fields_lie_in_their_parts_and_none_overlaps():
    taken = np.zeros(layout.ROW.itemsize, int)
    bounds = {HOT: layout.HOT_PART, COLD: layout.COLD_PART}
    for field in layout.FIELDS:
        dtype, begin = layout.ROW.fields[field.name]
        taken[begin : begin + dtype.itemsize] += 1
        part = bounds[field.part]
        assert part.begin <= begin
        assert begin + dtype.itemsize <= part.end
        assert (begin >= part.narrow) == (dtype.base.itemsize == 4), field.name
    assert taken.max() == 1
    assert layout.HOT_PART.end == layout.COLD_PART.begin
    assert max(layout.ROW.fields[field.name][1] for field in layout.VOLATILE) >= layout.COLD_PART.end


def test_a_part_is_written_only_where_it_is_asked_for_and_ever_changed():
    state, arena = layout.allocate(3), dedup.empty(16)
    state["cold_day"][1:] = 7
    masks = np.array([COLD | HOT, HOT, COLD | HOT], np.uint8)
    assert [value.cold is not None for value in values.pack(state, arena, np.arange(3), masks)] == [False, False, True]
    assert Value(b"h", None).over(Value(b"o", b"c")) == Value(b"h", b"c")
    assert Value(b"h", b"d").over(Value(b"o", b"c")) == Value(b"h", b"d")


def test_more_values_than_a_buffer_holds_come_all(monkeypatch):
    monkeypatch.setattr(values, "_BUFFER_BYTES", 64)
    state, arena = layout.allocate(40), dedup.empty(16)
    state["txn_count"], state["cold_day"] = np.arange(40), 7
    packed = values.pack(state, arena, np.arange(40))
    back = layout.allocate(40)
    values.restore(back, arena, np.arange(40), [str(i) for i in range(40)], packed)
    assert back["txn_count"].tolist() == list(range(40))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda v: v[:5], "5 bytes are no value"),
        (lambda v: b"zzzz" + v[4:], "layout b'zzzz'"),
        (lambda v: v[:4] + b"\0\0\0\0" + v[8:], "00000000, this engine knows"),
        (lambda v: v[:-1], "cut or changed"),
        (lambda v: v + b"\0", "cut or changed"),
        (lambda v: v[:12] + b"\xff\xff\xff\x7f" + v[16:], "cut or changed"),
        (lambda v: v[:16] + b"\1\0\0\0" + v[20:], "cut or changed"),
    ],
)
@pytest.mark.parametrize("part", [HOT, COLD])
def test_a_value_of_another_layout_is_refused_by_name(spoil, why, part):
    state, arena = random_row(1, 7), dedup.empty(4)
    (value,) = values.pack(state, arena, SLOT)
    spoiled = Value(spoil(value.hot), value.cold) if part == HOT else Value(value.hot, spoil(value.cold))
    with pytest.raises(layout.LayoutError, match=f"value of E77: .*{why}"):
        values.restore(layout.allocate(1), arena, SLOT, ["E77"], [spoiled])


def test_parts_that_do_not_belong_together_are_refused():
    state, arena = layout.allocate(1), dedup.empty(4)
    state["cold_day"] = 7
    (value,) = values.pack(state, arena, SLOT)
    state["cold_day"] = 8
    (newer,) = values.pack(state, arena, SLOT)
    with pytest.raises(layout.LayoutError, match="E1"):
        values.restore(layout.allocate(1), arena, SLOT, ["E1"], [Value(newer.hot, value.cold)])
    with pytest.raises(layout.LayoutError, match="E1: one of its two parts is missing"):
        values.restore(layout.allocate(1), arena, SLOT, ["E1"], [Value(value.hot, None)])


@given(st.binary(max_size=60))
def test_no_bytes_lead_out_of_bounds(raw):
    state, arena = layout.allocate(1), dedup.empty(4)
    (value,) = values.pack(state, arena, SLOT)
    with pytest.raises(layout.LayoutError):
        values.restore(state, arena, SLOT, ["E1"], [Value(value.hot[:20] + raw + b"\1", None)])


def test_a_parts_bytes_change_only_with_its_bit(module_seed):
    """Redis holds after each flush of the dirty parts the same as after one of all parts: the bits miss no change."""
    records, partition, stored = log_of(module_seed, enterprises=4, days=60), Partition(0, no_model), {}
    for at in range(len(records)):
        list(applied(partition, records[: at + 1], 1, at))
        slots = partition.residents.rows()
        whole = dict(partition.values(slots))
        if at % 3 == 0:
            dirty = partition.dirty_rows()
            for name, value in partition.take(dirty):
                stored[name] = value.over(stored.get(name))
            partition.written(dirty)
            assert stored == whole, at


def test_events_of_open_days_are_written_without_the_cold_part(module_seed):
    records, partition = log_of(module_seed, enterprises=4, days=40), Partition(0, no_model)
    hot_only = both = 0
    for at in range(len(records)):
        list(applied(partition, records[: at + 1], 1, at))
        dirty = partition.dirty_rows()
        for _, value in partition.take(dirty):
            hot_only, both = hot_only + (value.cold is None), both + (value.cold is not None)
        partition.written(dirty)
    assert hot_only > 200
    assert both > 100
