"""The law of the balances: a day's total is the sum, over accounts, of the newest accepted balance up to that day.

The reference keeps every balance that a state may accept (none older than its account's), and adds up by day.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import layout
from features.state import balances, coverage
from features.state.buckets import NO_UNIT
from features.state.parts import COLD
from kernels.decorators import allocating_kernel

FIRST_DAY, DAY_MS = 19_800, 86_400_000
ADD, CLOSE = 0, 1
STEP = np.dtype([(name, "<i8") for name in ("what", "account", "bank", "day", "ms", "fen")])


@allocating_kernel
def take(state, steps):
    e = state[0]
    for s in steps:
        if s.what == ADD:
            balances.add(e, np.uint64(s.account), s.bank, s.day, s.day * DAY_MS + s.ms, s.fen)
        else:
            e.closed_day += 1
            balances.close(e)


@allocating_kernel
def read(state, first, last, out):
    e = state[0]
    now = balances.is_known_now(e, last)
    for day in range(first, last + 1):
        out[day - first, 0] = balances.is_known(e, day, now)
        out[day - first, 1] = balances.end_of_day(e, day)
    return balances.sum_and_days(e, first, last, now)


@allocating_kernel
def read_lowest(state, last):
    e = state[0]
    now = balances.is_known_now(e, last)
    lowest = balances.lowest_before(e, last - 29, now)
    for day in range(last - 29, last + 1):
        if balances.is_known(e, day, now):
            lowest = min(lowest, balances.end_of_day(e, day))
    return lowest


def enterprise(*flows):
    state = layout.allocate(1)
    state["closed_day"] = FIRST_DAY - 1
    state["bank_flow"][0, : len(flows)] = flows
    return state


def run(state, steps):
    take(state, np.array([(*step, *[0] * (6 - len(step))) for step in steps], STEP))


def days(state, first, last):
    """[(known, fen)] of the days, and (sum, number) over them."""
    out = np.zeros((last - first + 1, 2), np.int64)
    total, known = read(state, first, last, out)
    return [(bool(k), int(fen)) for k, fen in out], (int(total), int(known))


moves = st.lists(
    st.one_of(
        st.tuples(st.just(ADD), st.integers(1, 8), st.just(0), st.integers(0, 6), st.integers(0, 9),
                  st.integers(-(10**15), 10**15)),
        st.tuples(st.just(CLOSE)),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=200)
@given(moves)
def test_totals_equal_the_fold_whatever_the_order_across_accounts(steps):
    state, accepted, closed, known = enterprise(1.0), {}, FIRST_DAY - 1, set()
    first_day = None
    done = []
    for what, *rest in steps:
        if what == CLOSE:
            closed += 1
            if first_day is not None and closed >= first_day:
                known.add(closed)
            done.append((CLOSE,))
            continue
        account, bank, ahead, ms, fen = rest
        day = closed + 1 + ahead - 2  # two days before the open one, to four after it
        at = (day, ms)
        done.append((ADD, account, bank, day, ms, fen))
        history = accepted.setdefault(account, [])
        if not history or at >= history[-1][0]:
            history.append((at, fen))
            first_day = day if first_day is None else min(first_day, day)
    run(state, done)
    last = closed + 5
    got, total = days(state, last - 20, last)
    expected = []
    for day in range(last - 20, last + 1):
        fen = sum(next((f for (d, _), f in reversed(h) if d <= day), 0) for h in accepted.values())
        is_known = day in known or (closed < day and first_day is not None and day >= first_day)
        expected.append((is_known, fen))
    assert [k for k, _ in got] == [k for k, _ in expected]
    assert [fen for k, fen in got if k] == [fen for k, fen in expected if k]
    assert total == (sum(fen for k, fen in expected if k), sum(k for k, _ in expected))


walks = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 3), st.integers(-7, 3), st.integers(0, 9),
              st.integers(-(10**15), 10**15)),
    max_size=40,
)  # fmt: skip


@settings(max_examples=200)
@given(walks, st.integers(0, 20))
def test_the_lowest_of_ninety_days_equals_the_fold_also_of_late_balances_and_late_closes(walk, ahead):
    state, accepted, closed, first_day = enterprise(1.0), {}, FIRST_DAY - 1, None
    known, done = set(), []
    for closes, account, after, ms, fen in walk:
        for _ in range(closes):
            closed += 1
            if first_day is not None and closed >= first_day:
                known.add(closed)
            done.append((CLOSE,))
        day = closed + 1 + after
        done.append((ADD, account, 0, day, ms, fen))
        history = accepted.setdefault(account, [])
        if not history or (day, ms) >= history[-1][0]:
            history.append(((day, ms), fen))
            first_day = day if first_day is None else min(first_day, day)
    run(state, done)
    last = closed + ahead  # closes may lag by three weeks
    begin = (closed + 1 - 90 + 3) // 7 * 7 - 3  # the Monday
    totals = [
        sum(next((f for (d, _), f in reversed(h) if d <= day), 0) for h in accepted.values())
        for day in range(begin, last + 1)
        if day in known or (closed < day and first_day is not None and day >= first_day)
    ]
    assert read_lowest(state, last) == min(totals, default=balances.NO_LOW)


def test_a_lowest_balance_leaves_with_its_week():
    state = enterprise(1.0)
    run(state, [(ADD, 1, 0, FIRST_DAY, 0, 100), (ADD, 1, 0, FIRST_DAY + 1, 0, 900), *[(CLOSE,)] * 97])
    monday = (FIRST_DAY + 3) // 7 * 7 - 3
    for closed in range(FIRST_DAY + 96, FIRST_DAY + 110):
        assert read_lowest(state, closed) == (100 if closed + 1 - 90 < monday + 7 else 900), closed
        run(state, [(CLOSE,)])


def test_a_day_changes_the_cold_part_only_where_it_lowers_a_week():
    state = enterprise(1.0)
    run(state, [(ADD, 1, 0, FIRST_DAY, 0, 100)])
    changed = []
    for day in range(FIRST_DAY, FIRST_DAY + 50):
        state["dirty"] = 0
        run(state, [(CLOSE,)])
        if state["dirty"][0] & COLD:
            changed.append(day - balances.FOLDED_DAYS)
    mondays = [day for day in range(FIRST_DAY, FIRST_DAY + 36) if (day + 3) % 7 == 0]
    assert changed == sorted({FIRST_DAY, *mondays})


def test_an_older_balance_that_comes_late_changes_nothing_and_of_equal_times_the_last_holds():
    state = enterprise(1.0)
    run(state, [(ADD, 1, 0, FIRST_DAY, 5, 100), (ADD, 1, 0, FIRST_DAY, 4, 70), (ADD, 1, 0, FIRST_DAY, 5, 200)])
    assert days(state, FIRST_DAY, FIRST_DAY) == ([(True, 200)], (200, 1))


def test_a_ninth_account_makes_totals_unknown_until_a_silent_one_makes_room():
    state = enterprise(1.0)
    run(state, [(ADD, account, 0, FIRST_DAY + account, 0, 100) for account in range(1, 10)])
    overflow = FIRST_DAY + 9
    assert days(state, overflow - 1, overflow + 1)[0] == [(False, 800), (False, 800), (True, 800)]
    run(state, [(ADD, 9, 0, FIRST_DAY + 1 + 90, 0, 7)])  # the first has been silent for ninety days
    assert days(state, FIRST_DAY + 91, FIRST_DAY + 91)[0] == [(True, 707)]


@pytest.mark.parametrize(("flows", "known"), [((7.0, 3.0), True), ((6.9, 3.1), False), ((1.0, 0.0), True)])
def test_a_bank_that_sends_no_balances_hides_them_by_its_share_of_the_flow(flows, known):
    state = enterprise(*flows)
    run(state, [(ADD, 1, 0, FIRST_DAY, 0, 100), (ADD, 2, 1, FIRST_DAY, 0, balances.MISSING)])
    assert days(state, FIRST_DAY, FIRST_DAY)[0] == [(known, 100)]


def test_a_bank_is_known_again_seven_days_after_its_last_transaction_without_a_balance():
    state = enterprise(1.0)
    run(state, [(ADD, 1, 0, FIRST_DAY, 0, 100), (ADD, 1, 0, FIRST_DAY, 1, balances.MISSING)])
    run(state, [(CLOSE,)] * 10)
    got, _ = days(state, FIRST_DAY, FIRST_DAY + 9)
    assert [k for k, _ in got] == [False] * 7 + [True] * 3


def test_an_enterprise_without_balances_knows_none():
    state = enterprise(1.0)
    run(state, [(CLOSE,)] * 3)
    assert days(state, FIRST_DAY, FIRST_DAY + 2)[1] == (0, 0)
    assert int(state["balance_day"][0]) == NO_UNIT


@allocating_kernel
def close_days(state, bits):
    for bit in bits:
        state[0].closed_day += 1
        coverage.close(state[0], bit)


@allocating_kernel
def covered_months(state, first, last):
    return coverage.months_are_covered(state[0], first, last)


@given(st.lists(st.booleans(), max_size=500), st.integers(0, coverage.DAYS_MAX - 1), st.integers(0, 30))
def test_coverage_counts_the_last_closed_days(bits, first, more):
    state = enterprise()
    close_days(state, np.array(bits, np.int64))
    newest_first = [*reversed(bits), *[False] * coverage.DAYS_MAX]
    last = min(first + more, coverage.DAYS_MAX - 1)
    assert coverage.between(state["covered"][0], first, last) == sum(newest_first[first : last + 1])
    for window, count in zip(coverage.WINDOWS, state["covered_days"][0], strict=True):
        assert count == sum(newest_first[:window])


@allocating_kernel
def cover_days(state, backs):
    for back in backs:
        coverage.cover(state[0], back)


@given(st.lists(st.booleans(), min_size=8, max_size=80), st.sets(st.integers(1, 6)))
def test_a_day_that_is_covered_later_is_covered_as_if_at_its_close(bits, backs):
    late, at_once = enterprise(), enterprise()
    holes = [i not in {len(bits) - 1 - back for back in backs} for i in range(len(bits))]
    close_days(late, np.array([bit and whole for bit, whole in zip(bits, holes, strict=True)], np.int64))
    close_days(at_once, np.array([bit or not whole for bit, whole in zip(bits, holes, strict=True)], np.int64))
    cover_days(late, np.array(sorted(backs), np.int64))
    for name in ("covered", "covered_days", "covered_months"):
        assert late[name].tolist() == at_once[name].tolist(), name


@settings(max_examples=50)
@given(st.lists(st.integers(0, 40), max_size=12, unique=True), st.integers(400, 480), st.integers(1, 14))
def test_a_month_is_covered_with_nine_tenths_of_its_days(holes, count, last):
    from domain.calendar import month_of_day

    bits = [i * 11 % 40 not in holes for i in range(count)]
    state = enterprise()
    close_days(state, np.array(bits, np.int64))
    months = {}
    for i, bit in enumerate(bits):
        months.setdefault(month_of_day(FIRST_DAY + i), []).append(bit)
    of_next = month_of_day(FIRST_DAY + count)
    well = [10 * sum(months.get(of_next - k, [0])) >= 9 * full_length(of_next - k) for k in range(1, 15)]
    assert bool(covered_months(state, 1, last)) == all(well[:last])
    assert coverage.months_covered(state[0]) >= sum(well)


def full_length(month):
    from features.state.buckets import first_day_of

    return first_day_of(month + 1) - first_day_of(month)
