"""The law of the buckets: equal to a plain fold over raw events in any order, with any closes between.

The reference keeps every event in a list and adds up with Python's integers. Of rings it uses one fact: the oldest day
that each can answer for.
"""

from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import date_of, day_of_date, month_of_day, week_of_day
from features import layout
from features.state import buckets
from features.state.classes import (
    AMOUNT_COLUMNS,
    CLASS_OF,
    CLASSES,
    COUNT_COLUMNS,
    CREDIT,
    DEBIT,
    KIND_INDEX,
    KINDS,
    OP_IN,
    OVERLAYS,
    OVERLAYS_OF,
    PURPOSE_INDEX,
    PURPOSES,
    RET_C,
    RET_D,
    UNRATED,
)
from features.state.days import first_day_of, monday_of, month_of, week_of
from features.state.parts import COLD
from kernels.decorators import allocating_kernel

FIRST_DAY = day_of_date(date(2024, 1, 1))
ADD, CLOSE = 0, 1
STEP = np.dtype([(name, "<i8") for name in ("what", "day", "category", "overlays", "fen", "n")])
SUMS = {"IN": ("op_in", "fin_in", "cash_in", "oth_in"), "OPOUT": ("op_out", "pay", "tax")}
SUMS["OUT"] = (*SUMS["OPOUT"], "lsv", "cash_out", "oth_out")


@allocating_kernel
def take(state, steps):
    for s in steps:
        if s.what == ADD:
            buckets.add(state[0], s.day, s.category, s.overlays, s.fen, s.n)
        else:
            buckets.close_next_day(state[0])


@allocating_kernel
def read(state, unit, first, last, amounts, counts, out):
    """Fill out with the sums of a window of days, weeks (first a week, last a day) or months, column range by range."""
    e = state[0]
    for i in range(amounts.shape[0]):
        columns = (amounts[i, 0], amounts[i, 1])
        if unit == 0:
            out[i] = buckets.day_amount(e, first, last, columns)
        elif unit == 1:
            out[i] = buckets.week_amount(e, first, last, columns)
        elif unit == 2:
            out[i] = buckets.month_amount(e, first, last, columns)
        else:
            out[i] = buckets.month_amount_to(e, first, last, columns)
    for i in range(counts.shape[0]):
        columns = (counts[i, 0], counts[i, 1])
        if unit == 0:
            out[amounts.shape[0] + i] = buckets.day_count(e, first, last, columns)
        elif unit == 1:
            out[amounts.shape[0] + i] = buckets.week_count(e, first, last, columns)
        elif unit == 2:
            out[amounts.shape[0] + i] = buckets.month_count(e, first, last, columns)


@allocating_kernel
def read_at_once(state, unit, first, last, amounts, counts, out):
    """Read the same sums of single columns, all of them in one pass."""
    e = state[0]
    if unit == 0:
        buckets.day_sums(e, e.day_amount, first, last, amounts, out, np.int64(0))
        buckets.day_sums(e, e.day_count, first, last, counts, out, amounts.shape[0])
    else:
        buckets.week_sums(e, e.week_amount, e.day_amount, first, last, amounts, out, np.int64(0))
        buckets.week_sums(e, e.week_count, e.day_count, first, last, counts, out, amounts.shape[0])


class Buckets:
    """One enterprise, from Python."""

    names = (*(f"S({name})" for name in AMOUNT_COLUMNS), *(f"N({name})" for name in COUNT_COLUMNS))
    amounts = np.array(list(AMOUNT_COLUMNS.values()), np.int64)
    counts = np.array(list(COUNT_COLUMNS.values()), np.int64)

    def __init__(self, first_day=FIRST_DAY):
        self.state = layout.allocate(1)
        self.state["closed_day"] = first_day - 1

    def take(self, *steps):
        take(self.state, np.array([(*step, *[0] * (6 - len(step))) for step in steps], STEP))

    def sums(self, unit, first, last):
        out = np.zeros(len(self.names), np.int64)
        number = ("days", "weeks", "months", "months to a day").index(unit)
        read(self.state, number, first, last, self.amounts, self.counts, out)
        if unit in ("days", "weeks"):
            amounts, counts = (table[table[:, 1] == table[:, 0] + 1, 0] for table in (self.amounts, self.counts))
            single = np.full(len(amounts) + len(counts), -1, np.int64)
            read_at_once(self.state, number, first, last, amounts, counts, single)
            widths = np.concatenate([self.amounts, self.counts])
            assert single.tolist() == out[widths[:, 1] == widths[:, 0] + 1].tolist()
        return {name: int(value) for name, value in zip(self.names, out, strict=True) if value}


class Naive:
    """Every event, as (day, name of a sum, amount)."""

    def __init__(self):
        self.rows = []
        self.newest = FIRST_DAY

    def add(self, day, name, overlays, fen, n):
        self.newest = max(self.newest, day)
        narrow = [name, *(overlay for overlay in OVERLAYS if overlay in overlays)]
        names = narrow + [wide for wide, parts in SUMS.items() if name in parts]
        self.rows += [(day, f"S({each})", fen) for each in names if each != "unrated"]
        self.rows += [(day, f"N({each})", n) for each in names if each in COUNT_COLUMNS]

    def sums(self, first_day, last_day):
        total = defaultdict(int)
        for day, name, value in self.rows:
            if first_day <= day <= last_day:
                total[name] += value
        return {name: value for name, value in total.items() if value}


def months_from(month):
    return day_of_date(date(1970 + month // 12, month % 12 + 1, 1))


txns = st.tuples(
    st.just("txn"),
    st.integers(0, 12),  # days late
    st.sampled_from((CREDIT, DEBIT)),
    st.sampled_from(PURPOSES),
    st.sampled_from(KINDS),
    st.integers(-1, 10**15),  # -1: its rate is not known
)
undone = st.tuples(st.sampled_from(("returned", "reversed")), st.integers(0, 200))
strangers = st.tuples(st.just("stranger"), st.integers(0, 800))  # reverses what was never seen
days = st.tuples(st.just("days"), st.sampled_from((1, 1, 1, 2, 3, 8, 36, 70, 200)))
closes = st.tuples(st.just("close"), st.sampled_from((0, 1, 2, 6, 40, 500)))  # all due days but so many


def taxonomy(direction, purpose, kind):
    """The class and overlays by the tables of the engine, as names."""
    cell = direction, PURPOSE_INDEX[purpose], KIND_INDEX[kind]
    mask = int(OVERLAYS_OF[cell])
    return CLASSES[CLASS_OF[cell]], [name for i, name in enumerate(OVERLAYS) if mask >> i & 1]


class World:
    """Plays a script on both sides."""

    def __init__(self):
        self.engine, self.naive = Buckets(), Naive()
        self.today, self.closed = FIRST_DAY, FIRST_DAY - 1
        self.sent = []

    def add(self, day, name, overlays, fen, n):
        self.naive.add(day, name, overlays, fen, n)
        mask = sum(1 << OVERLAYS.index(overlay) for overlay in overlays)
        self.engine.take((ADD, day, CLASSES.index(name), mask, fen, n))

    def play(self, step):
        what, *rest = step
        if what == "txn":
            late, direction, purpose, kind, fen = rest
            name, overlays = taxonomy(direction, purpose, kind)
            booked = (self.today - late, name, overlays, fen) if fen >= 0 else (self.today - late, "unrated", [], 0)
            self.sent.append((*booked, direction))
            self.add(*booked, 1)
        elif what in ("returned", "reversed") and self.sent:
            day, name, overlays, fen, direction = self.sent.pop(rest[0] % len(self.sent))
            self.add(day, name, overlays, -fen, -1)
            if what == "returned":
                self.add(self.today, "ret_c" if direction == CREDIT else "ret_d", [], fen, 1)
        elif what == "stranger":
            self.add(self.today - rest[0], "op_in", ["pers_in"], -77, -1)
        elif what == "days":
            self.today += rest[0]
        elif what == "close":
            due = max(0, self.today - 1 - rest[0] - self.closed)
            self.closed += due
            self.engine.take(*[(CLOSE,)] * due)

    def judge(self):
        newest, engine, naive = self.naive.newest, self.engine, self.naive
        ends = {newest, self.today, self.closed, newest - 5, newest - 34, newest + 9}
        for last in ends:
            if last < newest - buckets.DAYS:
                continue  # what a week holds past it can no longer be told
            for first in (newest - 34, newest - 29, last - 6, last):
                if first > newest - buckets.DAYS:
                    assert engine.sums("days", first, last) == naive.sums(first, last)
            for first in (week_of_day(newest) - 26, week_of_day(newest) - 13, week_of_day(last)):
                if week_of_day(newest) - 26 <= first <= week_of_day(last):
                    assert engine.sums("weeks", first, last) == naive.sums(first * 7 - 3, last)
            for first in (month_of_day(newest) - 12, month_of_day(last)):
                if month_of_day(newest) - 13 <= first <= month_of_day(last):
                    whole = naive.sums(months_from(first), last)
                    amounts = {name: fen for name, fen in whole.items() if name in Buckets.names[: len(AMOUNT_COLUMNS)]}
                    assert engine.sums("months to a day", first, last) == amounts
        month = month_of_day(newest)
        for first, last in ((month - 13, month), (month - 12, month - 1), (month - 1, month - 1), (month, month)):
            assert engine.sums("months", first, last) == naive.sums(months_from(first), months_from(last + 1) - 1)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(txns, txns, txns, undone, strangers, days, days, closes), min_size=1, max_size=60))
def test_buckets_equal_the_naive_fold_whatever_closes_lie_between(script):
    world = World()
    for i, step in enumerate(script):
        world.play(step)
        if i % 7 == 0:
            world.judge()
    world.judge()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 33), st.integers(0, UNRATED), st.integers(0, 7), st.integers(1, 10**15))),
    st.randoms(use_true_random=False),
    st.integers(0, 33),
)
def test_order_and_closes_leave_no_trace_in_the_closed_part(rows, random, closes_between):
    """All days closed, the stored arrays are equal, not only the sums."""
    steps = [(ADD, FIRST_DAY + day, kind, mask, fen if kind != UNRATED else 0, 1) for day, kind, mask, fen in rows]
    one, other = Buckets(), Buckets()
    one.take(*steps, *[(CLOSE,)] * 34)
    mixed = [*steps, *[(CLOSE,)] * closes_between]
    random.shuffle(mixed)
    other.take(*mixed, *[(CLOSE,)] * (34 - closes_between))
    for name in {field.name for field in layout.FIELDS} - {"cold_day", "cold_first"}:
        assert np.array_equal(one.state[name], other.state[name]), name


def test_events_of_open_days_leave_weeks_and_months_alone():
    one = Buckets()
    for day in range(3):
        one.take((ADD, FIRST_DAY + day, OP_IN, 0, 500, 1))
    assert not one.state["dirty"][0] & COLD
    assert not one.state["week_amount"].any()
    assert one.sums("weeks", week_of_day(FIRST_DAY), FIRST_DAY + 2)["S(op_in)"] == 1_500
    one.take((CLOSE,))
    assert one.state["dirty"][0] & COLD
    assert int(one.state["week_amount"].sum()) == 500
    one.state["dirty"] = 0
    one.take((CLOSE,), (CLOSE,), (CLOSE,), (CLOSE,))
    one.state["dirty"] = 0
    one.take((CLOSE,))  # a day of silence
    assert not one.state["dirty"][0] & COLD
    one.take((ADD, FIRST_DAY + 1, OP_IN, 0, 7, 1))
    assert one.state["dirty"][0] & COLD, "an event of a closed day"


def test_a_silent_enterprise_reads_as_zero_without_rolling():
    one = Buckets()
    one.take((ADD, FIRST_DAY, OP_IN, 0, 500, 1))
    later = FIRST_DAY + buckets.DAYS  # the same position of the ring
    assert one.sums("days", later - 29, later) == {}


def test_an_event_older_than_every_ring_is_ignored():
    one = Buckets()
    one.take((ADD, FIRST_DAY, OP_IN, 0, 500, 1), (CLOSE,))
    before = one.state.copy()
    one.take((ADD, FIRST_DAY - 500, OP_IN, 0, -500, -1))
    for name in {field.name for field in layout.FIELDS} - {"cold_day", "cold_first"}:
        assert np.array_equal(one.state[name], before[name]), name


@pytest.mark.parametrize("category", [OP_IN, RET_D, RET_C])
def test_a_bucket_saturates_before_a_window_could_overflow(category):
    one = Buckets()
    for _ in range(30):
        one.take((ADD, FIRST_DAY, category, 0, 10**15, 1))
    assert one.sums("days", FIRST_DAY, FIRST_DAY)[f"S({CLASSES[category]})"] == buckets.FEN_MAX
    one.take((ADD, FIRST_DAY, category, 0, -(10**18), -1))
    assert one.sums("days", FIRST_DAY, FIRST_DAY)[f"S({CLASSES[category]})"] == -buckets.FEN_MAX
    widest = max(end - begin for begin, end in AMOUNT_COLUMNS.values())
    assert buckets.FEN_MAX * (buckets.WEEKS + buckets.DAYS) * widest < 2**63


def test_compiled_calendar_equals_the_standard_library():
    for day in range(day_of_date(date(1990, 1, 1)), day_of_date(date(2045, 1, 1))):
        month = month_of_day(day)
        assert month_of(day) == month, date_of(day)
        assert first_day_of(month) == months_from(month), date_of(day)
        assert week_of(day) == week_of_day(day), date_of(day)
        monday = date_of(day) - timedelta(days=date_of(day).weekday())
        assert date_of(monday_of(week_of_day(day))) == monday


@pytest.mark.parametrize(
    ("direction", "purpose", "kind", "expected", "overlays"),
    [
        (CREDIT, "sales", "corporate", "op_in", []),
        (CREDIT, "sales", "personal", "op_in", ["pers_in"]),
        (CREDIT, None, "corporate", "op_in", []),
        (CREDIT, None, None, "oth_in", []),
        (CREDIT, "loan_disbursement", "financial", "fin_in", []),
        (CREDIT, "other", "financial", "fin_in", []),
        (CREDIT, "bill_discount", "financial", "op_in", []),
        (CREDIT, "cash", None, "cash_in", []),
        (CREDIT, "refund", "corporate", "oth_in", []),
        (CREDIT, "wealth", "financial", "own_in", []),
        (CREDIT, "own_transfer", "personal", "own_in", []),
        (DEBIT, "own_transfer", "internal", "own_out", []),
        (DEBIT, "wealth", "personal", "own_out", []),
        (DEBIT, "loan_repayment", "financial", "lsv", []),
        (DEBIT, "interest", "financial", "lsv", []),
        (DEBIT, "payroll", "personal", "pay", []),
        (DEBIT, "social_security", "government", "tax", []),
        (DEBIT, "purchase", "personal", "op_out", ["pers_out"]),
        (DEBIT, None, "personal", "oth_out", ["pers_out", "nonprod_out"]),
        (DEBIT, "other", "personal", "oth_out", ["pers_out", "nonprod_out"]),
        (DEBIT, "cash", "personal", "cash_out", ["pers_out", "nonprod_out"]),
        (DEBIT, "cash", None, "cash_out", ["nonprod_out"]),
        (DEBIT, None, "corporate", "op_out", []),
        (DEBIT, "investment", "corporate", "oth_out", ["nonprod_out"]),
    ],
)
def test_class_and_overlays_of_a_transaction(direction, purpose, kind, expected, overlays):
    assert taxonomy(direction, purpose, kind) == (expected, overlays)


def test_every_class_counts_where_the_catalogue_says():
    """N(IN), N(OUT) and N(OPOUT) count the events that S sums; own transfers are in none of them."""
    for category, name in enumerate(CLASSES):
        one = Buckets()
        one.take((ADD, FIRST_DAY, category, 0, 0, 1))
        counted = {text[2:-1] for text in one.sums("days", FIRST_DAY, FIRST_DAY)}
        expected = {wide for wide, parts in SUMS.items() if name in parts} | {name} & COUNT_COLUMNS.keys()
        assert counted == expected, name
