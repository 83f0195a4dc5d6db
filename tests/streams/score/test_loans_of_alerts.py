"""The facts of its own loans that a lender gets with an alert, as of the alert."""

import msgspec
import pytest

from domain import topics
from domain.calendar import date_of
from domain.events import Instalment
from domain.outputs import Alert, LoanOfAlert
from streams.score.partition import Partition
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    OTHER_BANK,
    applied,
    authorization,
    loan,
    no_model,
    partition_on,
    record,
    state_of,
    tick,
    txn,
)

pytestmark = pytest.mark.usefixtures("immediate")


def date(day):
    return date_of(FIRST_DAY + day).isoformat()


def events():
    """Two lenders: one reports everything, of two loans, and the other nothing that it need not."""
    due = tuple(Instalment(due_on=date(day), due_minor=day) for day in (20, 50, 80))
    return [
        authorization("a", "E1"), authorization("b", "E1", to=OTHER_BANK),
        loan("g1", "E1", 0, loan_id="L1", due_on=date(400), schedule=due, five_class="正常", guarantee_type="抵押"),
        loan("g2", "E1", 0, loan_id="L2", revolving=True, limit_minor=3 * 10**8, outstanding_minor=10**8),
        loan("g3", "E1", 0, loan_id="X", bank_id=OTHER_BANK),
        *(event for day in range(40) for event in (txn(f"t{day}", "E1", day, 9), tick(day))),
        loan("o", "E1", 40, "overdue", loan_id="L1", dpd=3, due_on=date(20)), tick(40),
        loan("c", "E1", 41, "classified", loan_id="L1", dpd=9, five_class="关注"), tick(41),
        loan("i", "E1", 42, "extended", loan_id="L1", dpd=31, due_on=date(500)), tick(42),
        loan("x", "E1", 43, "overdue", loan_id="X", bank_id=OTHER_BANK, dpd=5),
    ]  # fmt: skip


def arrears(messages, bank_id=BANK):
    told = [msgspec.json.decode(m.value, type=Alert) for m in messages if m.topic == topics.bank_alerts(bank_id)]
    return [alert for alert in told if alert.signal == "EWS35_arrears" and alert.offset >= 0]


def test_each_alert_has_what_the_lender_had_reported_by_then():
    first, second, third = arrears(applied(Partition(0, no_model), [record(e) for e in events()], 1_000))
    assert first.loans == [
        LoanOfAlert(
            loan_id="L1", outstanding_minor=10**8, dpd=3, due_on=date(400), next_due_on=date(50), next_due_minor=50,
            five_class="正常", guarantee_type="抵押",
        ),
        LoanOfAlert(loan_id="L2", outstanding_minor=10**8, dpd=0, undrawn_minor=2 * 10**8),
    ]  # fmt: skip
    assert (second.loans[0].five_class, second.loans[0].guarantee_type) == ("关注", "抵押"), "what it said stays"
    assert second.loans[0].due_on == date(400), "the due day of an instalment is no maturity"
    assert (third.loans[0].due_on, third.loans[0].five_class) == (date(500), "关注")


def test_the_other_lender_gets_its_own_loan_and_what_is_not_reported_is_absent():
    messages = list(applied(Partition(0, no_model), [record(e) for e in events()], 1_000))
    (told,) = arrears(messages, OTHER_BANK)
    assert told.loans == [LoanOfAlert(loan_id="X", outstanding_minor=10**8, dpd=5)]
    of_topic = [m.value for m in messages if m.topic == topics.bank_alerts(OTHER_BANK)]
    assert all(b"undrawn" not in value and "抵押".encode() not in value for value in of_topic)


def test_batches_and_restarts_change_none_of_it():
    rows = [record(e) for e in events()]
    whole = [alert.loans for alert in arrears(applied(Partition(0, no_model), rows, 1_000))]
    assert [alert.loans for alert in arrears(applied(Partition(0, no_model), rows, 1))] == whole
    cut = len(rows) - 5
    before = Partition(0, no_model)
    said = list(applied(before, rows[:cut], 7))
    said += applied(partition_on(state_of(before), before.saved), rows, 3, first=cut)
    assert [alert.loans for alert in arrears(said)] == whole
