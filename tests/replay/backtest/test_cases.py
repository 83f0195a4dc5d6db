"""A desk's cases from alerts, against a list kept by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from replay.backtest.cases import Steps, before_each, last_at, levels_at, rises, steps_of

# owner, episode of the owner, level after, days since the revision before; in the order of the log
REVISIONS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), max_size=40)


def columns(rows: list[tuple[int, int, int, int]]) -> tuple[np.ndarray, ...]:
    """owner, moment, day, episode, level; a moment is a day here."""
    day = np.cumsum([gap for *_, gap in rows], dtype=np.int64) if rows else np.empty(0, np.int64)
    owner, own, level = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    return owner, day, day, owner * 10 + own, level


def steps(*columns: np.ndarray) -> Steps:
    """The steps of revisions in the order of the log."""
    order = np.argsort(columns[0], kind="stable")
    owner, moment, day, episode, level = (column[order] for column in columns)
    return steps_of(owner, moment, day, before_each(episode, level), level)


def claimed(rows: list[tuple[int, int, int, int]]) -> tuple[np.ndarray, ...]:
    """owner, day, level after each revision of cases that the engine gave the highest open level."""
    owner, _, day, episode, level = columns(rows)
    open_: dict[int, dict[int, int]] = {}
    found = []
    for one, which, now in zip(owner.tolist(), episode.tolist(), level.tolist(), strict=True):
        open_.setdefault(one, {})[which] = now
        found.append(max(open_[one].values()))
    order = np.argsort(owner, kind="stable")
    return owner[order], day[order], np.array(found, np.int64)[order]


def by_hand(rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """(owner, day, before, after) of the steps."""
    found, day = [], 0
    days: dict[int, list[tuple[int, int, int]]] = {}
    for owner, own, level, gap in rows:
        day += gap
        days.setdefault(owner, []).append((day, own, level))
    for owner, revisions in sorted(days.items()):
        open_: dict[int, int] = {}
        highest = 0
        for moment in sorted({when for when, *_ in revisions}):
            open_ |= {own: level for when, own, level in revisions if when == moment}
            before, highest = highest, max(open_.values())
            if highest > before:
                found.append((owner, moment, before, highest))
    return found


@given(REVISIONS)
def test_steps_are_what_a_desk_writes_down(rows: list[tuple[int, int, int, int]]) -> None:
    found = steps(*columns(rows))
    assert list(zip(*(column.tolist() for column in found), strict=True)) == by_hand(rows)


@given(REVISIONS)
def test_levels_that_the_engine_gave_make_the_same_steps(rows: list[tuple[int, int, int, int]]) -> None:
    owner, day, level = claimed(rows)
    found = rises(owner, day, day, level)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == by_hand(rows)


@given(REVISIONS, st.integers(0, 3), st.integers(-1, 100))
def test_a_level_is_what_stands_in_the_list_at_the_end_of_a_day(rows, who: int, when: int) -> None:
    owner, _, day, episode, level = columns(rows)
    open_: dict[int, int] = {}
    for i in range(len(rows)):
        if owner[i] == who and day[i] <= when:
            open_[int(episode[i])] = int(level[i])
    found = levels_at(*claimed(rows), np.array([who]), np.array([when]))
    assert found.tolist() == [max(open_.values(), default=0)]


@given(REVISIONS)
def test_the_steps_of_all_do_not_depend_on_others(rows: list[tuple[int, int, int, int]]) -> None:
    together = by_hand(rows)
    alone = []
    for owner in range(4):
        wanted = columns(rows)[0] == owner
        found = steps(*(column[wanted] for column in columns(rows)))
        alone += list(zip(*(column.tolist() for column in found), strict=True))
    assert alone == together


def test_alerts_that_join_or_fall_are_no_new_work() -> None:
    rows = [
        (0, 0, 2, 0),
        (0, 1, 2, 1),
        (0, 0, 1, 1),
        (0, 2, 1, 1),
        (0, 1, 0, 1),
        (0, 0, 0, 1),
        (0, 2, 0, 1),
        (0, 0, 1, 1),
    ]
    found = steps(*columns(rows))
    assert found.after.tolist() == [2, 1], "opened at orange, and opened anew at yellow after its end"


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 30)), max_size=30), st.integers(-1, 5), st.integers(-9, 40)
)
def test_the_last_row_of_somebody_up_to_a_day(rows: list[tuple[int, int]], who: int, when: int) -> None:
    rows = sorted(rows)
    owner, day = (np.array([row[i] for row in rows], np.int64) for i in range(2))
    found = last_at(owner, day, np.array([who]), np.array([when]))
    places = [i for i, (one, at) in enumerate(rows) if one == who and at <= when]
    assert found.tolist() == [places[-1] if places else -1]
