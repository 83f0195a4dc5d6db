"""Stretches of days by owner, against sets of days."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.backtest.spans import shared, spans

STRETCHES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(-2, 8)), max_size=15)


def days_of(rows: list[tuple[int, int, int]]) -> set[tuple[int, int]]:
    return {(owner, day) for owner, begin, length in rows for day in range(begin, begin + length)}


def of(rows: list[tuple[int, int, int]]):
    owner, begin, length = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    return spans(owner, begin, begin + length)


@given(STRETCHES)
def test_a_union_holds_the_same_days_in_stretches_that_do_not_touch(rows) -> None:
    found, wanted = of(rows), days_of(rows)
    who, when = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(-1, 32)))
    held = found.holds(who, when)
    assert {(int(o), int(d)) for o, d in zip(who[held], when[held], strict=True)} == wanted
    same = found.owner[1:] == found.owner[:-1]
    assert (found.begin[1:][same] > found.end[:-1][same]).all()
    assert found.days(4, 0, 40).tolist() == [sum(owner == one for owner, _ in wanted) for one in range(4)]
    assert found.days(4, 5, 9).tolist() == [sum(o == one and 5 <= d < 9 for o, d in wanted) for one in range(4)]


@given(STRETCHES, STRETCHES)
def test_the_intersection_of_two_unions(one, other) -> None:
    found, wanted = shared(of(one), of(other)), days_of(one) & days_of(other)
    who, when = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(-1, 32)))
    held = found.holds(who, when)
    assert {(int(o), int(d)) for o, d in zip(who[held], when[held], strict=True)} == wanted
