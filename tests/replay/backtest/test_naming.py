"""Namings: leads, precision and budgets against counting by hand, and laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.backtest.naming import NONE, Namings, is_right, leads, namings, worst_each_month
from replay.backtest.panel import Window

NAMED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=30)


def of(rows: list[tuple[int, int]]) -> Namings:
    owner, day = (np.array([row[i] for row in rows], np.int64) for i in range(2))
    return namings(owner, day)


@given(NAMED, st.integers(0, 4), st.integers(1, 80), st.integers(1, 40))
def test_a_lead_runs_from_the_first_naming_within_the_lookback(rows, who: int, bad_day: int, lookback: int) -> None:
    found = leads(of(rows), np.array([who]), np.array([bad_day]), lookback)
    days = [day for owner, day in rows if owner == who and bad_day - lookback <= day < bad_day]
    assert found.tolist() == [bad_day - min(days) if days else NONE]


@given(NAMED, st.lists(st.integers(0, 90), min_size=5, max_size=5), st.integers(1, 30))
def test_a_naming_is_right_where_the_default_follows_within_the_horizon(rows, bad_days, horizon: int) -> None:
    named = of(rows)
    found = is_right(named, np.array(bad_days), horizon)
    for owner, day, right in zip(named.owner.tolist(), named.day.tolist(), found.tolist(), strict=True):
        assert right == (day < bad_days[owner] <= day + horizon)


@st.composite
def months(draw):
    owners, count = draw(st.integers(1, 30)), draw(st.integers(1, 8))
    month, owner = (grid.ravel() for grid in np.meshgrid(np.arange(count), np.arange(owners), indexing="ij"))
    rank = np.array(draw(st.lists(st.integers(0, 9) | st.none(), min_size=len(month), max_size=len(month))), np.float64)
    return month, owner, month * 30, rank


@given(months(), st.sampled_from([0, 6, 50, 200, 1000]), st.sampled_from([0, 60, 180]))
def test_a_budget_is_kept_and_spent_on_the_worst_who_are_free(given_, budget: float, repeat: int) -> None:
    month, owner, day, rank = given_
    taken = worst_each_month(month, owner, day, rank, budget, repeat)
    assert not taken[np.isnan(rank)].any()
    seen = 0
    for one in np.unique(month):
        rows = np.flatnonzero(month == one)
        seen += len(rows)
        # Never more than what the borrowers so far allow, but for what rounding adds.
        assert taken[month <= one].sum() <= budget * seen / 1000 + 0.5
        blocked = {int(owner[i]) for i in np.flatnonzero(taken & (month < one)) if day[i] + repeat > one * 30}
        chosen = [i for i in rows if taken[i]]
        assert not blocked & {int(owner[i]) for i in chosen}
        passed_over = [i for i in rows if not taken[i] and not np.isnan(rank[i]) and int(owner[i]) not in blocked]
        if chosen and passed_over:
            assert max(rank[i] for i in chosen) <= min(rank[i] for i in passed_over)


def test_a_budget_for_all_takes_all_and_one_of_nothing_nobody() -> None:
    month, owner = np.repeat([0, 1], 5), np.tile(np.arange(5), 2)
    rank = np.arange(10.0)
    assert worst_each_month(month, owner, month * 30, rank, 1000, 0).all()
    assert not worst_each_month(month, owner, month * 30, rank, 0, 0).any()
    # Who was taken is not taken again while the case is open.
    assert worst_each_month(month, owner, month * 30, rank, 1000, 31).sum() == 5


def test_a_warning_counts_only_where_it_could_have_stood() -> None:
    bad_day = np.array([300, 100])
    dated = Window(first=50, last=400, known_until=400)
    assert dated.could_warn(bad_day, 60).tolist() == [True, False]
    assert dated.could_warn(bad_day, 180).tolist() == [True, False]
    labelled = Window(first=50, last=400, known_until=9_999, seen_days=180)
    assert labelled.could_warn(bad_day, 90).tolist() == [True, False]
    assert labelled.could_warn(bad_day, 180).tolist() == [False, False], "the last 180 days of each are judged"
