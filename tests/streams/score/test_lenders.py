"""The place, the consent and the alerts that one bank's loans and flows leave to the other lenders of an enterprise."""

import msgspec
import pytest

from detectors.prior import prior_snapshot
from domain import topics
from domain.calendar import day_start_ms
from domain.events import Gov
from domain.outputs import Alert, LoansMore, Score
from features.indicators import SLOT
from features.indicators.nulls import NOT_APPLICABLE, NOT_REPORTED, VALUE
from streams.score.explain import explain
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    OTHER_BANK,
    applied,
    authorization,
    immediate_rules,
    loan,
    no_model,
    record,
    said,
    state_of,
    tick,
    txn,
)

pytestmark = pytest.mark.usefixtures("immediate")

ARREARS = "EWS35_arrears"


def run(events):
    partition = Partition(0, no_model)
    return partition, list(applied(partition, [record(event) for event in events], 1_000))


def told(messages, bank_id, signal=ARREARS):
    """Return the alerts of a signal to a bank, its own and the notices of others."""
    sent = [msgspec.json.decode(m.value, type=Alert) for m in messages if m.topic == topics.bank_alerts(bank_id)]
    return [alert for alert in sent if alert.signal == signal]


def latest(partition, name):
    """Return (value, null code) of an indicator as last read."""
    x = partition._book.draft[0]
    return float(x["value"][SLOT[name]]), int(x["null"][SLOT[name]])


def consent(day, to):
    event_ms = day_start_ms(FIRST_DAY + day) + 9
    return msgspec.structs.replace(authorization(f"c{day}{to}", "E1", to=to), event_time=event_ms)


def trade(first, last, bank_id=BANK):
    for day in range(first, last):
        yield txn(f"s{day}", "E1", day, 5, 10**6, bank_id=bank_id)
        yield tick(day)


def borrowed(count, day=0, bank_id=BANK, **fields):
    return [loan(f"l{bank_id}{i}", "E1", day, loan_id=f"L{i}", bank_id=bank_id, **fields) for i in range(count)]


def overdue(day, dpd, loan_id, bank_id):
    return loan(f"o{day}{loan_id}{bank_id}", "E1", day, "overdue", dpd=dpd, loan_id=loan_id, bank_id=bank_id)


@pytest.mark.parametrize("loans_before", [1, 8, 40])
def test_the_open_loans_of_one_bank_leave_the_next_lender_its_alert(loans_before):
    events = [
        *borrowed(loans_before),
        *trade(0, 30),
        consent(30, OTHER_BANK),
        *borrowed(1, 30, OTHER_BANK),
        *trade(30, 40),
        overdue(40, 40, "L0", OTHER_BANK),
        *trade(40, 42),
    ]
    _, messages = run(events)
    (alert,) = told(messages, OTHER_BANK)
    assert (alert.state, alert.banks) == ("raised", [OTHER_BANK])
    assert [(each.loan_id, each.dpd) for each in alert.loans] == [("L0", 40)]


def test_eight_banks_that_only_move_money_leave_a_lender_its_consent_and_its_alert():
    movers = [f"C10{i}0211000012" for i in range(8)]
    events = [txn(f"m{bank}", "E1", 0, 5, 10**6, bank_id=bank) for bank in movers]
    events += [consent(1, OTHER_BANK), *borrowed(1, 2, OTHER_BANK), *trade(2, 10, movers[0])]
    events += [overdue(10, 40, "L0", OTHER_BANK), *trade(10, 12, movers[0])]
    _, messages = run(events)
    (alert,) = told(messages, OTHER_BANK)
    assert [each.loan_id for each in alert.loans] == ["L0"]


def test_the_first_notice_that_a_bank_gets_is_its_first_whatever_was_before_its_consent():
    """Arrears at another bank have come and gone, and come again: the number of the notice tells nothing of it."""
    events = [*borrowed(1), *borrowed(1, 0, OTHER_BANK), *trade(0, 10), overdue(10, 3, "L0", BANK), *trade(10, 12)]
    events += [
        loan("p", "E1", 12, "repaid", loan_id="L0", dpd=0),
        *trade(12, 60),
        overdue(60, 3, "L0", BANK),
        *trade(60, 62),
    ]
    _, messages = run([*events, consent(62, OTHER_BANK), *trade(62, 64)])
    assert [(one.revision, one.state, one.stock) for one in told(messages, OTHER_BANK)] == [(1, "raised", True)]


def test_twelve_loans_of_one_bank_are_all_counted_and_the_alert_says_how_many_it_lists():
    """Loans beside the slots are past due, run on, and fall due as the others; when they close, nothing is left."""
    arrears = [overdue(40, 5 + i, f"L{i}", BANK) for i in range(12)]
    closed = [loan(f"x{i}", "E1", 45, "closed", loan_id=f"L{i}", outstanding_minor=0, dpd=0) for i in range(12)]
    partition, messages = run([consent(0, BANK), *borrowed(12), *trade(0, 40), *arrears[::-1], *trade(40, 45)])
    last = told(messages, BANK)[-1]
    assert (len(last.loans), last.loans_more.count, last.loans_more.outstanding_minor) == (8, 4, 4 * 10**8)
    assert "共12笔，列出8笔" in last.text_zh
    value, null = latest(partition, "dpd_max_days")
    assert (value, null) == (16 + 4, VALUE)  # five days were closed since, each with a receipt
    assert latest(partition, "active_lenders_count") == (1, VALUE)
    rest = [record(event) for event in (*closed, *trade(45, 50))]
    messages = list(said(partition, chunk_of("events.v1", 0, 10_000, rest)))
    assert latest(partition, "dpd_max_days")[1] == NOT_APPLICABLE
    assert latest(partition, "active_lenders_count") == (0, VALUE)
    assert partition.state["loan_overflow"][0] == 0


def test_a_ninth_lender_makes_lenders_unknown_until_nothing_was_heard_of_it_for_ninety_days():
    banks = [f"C10{i}0211000012" for i in range(8)]
    nine = [*(borrowed(1, 0, bank)[0] for bank in banks), *borrowed(1, 0, OTHER_BANK)]
    partition, _ = run([*nine, *trade(0, 89, banks[0])])
    assert latest(partition, "active_lenders_count")[1] == NOT_REPORTED
    assert latest(partition, "dpd_max_days") == (0, VALUE)  # it reported none
    assert (partition.state["loan_overflow"][0], partition.state["lender_overflow_day"][0]) == (1, FIRST_DAY)
    list(said(partition, chunk_of("events.v1", 0, 10_000, [record(event) for event in trade(89, 91, banks[0])])))
    assert latest(partition, "active_lenders_count") == (8, VALUE)


@pytest.mark.parametrize(("reported", "known"), [(95, True), (0, False)])
def test_a_loan_past_due_without_a_place_hides_no_longer_arrears_of_another(reported, known):
    """A ninth lender reports 40 days past due: the longest arrears are known where a bank with a place has more."""
    banks = [f"C10{i}0211000012" for i in range(8)]
    lent = [*(borrowed(1, 0, bank, dpd=0)[0] for bank in banks), overdue(1, 40, "L0", OTHER_BANK)]
    partition, messages = run([*lent, *trade(0, 3, banks[0]), overdue(3, reported, "L0", banks[0])])
    assert latest(partition, "dpd_max_days")[1] == (VALUE if known else NOT_REPORTED)
    scores = [msgspec.json.decode(m.value, type=Score) for m in messages if m.topic == topics.SCORE]
    assert (scores[-1].score <= 449) == known


def test_a_lender_whose_last_loan_in_a_slot_is_closed_is_told_of_what_it_has_beside():
    events = [
        consent(0, BANK), consent(0, OTHER_BANK), *borrowed(7), *borrowed(2, 0, OTHER_BANK), *trade(0, 30),
        loan("x", "E1", 30, "closed", loan_id="L0", bank_id=OTHER_BANK, outstanding_minor=0),
        Gov(event_id="g", bank_id=GATEWAY, enterprise_id="E1", source="court", event="penalty", adverse=True,
            event_time=day_start_ms(FIRST_DAY + 30) + 7),
    ]  # fmt: skip
    _, messages = run(events)
    (alert,) = told(messages, OTHER_BANK, "EWS48_adverse_gov_event")
    assert (alert.state, alert.loans, alert.loans_more) == (
        "raised",
        [],
        LoansMore(count=1, outstanding_minor=10**8, dpd=0),
    )
    (other,) = told(messages, BANK, "EWS48_adverse_gov_event")
    assert (len(other.loans), other.loans_more) == (7, msgspec.UNSET)


def test_the_explanation_shows_every_loan_that_is_held_and_counts_the_others():
    partition, _ = run([*borrowed(20), *trade(0, 2)])
    found = explain("E1", state_of(partition)["E1"], partition.saved, prior_snapshot(), immediate_rules())
    assert sorted(each.loan_id or "" for each in found.loans) == [*[""] * 8, *(f"L{i}" for i in range(8))]
    assert (found.loan_overflow, found.loan_overflow_day) == (4, FIRST_DAY)
