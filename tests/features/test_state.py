"""Laws of the state's structures, each held against a naive fold over raw events."""

import pytest

from features import layout
from features.state import decay, loans
from features.state.loan_table import NO_SLOT


def test_decay_halves_in_ninety_days():
    assert decay.growth(90) == 2.0
    assert decay.growth(0) == 1.0
    assert decay.growth(-90) == 0.5
    assert decay.growth(45) == pytest.approx(2**0.5)


def test_a_bank_with_neither_flow_nor_loan_gives_its_slot_to_one_that_has():
    row = layout.allocate(1)[0]
    for code in range(1, loans.BANK_SLOTS + 1):
        slot = loans.bank_slot(row, code, loans.HAS_FLOW)
        loans.authorize(row, slot, 1, 0, 100, False)
        row["bank_flow"][slot] = 1.0 if code != 3 else 0.0
    row["newest_ms"] = 200  # consent is over
    assert loans.bank_slot(row, 77, loans.HAS_FLOW) == 2
    assert not loans.is_authorized(row, 2, 50)
    row["bank_flow"][2] = 1.0
    assert loans.bank_slot(row, 78, loans.HAS_FLOW) == NO_SLOT


def test_a_lender_goes_before_consent_and_consent_before_the_smallest_flow():
    row = layout.allocate(1)[0]
    for code in range(1, loans.BANK_SLOTS + 1):
        row["bank_flow"][loans.bank_slot(row, code, loans.HAS_FLOW)] = 10.0 - code
    row["newest_ms"] = 50
    for code in range(11, 11 + loans.BANK_SLOTS):
        slot = loans.bank_slot(row, code, loans.HAS_CONSENT)
        assert slot == 18 - code  # the one with the smallest flow first
        loans.authorize(row, slot, 1, 0, 100, False)
    assert loans.bank_slot(row, 19, loans.HAS_CONSENT) == loans.bank_slot(row, 19, loans.HAS_FLOW) == NO_SLOT
    for code in range(21, 21 + loans.BANK_SLOTS):
        slot = loans.bank_slot(row, code, loans.LENDS)
        assert not loans.is_authorized(row, slot, 50)
        row["loan_bank"][slot], row["loan_open"][slot] = slot, 1
    assert loans.bank_slot(row, 29, loans.LENDS) == NO_SLOT
    assert sorted(row["bank"].tolist()) == list(range(21, 29))


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
