"""The kept sums of past days equal new sums, for any records between two readings.

`tests/streams/score/test_indicators.py` compares readings with raw events; this file tests the kept sums alone.
"""

from datetime import date

import numpy as np
from hypothesis import event, example, given
from hypothesis import strategies as st

from domain.calendar import day_of_date, day_start_ms
from features import layout
from features.indicators import windows
from features.state import buckets
from features.state.classes import CLASSES, OF_LOANS, UNRATED
from features.state.transitions import time_of
from kernels.decorators import allocating_kernel

FIRST_DAY = day_of_date(date(2024, 1, 1))
TXN, OF_LOAN, CLOSE, NEWS = range(4)  # news: what moves time alone
FULL = buckets.FEN_MAX
COLUMNS = len(CLASSES[:UNRATED])
# (what, days before the newest one, class, overlays, fen, of the day's last millisecond)
STEP = st.tuples(
    st.sampled_from([TXN, TXN, TXN, OF_LOAN, CLOSE, NEWS]),
    st.one_of(st.just(0), st.integers(-3, 40)),
    st.integers(0, UNRATED),
    st.integers(0, 7),
    st.one_of(st.integers(-(10**9), 10**9), st.sampled_from([FULL, -FULL // 2])),
    st.booleans(),
)


@allocating_kernel
def change(state, what, day, category, overlays, fen):
    e = state[0]
    if what == TXN:
        buckets.add(e, day, category, overlays, fen, np.int64(1) if fen >= 0 else np.int64(-1))
    elif what == OF_LOAN:
        buckets.add_amount(e, day, COLUMNS + category % len(OF_LOANS), fen)
    elif what == CLOSE:
        buckets.close_next_day(e)


@allocating_kernel
def read(state, sums):
    e = state[0]
    windows.read(e, time_of(e), np.int64(400), sums)


@given(st.lists(STEP, min_size=1, max_size=60), st.integers(0, 45))
# Full buckets: what two days hold is more than their week takes when they are folded into it, at a close, or as they
# leave the ring.
@example([(TXN, ago, 0, 0, FULL, False) for ago in (0, -1, -1)] + 2 * [(CLOSE, 0, 0, 0, 0, False)], 0)
@example(
    [(TXN, 0, 0, 0, FULL, False), (TXN, -1, 0, 0, FULL, False), (NEWS, -37, 0, 0, 0, False), (TXN, 0, 0, 0, 1, False)],
    0,
)
@example([(TXN, 0, 0, 0, 5, False), (TXN, 1, 0, 0, 7, False), (CLOSE, 0, 0, 0, 0, False), (TXN, 0, 0, 0, 9, True)], 2)
def test_kept_sums_are_those_of_adding_up_anew(steps: list[tuple[int, int, int, int, int, bool]], closed: int) -> None:
    state = layout.allocate(1)
    state["closed_day"], newest = FIRST_DAY - 1, FIRST_DAY
    state["newest_ms"] = day_start_ms(FIRST_DAY)
    kept, anew = np.zeros(windows.SUMS_MAX, np.int64), np.zeros(windows.SUMS_MAX, np.int64)
    for what, ago, category, overlays, fen, last_ms in [(TXN, -closed, 0, 0, 1, False), *steps]:
        day = newest - ago
        if what != CLOSE:
            newest = max(newest, day)
            ms = day_start_ms(day + 1) - 1 if last_ms else day_start_ms(day)
            state["newest_ms"] = max(int(state["newest_ms"][0]), ms)
        elif state["closed_day"][0] >= newest + 3:
            continue
        change(state, what, day, category, overlays, fen)
        before = int(state["past_key"][0])
        read(state, kept)
        event("kept" if int(state["past_key"][0]) == before else "added up")
        other = state.copy()
        other["past_key"] = buckets.NO_PAST
        read(other, anew)
        assert kept.tolist() == anew.tolist()
