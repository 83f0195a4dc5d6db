"""The law of the places: up to sixteen open loans are what a list of all of them says, and each lender has a place."""

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import day_start_ms
from features import layout
from features.state import instalments, loans
from features.state.loan_table import LOAN_PLACES, LOAN_SLOTS
from features.state.record_columns import LINE, LOAN, LOAN_CLOSED, LOAN_FACT, RECORD
from features.state.transitions import apply_change
from kernels.decorators import allocating_kernel

FIRST_DAY = 19_800
EVERY_BANK = int(instalments.EVERY_BANK)


@allocating_kernel
def take(state, records, i, day, lines):
    apply_change(state[0], records[i], day, lines)


@allocating_kernel
def read(state, day, bank):
    """Return (open loans, days past due, banks at risk, next due day, fen due on it) of a bank or of all."""
    e = state[0]
    return (
        loans.open_count(e, bank), loans.dpd_max(e, bank), loans.lender_count(e, bank),
        *instalments.next_due(e, day, bank),
    )  # fmt: skip


@allocating_kernel
def shown(state, bank):
    """Return (open loans in the slots, their fen, open loans beside them, their fen) of a bank."""
    e, count, fen = state[0], 0, 0
    for i in range(LOAN_SLOTS):
        if e.loan_open[i] and e.loan_bank[i] == bank:
            count, fen = count + 1, fen + e.loan_outstanding[i]
    more, more_fen, _ = loans.beside(e, bank)
    return count, fen, more, more_fen


def facts(banks, loans_of_each):
    """Facts (bank, loan, whether it closes the loan, days past due, fen outstanding, limit, day due), one a day."""
    fact = st.tuples(
        st.integers(1, banks), st.integers(0, loans_of_each - 1), st.sampled_from((False, False, False, True)),
        st.sampled_from((0, 0, 3, 40)), st.sampled_from((0, 10, 10**6)), st.sampled_from((0, 0, 500)),
        st.integers(200, 220),
    )  # fmt: skip
    return st.lists(fact, min_size=1, max_size=80)


class Log:
    """The facts as records, each with a schedule of one line, applied one after another; and a list of all loans."""

    def __init__(self, rows):
        self.state, self.rows, self.open = layout.allocate(1), rows, {}
        self.records, self.lines = np.zeros(len(rows), RECORD), np.zeros(len(rows), LINE)
        for i, (bank, name, ends, dpd, fen, limit, due) in enumerate(rows):
            cells = {
                "kind": LOAN, "event": LOAN_CLOSED if ends else LOAN_FACT, "seen": 1, "bank": bank, "limit": limit,
                "event_ms": day_start_ms(FIRST_DAY + i), "loan": layout.id_words(f"L{name}"), "outstanding": fen,
                "dpd": dpd, "line_first": i, "line_count": 0 if ends else 1,
            }  # fmt: skip
            if i % 2 == 0 or (bank, name) not in {row[:2] for row in rows[:i]}:
                cells |= self.reported(bank, name)
            for cell, value in cells.items():
                self.records[cell][i] = value
            self.lines[i] = FIRST_DAY + due, 100 + bank

    @staticmethod
    def reported(bank, name):
        """Return the cells that a lender does not send with each fact; one that lost its place has none."""
        return {"matures_day": 30_000 + 10 * bank + name, "five_class": 1 + name % 5, "guarantee": 1 + bank % 4}

    def check_that_reports_stand_with_their_loans(self):
        e = self.state[0]
        for i in np.flatnonzero(e["loan_open"][:LOAN_SLOTS]):
            bank, name = int(e["bank"][e["loan_bank"][i]]), int(layout.id_text(e["loan"][i])[1:])
            said = e["loan_due_day"][i], e["loan_class"][i], e["loan_guarantee"][i]
            assert said in (tuple(self.reported(bank, name).values()), (0, 0, 0)), "another loan's"

    def steps(self):
        """Apply each fact; yield its bank and whether it leaves its loan open."""
        for i, (bank, name, ends, dpd, fen, limit, due) in enumerate(self.rows):
            take(self.state, self.records, i, FIRST_DAY + i, self.lines)
            if ends:
                self.open.pop((bank, name), None)
            else:
                self.open[bank, name] = dpd, fen, limit, FIRST_DAY + due, 100 + bank
            self.check_that_reports_stand_with_their_loans()
            yield bank, not ends

    def slot(self, bank):
        return self.state["bank"][0].tolist().index(bank)

    def naive(self, banks):
        of = {key: loan for key, loan in self.open.items() if key[0] in banks}
        due = defaultdict(int)
        for _, _, _, day, fen in of.values():
            due[day] += fen
        first = min(due, default=None)
        return (
            len(of), max((dpd for dpd, *_ in of.values()), default=-1),
            len({bank for (bank, _), (_, fen, limit, _, _) in of.items() if max(fen, limit) > 0}),
            *((instalments.NOTHING_DUE, 0) if first is None else (first, due[first])),
        )  # fmt: skip


@settings(max_examples=150)
@given(facts(8, 5))
def test_up_to_sixteen_open_loans_are_what_a_list_of_all_says(rows):
    log, banks, most = Log(rows), {row[0] for row in rows}, 0
    for bank, _ in log.steps():
        most = max(most, len(log.open))
        if most > LOAN_PLACES:
            return
        assert log.state["loan_overflow"][0] == 0
        assert read(log.state, FIRST_DAY, EVERY_BANK) == log.naive(banks)
        assert read(log.state, FIRST_DAY, log.slot(bank)) == log.naive({bank})
        count, fen, more, more_fen = shown(log.state, log.slot(bank))
        own = [loan for key, loan in log.open.items() if key[0] == bank]
        assert (count + more, fen + more_fen) == (len(own), sum(loan[1] for loan in own))


@settings(max_examples=150)
@given(facts(8, 40))
def test_a_fact_leaves_its_lender_a_slot_and_no_other_lender_without_a_place(rows):
    log, lends = Log(rows), set()
    for bank, is_open in log.steps():
        now = {b for b in log.state["bank"][0].tolist() if b and loans.lends(log.state[0], log.slot(b))}
        assert lends - {bank} <= now
        if is_open:
            assert shown(log.state, log.slot(bank))[0] >= 1
        lends = now
    assert log.state["loan_overflow"][0] > 0 or len(log.open) <= LOAN_PLACES


def test_the_richest_bank_loses_its_least_important_loan_and_the_loss_is_counted():
    """One bank has sixteen loans, of 0 to 15 days past due; a second one brings four of its own."""
    rows = [(1, i, False, i, 10, 0, 200) for i in range(LOAN_PLACES)]
    log = Log([*rows, *((2, i, False, 0, 10, 0, 200) for i in range(4))])
    list(log.steps())
    e = log.state[0]
    assert read(log.state, FIRST_DAY, log.slot(1))[:2] == (12, 15)
    assert read(log.state, FIRST_DAY, log.slot(2))[:2] == (4, 0)
    assert (int(e["loan_overflow"]), int(e["arrears_overflow_dpd"])) == (4, 3)
    assert int(e["loan_overflow_day"]) == FIRST_DAY + 19
    known = sorted((e["loan_dpd"] + e["loan_dpd_more"])[e["loan_bank"] == log.slot(1)].tolist())
    assert known == list(range(4, 16))


def test_a_closed_loan_moves_no_other_and_a_late_fact_does_not_open_it_again():
    rows = [(1, i, False, 0, 10, 0, 200) for i in range(LOAN_PLACES)]
    log = Log([*rows, (1, 12, True, 0, 0, 0, 200), (1, 99, True, 0, 0, 0, 200), (1, 12, False, 9, 10, 0, 200)])
    log.records["event_ms"][-1] = day_start_ms(FIRST_DAY + 12)  # the last one is older than the one that closes it
    list(log.steps())
    assert read(log.state, FIRST_DAY, log.slot(1))[:2] == (LOAN_PLACES - 1, 0)
    assert log.state["loan_overflow"][0] == 0
