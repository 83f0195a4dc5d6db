"""The law of the instalments: the lines are those of the schedules less the paid ones, the earliest always exact.

The indicators on bullet principal equal a fold over the days of loans.
"""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import layout
from features.state import buckets, instalments, refinancing
from features.state.classes import AMOUNT_COLUMNS
from features.state.instalments import EVERY_BANK
from kernels.decorators import allocating_kernel

FIRST_DAY = 19_800
PUT, LINE, PAY, SETTLE, FORGET = range(5)
STEP = np.dtype([(name, "<i8") for name in ("what", "loan", "day", "fen", "first", "count")])
LINES = np.dtype([("due_day", "<i4"), ("due_fen", "<i8")])


@allocating_kernel
def take(state, steps, lines):
    e = state[0]
    for s in steps:
        if s.what == PUT:
            e.loan_open[s.loan] = 1
            instalments.put_schedule(e, s.loan, lines, s.first, s.count)
        elif s.what == LINE:
            e.loan_open[s.loan] = 1
            instalments.put_line(e, s.loan, s.day, s.fen)
        elif s.what == PAY:
            instalments.pay(e, s.loan)
        elif s.what == SETTLE:
            instalments.settle_before(e, s.loan, s.day)
        else:
            e.loan_open[s.loan] = 0
            instalments.forget(e, s.loan)


@allocating_kernel
def read(state, day):
    e = state[0]
    next_day, fen = instalments.next_due(e, day, EVERY_BANK)
    return next_day, fen, instalments.due_between(e, day, day + 29), instalments.is_cut_short(e, EVERY_BANK)


@allocating_kernel
def month_of_dues(state, day):
    return instalments.of_a_month(state[0], day)


class Naive:
    """Each loan's unpaid lines, as a list."""

    def __init__(self):
        self.lines = defaultdict(dict)

    def take(self, what, loan, day, fen, schedule):
        lines = self.lines[loan]
        if what == PUT:
            self.lines[loan] = {due: amount for due, amount in schedule if amount}
        elif what == LINE:
            lines[day] = fen
        elif what == PAY and lines:
            del lines[min(lines)]
        elif what == SETTLE:
            self.lines[loan] = {due: amount for due, amount in lines.items() if due >= day}
        elif what == FORGET:
            lines.clear()

    def next_due(self, day):
        due = defaultdict(int)
        for lines in self.lines.values():
            for when, fen in lines.items():
                if when >= day:
                    due[when] += fen
        first = min(due, default=None)
        return (instalments.NOTHING_DUE, 0) if first is None else (first, due[first])

    def of_a_month(self, day):
        total = 0
        for lines in self.lines.values():
            ahead = {when: fen for when, fen in lines.items() if when >= day}
            if near := [fen for when, fen in ahead.items() if when < day + 28]:
                total += sum(near)
            elif ahead:
                total += ahead[min(ahead)] / max(1, (min(ahead) - day) / 31)
        return total

    def due_between(self, first, last):
        return sum(fen for lines in self.lines.values() for when, fen in lines.items() if first <= when <= last)


def schedules(longest):
    lines = st.dictionaries(st.integers(0, 400), st.integers(0, 10**12), min_size=1, max_size=longest)
    return lines.map(lambda by_day: [(FIRST_DAY + day, fen) for day, fen in sorted(by_day.items())])


def steps(longest, kinds):
    return st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(0, 7), st.integers(0, 400), st.integers(1, 10**12),
                  schedules(longest)),
        min_size=1, max_size=20,
    )  # fmt: skip


def run(rows):
    """(state, naive) after the rows."""
    state, naive, flat, packed = layout.allocate(1), Naive(), [], []
    for what, loan, day, fen, schedule in rows:
        naive.take(what, loan, FIRST_DAY + day, fen, schedule)
        packed.append((what, loan, FIRST_DAY + day, fen, len(flat), len(schedule)))
        flat += schedule
    take(state, np.array(packed, STEP), np.array(flat, LINES))
    return state, naive


@settings(max_examples=200)
@given(steps(6, (PUT, LINE, PAY, SETTLE, FORGET)), st.integers(0, 400))
def test_due_lines_equal_the_schedules_less_the_paid_ones(rows, day):
    state, naive = run(rows)  # at most eight loans of six lines, and a few more: there is room for all
    if int(state["due_count"][0]) == instalments.LINES:
        return
    next_day, fen, month_fen, _ = read(state, FIRST_DAY + day)
    assert (next_day, fen) == naive.next_due(FIRST_DAY + day)
    assert month_fen == naive.due_between(FIRST_DAY + day, FIRST_DAY + day + 29)
    assert int(state["due_count"][0]) == sum(len(lines) for lines in naive.lines.values())
    assert month_of_dues(state, FIRST_DAY + day) == pytest.approx(naive.of_a_month(FIRST_DAY + day), rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "of_a_month"),
    [
        ({0: 300, 28: 300, 59: 300}, 300),  # February's and March's instalment are 28 days apart: one of them
        ({31: 300, 61: 300}, 300),  # the first instalment at a grant
        ({1: 70, 8: 70, 15: 70, 22: 70, 29: 70}, 280),  # weekly
        ({93: 600, 184: 600}, 200),  # quarterly
        ({365: 3_650}, 310),  # at once after a year, spread over it
        ({30: 3_650}, 3_650),  # and with a month to go
    ],
)  # fmt: skip
def test_a_months_worth_of_a_schedule(schedule, of_a_month):
    state, _ = run([(PUT, 0, 0, 0, [(FIRST_DAY + day, fen) for day, fen in schedule.items()])])
    assert month_of_dues(state, FIRST_DAY) == pytest.approx(of_a_month)


def test_the_months_worth_of_several_loans_adds_up_and_a_closed_one_has_none():
    rows = [(PUT, 0, 0, 0, [(FIRST_DAY + 10, 100)]), (PUT, 1, 0, 0, [(FIRST_DAY + 62, 400)])]
    state, _ = run(rows)
    assert month_of_dues(state, FIRST_DAY) == 300
    state["loan_open"][0, 0] = 0  # closed before its schedule came
    assert month_of_dues(state, FIRST_DAY) == 200


@settings(max_examples=100)
@given(steps(30, (PUT, PAY, FORGET)))
def test_with_a_cut_the_earliest_lines_are_exact_or_it_says_so(rows):
    state, naive = run(rows)
    next_day, fen, _, cut_short = read(state, FIRST_DAY)
    assert int(state["due_count"][0]) <= instalments.LINES
    if not cut_short:
        assert (next_day, fen) == naive.next_due(FIRST_DAY)


def test_a_loan_of_more_lines_than_fit_says_that_it_is_cut_once_they_are_paid():
    schedule = [(FIRST_DAY + 30 * i, 100) for i in range(60)]
    rows = [(PUT, 0, 0, 0, schedule)]
    state, _ = run(rows + [(PAY, 0, 0, 0, [])] * 47)
    assert read(state, FIRST_DAY)[0] == FIRST_DAY + 30 * 47
    assert not read(state, FIRST_DAY)[3]
    state, _ = run(rows + [(PAY, 0, 0, 0, [])] * 48)
    assert read(state, FIRST_DAY) == (instalments.NOTHING_DUE, 0, 0, True)
    state, _ = run(rows + [(PAY, 0, 0, 0, [])] * 48 + [(LINE, 0, 1_440, 70, [])])
    assert read(state, FIRST_DAY)[:2] == (FIRST_DAY + 1_440, 70)


REPAY, LEND = 0, 1
FACT = np.dtype([("what", "<i8"), ("day", "<i8"), ("fen", "<i8")])


@allocating_kernel
def take_facts(state, facts):
    for fact in facts:
        if fact.what == REPAY:
            refinancing.repay(state[0], fact.day, fact.fen)
        else:
            refinancing.lend(state[0], fact.day)


@allocating_kernel
def of_day(state, day, first, end):
    return buckets.day_amount(state[0], day, day, (first, end))


@given(st.lists(st.tuples(st.sampled_from((REPAY, LEND)), st.integers(0, 2), st.integers(1, 10**12)), max_size=20))
def test_a_repayment_within_three_days_of_a_loan_is_refinanced_in_order_of_time(steps_ahead):
    state, facts, day = layout.allocate(1), [], FIRST_DAY
    for what, ahead, fen in steps_ahead:
        day += ahead
        facts.append((what, day, fen))
    state["closed_day"] = FIRST_DAY - 1
    take_facts(state, np.array(facts, FACT))
    lent = [at for what, at, _ in facts if what == LEND]
    for each in range(max(FIRST_DAY, day - 30), day + 1):
        repaid = sum(fen for what, at, fen in facts if what == REPAY and at == each)
        helped = repaid if any(abs(each - at) <= 3 for at in lent) else 0
        assert of_day(state, each, *AMOUNT_COLUMNS["bullet"]) == repaid
        assert of_day(state, each, *AMOUNT_COLUMNS["refinanced"]) == helped
