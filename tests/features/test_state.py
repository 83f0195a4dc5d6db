"""Laws of the state's structures, each held against a naive fold over raw events."""

import pytest

from features import layout
from features.state import decay, loans


def test_decay_halves_in_ninety_days():
    assert decay.growth(90) == 2.0
    assert decay.growth(0) == 1.0
    assert decay.growth(-90) == 0.5
    assert decay.growth(45) == pytest.approx(2**0.5)


def take_loan(row, name, lender):
    slot = loans.loan_slot(row["loan"], row["loan_bank"], row["loan_open"], layout.id_words(name), lender)
    if slot != loans.NO_SLOT:
        row["loan"][slot], row["loan_bank"][slot], row["loan_open"][slot] = layout.id_words(name), lender, 1
    return slot


def test_loans_keep_to_their_lender_and_a_closed_place_is_used_again():
    row = layout.allocate(1)[0]
    assert [loans.bank_slot(row, 11), loans.bank_slot(row, 22), loans.bank_slot(row, 11)] == [0, 1, 0]
    assert [take_loan(row, f"L{i}", 0) for i in range(loans.LOAN_SLOTS)] == list(range(loans.LOAN_SLOTS))
    assert take_loan(row, "L1", 0) == 1
    assert take_loan(row, "L1", 1) == loans.NO_SLOT
    row["loan_open"][5] = 0
    assert take_loan(row, "L1", 1) == 5


def test_a_bank_with_neither_flow_nor_loan_gives_its_slot_to_one_that_has():
    row = layout.allocate(1)[0]
    for code in range(1, loans.BANK_SLOTS + 1):
        slot = loans.bank_slot(row, code)
        loans.authorize(row, slot, 1, 0, 100, False)
        row["bank_flow"][slot] = 1.0 if code != 3 else 0.0
    assert loans.bank_slot(row, 77) == 2
    assert not loans.is_authorized(row, 2, 50)
    row["bank_flow"][2] = 1.0
    assert loans.bank_slot(row, 78) == loans.NO_SLOT


def test_consent_merges_waits_for_its_time_and_ends_with_the_newest_event():
    row = layout.allocate(1)[0]
    loans.authorize(row, 0, 1, 10, 20, False)
    loans.authorize(row, 0, 2, 15, 30, False)  # they meet
    loans.authorize(row, 0, 3, 50, 60, False)  # a later stretch leaves the first alone
    allowed = {t for t in range(70) if loans.is_authorized(row, 0, t)}
    assert allowed == {*range(10, 30), *range(50, 60)}
    loans.authorize(row, 0, 55, 0, 0, True)
    loans.authorize(row, 0, 40, 0, 99, False)  # an older grant that comes late
    assert {t for t in range(99) if loans.is_authorized(row, 0, t)} == {*range(10, 30), *range(50, 55)}
