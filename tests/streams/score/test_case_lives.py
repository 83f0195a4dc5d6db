"""A bank's case in the log: opened by an alert, moved by actions and closes, held by a disposition, replayed."""

import dataclasses
from unittest import mock

import msgspec
import pytest

from config.case_table import packaged_case_table
from detectors.case_life import working_day_after
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.events import CaseAction, Gov
from domain.outputs import Alert, CaseRecord, DeadLetter, Observation
from features.indicators.days import is_business_day
from streams.score import partition
from streams.score import rows as score_rows
from streams.score.outbook import OUTPUTS_PER_EVALUATION_MAX
from streams.score.partition import Partition
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    OTHER_BANK,
    applied,
    authorization,
    by_topic,
    claiming_rules,
    flush,
    immediate_rules,
    loan,
    no_model,
    partition_on,
    record,
    tick,
    txn,
)


@pytest.fixture(autouse=True, scope="module")
def immediate_with_deadlines():
    """Partitions follow the immediate rules of the kit, with the packaged deadlines."""
    rules = dataclasses.replace(immediate_rules(), case=packaged_case_table().table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "packaged_rules", lambda: rules)
        yield


ANN, BEN = "ann-token", "ben-token"
PENALTY = "EWS48_adverse_gov_event"
CASES = topics.bank_cases(BANK)


class Desk:
    """A log that grows, with its messages so far."""

    def __init__(self):
        self.partition, self.records, self.messages = Partition(0, no_model), [], []

    def send(self, *events):
        first = len(self.records)
        self.records += [record(event) for event in events]
        self.messages += applied(self.partition, self.records, 1_000, first)

    def cases(self, topic=CASES):
        return [msgspec.json.decode(m.value, type=CaseRecord) for m in self.messages if m.topic == topic]

    def alerts(self):
        return [m for m in self.messages if m.topic == topics.bank_alerts(BANK)]

    def letters(self):
        found = [msgspec.json.decode(m.value, type=DeadLetter) for m in self.messages if m.topic == topics.DEAD_LETTERS]
        return [(letter.reason, letter.field) for letter in found]

    def act(self, action, actor=ANN, *, case_id=None, bank_id=BANK, enterprise="E1", day=11, name=None, **fields):
        case_id = case_id or self.cases()[-1].case_id
        name = name or f"{action}{len(self.records)}"
        self.send(
            CaseAction(
                event_id=name,
                bank_id=bank_id,
                enterprise_id=enterprise,
                event_time=day_start_ms(FIRST_DAY + day) + 1,
                case_id=case_id,
                action=action,
                actor=actor,
                **fields,
            )
        )

    def days(self, first, last):
        for day in range(first, last):
            self.send(txn(f"s{day}", "E1", day, 5, 10**6), tick(day))

    def dispose(self, disposition, *, until=None):
        fields = {} if until is None else {"until": date_of(FIRST_DAY + until).isoformat()}
        for step in ("sign", "begin"):
            self.act(step)
        self.act("submit", disposition=disposition, **fields)
        self.act("approve", BEN)

    def told(self):
        return [msgspec.json.decode(m.value, type=Alert) for m in self.alerts()]

    def penalty(self, day, event="penalty"):
        event_time = day_start_ms(FIRST_DAY + day)
        self.send(
            Gov(event_id="p", bank_id=GATEWAY, enterprise_id="E1", event_time=event_time, event=event, source="s")
        )

    def overdue(self, day, dpd, event="overdue"):
        self.send(loan(f"o{day}", "E1", day, event, dpd=dpd))


@pytest.fixture
def desk():
    desk = Desk()
    desk.send(authorization("a", "E1"), authorization("b", "E1", OTHER_BANK), loan("l", "E1", 0))
    desk.days(0, 10)
    desk.overdue(10, 35)
    return desk


def test_a_case_opens_with_its_first_alert_and_lives_until_another_one_approves(desk):
    (opened,) = desk.cases()
    told = msgspec.json.decode(desk.alerts()[-1].value, type=Alert)
    assert (opened.state, opened.change, opened.severity) == ("awaiting", "opened", "red")
    assert opened.case_id == told.case_id
    assert opened.exposure_minor == 10**8
    assert opened.due == opened.contact_due < opened.visit_due
    desk.act("sign")
    desk.act("begin")
    desk.act("submit", disposition="confirmed", measure="追加担保", remark="已上门")
    desk.act("approve", ANN)
    desk.act("approve", BEN)
    found = desk.cases()[1:]
    assert [(one.state, one.change) for one in found] == [
        ("signed", "signed"), ("checking", "begun"), ("in_review", "submitted"), ("disposed", "approved"),
    ]  # fmt: skip
    assert [one.disposition for one in found] == [None, None, "confirmed", "confirmed"]
    assert (found[2].measure, found[2].remark) == ("追加担保", "已上门")
    assert found[3].checker not in (None, found[3].maker)
    assert found[3].due is None
    assert desk.letters() == [("case_by_maker", "actor")]
    of_all = desk.cases(topics.CASE_SUPERVISOR)
    assert [msgspec.structs.replace(one, seq=0) for one in of_all] == [
        msgspec.structs.replace(one, seq=0) for one in desk.cases()
    ]
    for records in (of_all, desk.cases()):
        places = [(one.offset, one.seq) for one in records]
        assert places == sorted(set(places))


def test_what_is_refused_is_a_dead_letter_with_its_reason_and_is_counted(desk):
    case_id = desk.cases()[-1].case_id
    desk.partition.take_tally()
    desk.act("sign", case_id="0" * 16)
    desk.act("sign", enterprise="E-unknown")
    desk.act("sign", bank_id=OTHER_BANK)
    desk.act("begin")
    for step in ("sign", "begin"):
        desk.act(step)
    desk.act("submit", disposition="false_alarm")
    desk.act("approve", BEN)
    desk.act("sign", case_id=case_id)
    assert desk.cases()[-1].state == "false_alarm"
    reasons = ["case_unknown", "case_unknown", "case_foreign", "case_out_of_order", "case_finished"]
    assert [reason for reason, _ in desk.letters()] == reasons
    outcomes = desk.partition.take_tally().outcomes
    assert outcomes == {
        ("applied", ""): 4, ("dead_lettered", "case_unknown"): 2, ("dead_lettered", "case_foreign"): 1,
        ("dead_lettered", "case_out_of_order"): 1, ("dead_lettered", "case_finished"): 1,
    }  # fmt: skip


def test_an_action_counts_once_however_old_it_is_and_moves_no_clock_of_the_enterprise(desk):
    clock = int(desk.partition.state["newest_ms"][0])
    desk.act("sign", day=-300, name="once")
    desk.act("sign", day=-300, name="once")
    assert [one.change for one in desk.cases()] == ["opened", "signed"]
    assert desk.letters() == []
    desk.act("begin", day=900)
    assert int(desk.partition.state["newest_ms"][0]) == clock
    desk.days(11, 13)
    assert desk.partition.state["late_count"][0] == 0


def test_a_disposition_keeps_alerts_from_its_bank_until_its_day_and_then_lists_what_is_open(desk):
    desk.dispose("known", until=20)
    told = len(desk.alerts())
    desk.days(11, 20)
    assert len(desk.alerts()) == told
    desk.days(20, 22)
    last = desk.cases()[-1]
    assert (last.state, last.change, last.severity, last.until) == ("awaiting", "resumed", "red", None)
    assert last.case_id == desk.cases()[0].case_id
    assert last.opened_at > desk.cases()[0].opened_at
    assert [(one.signal, one.stock) for one in desk.told()[told:]] == [("EWS35_arrears", True)]


@pytest.mark.parametrize("until", [20, None])
def test_another_finding_comes_through_a_disposition_and_brings_the_case_back(desk, until):
    """Also where the case stays as grave as it was, and whether or not the disposition has a day."""
    desk.dispose("known", until=until)
    told, supervised = len(desk.alerts()), len(by_topic(desk.messages)[topics.ALERT_SUPERVISOR])
    desk.days(11, 15)
    assert len(desk.alerts()) == told
    desk.penalty(15)
    assert [(one.signal, one.state, one.stock) for one in desk.told()[told:]] == [(PENALTY, "raised", False)]
    assert len(by_topic(desk.messages)[topics.ALERT_SUPERVISOR]) == supervised + 1
    last = desk.cases()[-1]
    assert (last.case_id, last.change, last.severity) == (desk.cases()[0].case_id, "reopened", "red")
    desk.dispose("confirmed")
    desk.days(15, 30)
    assert [one.change for one in desk.cases()][-1] == "approved", "both are disposed of without a day"


def test_an_approval_disposes_of_what_was_known_when_the_maker_submitted(desk):
    for step in ("sign", "begin"):
        desk.act(step)
    desk.act("submit", disposition="false_alarm", until=date_of(FIRST_DAY + 100).isoformat())
    desk.penalty(11, "judicial_freeze")
    assert desk.cases()[-1].state == "in_review", "the case is as grave as it was"
    told = len(desk.alerts())
    desk.act("approve", BEN)
    desk.days(11, 13)
    assert [one.change for one in desk.cases()][-2:] == ["approved", "reopened"]
    listed = [(one.signal, one.stock) for one in desk.told()[told:]]
    assert listed == [("EWS35_arrears", True), ("EWS45_judicial_freeze", True)]


def test_news_at_the_same_level_is_told_under_a_claim_too(monkeypatch):
    """A bank hears of its case's moves alone; of a finding beside what it has disposed of it hears all the same."""
    monkeypatch.setattr(partition, "packaged_rules", claiming_rules)
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0))
    desk.days(0, 10)
    desk.overdue(10, 35)
    desk.dispose("confirmed")
    told = len(desk.alerts())
    desk.days(11, 15)
    assert len(desk.alerts()) == told
    desk.penalty(15, "judicial_freeze")
    desk.days(15, 17)
    (news,) = desk.told()[told:]
    assert (news.signal, news.case_severity, news.case_state) == ("EWS45_judicial_freeze", "red", msgspec.UNSET)
    assert [one.change for one in desk.cases()][-2:] == ["approved", "reopened"]
    assert news.case_id == desk.cases()[-1].case_id


def test_a_finding_that_rises_again_while_it_is_held_opens_a_case_on_the_day_and_is_listed_then(desk):
    desk.dispose("known", until=56)
    desk.overdue(12, 0, "repaid")
    desk.days(12, 46)
    assert desk.partition.state["case_level"][0, 0] == 0, "it has cleared"
    told = len(desk.alerts())
    desk.overdue(46, 3)
    desk.days(46, 56)
    assert (len(desk.alerts()), desk.cases()[-1].change) == (told, "approved")
    desk.days(56, 58)
    assert desk.cases()[-1].change == "opened"
    assert [(one.signal, one.stock) for one in desk.told()[told:]] == [("EWS35_arrears", True)]


def test_the_observation_of_a_months_end_bears_what_was_said_in_that_month(desk):
    desk.dispose("known", until=70)
    desk.days(11, 61)
    found = [msgspec.json.decode(m.value, type=Observation) for m in desk.messages if m.topic == topics.OBSERVATION]
    said = [one.dispositions for one in found if one.kind == "month"]
    assert said == [("known",), msgspec.UNSET]
    assert all(one.dispositions is msgspec.UNSET for one in found if one.kind == "grant")


def test_deadlines_wait_while_the_feed_is_dead_and_go_on_with_it(desk):
    due = desk.cases()[-1].due
    desk.send(txn("s10", "E1", 10, 5, 10**6), *[tick(day, stalled=True) for day in range(10, 24)])
    desk.days(24, 26)
    found = [(one.change, one.due) for one in desk.cases()]
    waited = sum(is_business_day(day) for day in range(FIRST_DAY + 11, FIRST_DAY + 25))
    assert found == [("opened", due), ("paused", None), ("continued", working_day_after(due, waited))]
    assert desk.cases()[-1].escalation == "desk"


def test_deadlines_wait_while_a_case_is_cured_at_its_level_and_go_on_with_its_signal():
    """It is paid, late again as the month goes on, paid, and its case ends by its signal's hysteresis."""
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0))
    desk.days(0, 10)
    desk.overdue(10, 20)
    due = desk.cases()[-1].due
    desk.days(10, 11)
    desk.overdue(11, 0, "repaid")
    desk.days(11, 18)
    desk.overdue(18, 20)
    desk.days(18, 19)
    desk.overdue(19, 0, "repaid")
    desk.days(19, 51)
    waited = sum(is_business_day(day) for day in range(FIRST_DAY + 12, FIRST_DAY + 19))
    assert waited
    assert [(one.change, one.due) for one in desk.cases()] == [
        ("opened", due), ("watched", None), ("continued", working_day_after(due, waited)), ("watched", None),
        ("resolved", None),
    ]  # fmt: skip
    assert {one.severity for one in desk.cases()} == {"orange", None}
    assert {one.case_state for one in desk.told()} == {"opened", "resolved"}, "a date has moved, not the case"


def known_until(day):
    """Return a desk whose one case, three days past due, is disposed of as known until a day."""
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0))
    desk.days(0, 10)
    desk.overdue(10, 3)
    desk.dispose("known", until=day)
    return desk


def test_a_graver_case_comes_through_a_disposition():
    desk = known_until(60)
    told = len(desk.alerts())
    desk.overdue(12, 20)
    assert [one.change for one in desk.cases()][-2:] == ["approved", "reopened"]
    assert len(desk.alerts()) == told + 1


def test_an_overdue_case_goes_up_at_closes_and_one_that_nobody_signed_ends_with_its_signals(desk):
    desk.days(10, 24)
    found = [(one.change, one.escalation) for one in desk.cases() if one.change == "overdue"]
    assert found == [("overdue", "head_office"), ("overdue", "supervisor")]
    ends = authorization("a2", "E1", revoked=True)
    desk.send(msgspec.structs.replace(ends, event_time=day_start_ms(FIRST_DAY + 24)))
    desk.days(24, 26)
    last = desk.cases()[-1]
    assert (last.state, last.change, last.severity) == ("undelivered", "undelivered", None)


def test_an_overdue_loan_runs_on_and_its_case_goes_up_where_there_never_was_a_transaction():
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0))
    desk.overdue(10, 3)
    desk.send(*[tick(day) for day in range(10, 50)])
    up = [one.escalation for one in desk.cases() if one.change == "overdue"]
    assert up[:2] == ["head_office", "supervisor"]
    assert [one.severity for one in desk.told()] == ["yellow", "orange", "red"]


def test_no_day_before_the_newest_record_closes_where_days_begin_with_it():
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0))
    desk.overdue(10, 40)
    desk.send(tick(10))
    assert [(one.state, one.as_of) for one in desk.told()] == [("raised", day_start_ms(FIRST_DAY + 11))]
    assert {one.escalation for one in desk.cases()} == {"desk"}


def test_what_was_repaid_ends_where_there_never_was_a_transaction():
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0), *[tick(day) for day in range(10)])
    desk.overdue(10, 40)
    repaid = loan("r", "E1", 11, "repaid", outstanding_minor=0, dpd=0)
    desk.send(tick(10), repaid, *[tick(day) for day in range(11, 14)])
    assert (desk.told()[0].state, desk.told()[0].severity) == ("raised", "red")
    assert desk.cases()[-1].state in ("undelivered", "resolved")
    desk.send(loan("m", "E1", 200, loan_id="M"), *[tick(day) for day in range(200, 203)])
    assert desk.told()[-1].state != "listed"


def test_arrears_stand_where_the_first_transaction_comes_before_yesterday_has_closed():
    desk = Desk()
    desk.send(authorization("a", "E1"), loan("l", "E1", 0))
    desk.overdue(10, 40)
    desk.send(*[tick(day) for day in range(10, 21)], txn("t", "E1", 22), txn("u", "E1", 22, 5), tick(22))
    assert [(one.state, one.severity) for one in desk.told()] == [("raised", "red")]
    (row,) = desk.partition.state[desk.partition.residents.rows()]
    assert int(row["covered_days"][0]) == 1, "the day of the first transaction, none before it"


def test_a_replay_gives_the_same_life_whatever_the_batches_were(desk):
    for step in ("sign", "begin"):
        desk.act(step)
    desk.days(11, 20)
    desk.act("submit", disposition="seasonal", until=date_of(FIRST_DAY + 60).isoformat())
    desk.act("return", BEN)
    expected = by_topic(desk.messages)
    for size in (1, 7):
        again = by_topic(applied(Partition(0, no_model), desk.records, size))
        assert again == expected


def test_what_clears_while_a_disposition_holds_is_not_told():
    desk = known_until(90)
    told = len(desk.alerts())
    desk.overdue(12, 0, "repaid")
    desk.days(12, 60)
    last = msgspec.json.decode(by_topic(desk.messages)[topics.ALERT_SUPERVISOR][-1].value, type=Alert)
    assert (last.signal, last.state) == ("EWS35_arrears", "cleared")
    assert len(desk.alerts()) == told
    assert desk.cases()[-1].change == "approved"


def test_what_is_listed_again_is_the_same_wherever_its_sweep_was_interrupted(desk):
    """Both days close at one tick: at the first its signal becomes stale, at the second it is listed."""
    desk.dispose("known", until=20)
    desk.days(11, 19)
    desk.send(tick(20, stalled=True))
    with mock.patch.object(score_rows, "_BOOK_ROWS", OUTPUTS_PER_EVALUATION_MAX + 1):  # interrupted between them
        again = by_topic(applied(Partition(0, no_model), desk.records, 1_000))
    assert desk.told()[-1].stock
    assert again == by_topic(desk.messages)


def test_dead_letters_of_an_enterprise_come_in_the_order_of_the_log(desk):
    desk.act("sign", case_id="0" * 16)
    desk.send(txn("same", "E1", 10, 5), txn("same", "E1", 10, 5, fen=7))
    desk.act("sign", case_id="0" * 16)
    together = by_topic(applied(Partition(0, no_model), desk.records, 1_000))
    assert together[topics.DEAD_LETTERS] == by_topic(desk.messages)[topics.DEAD_LETTERS]
    assert [reason for reason, _ in desk.letters()] == ["case_unknown", "conflict", "case_unknown"]


def test_an_action_on_a_day_without_a_transaction_counts_once_after_a_restart(desk):
    desk.send(tick(10), tick(11))
    desk.act("sign", day=12, name="once")
    desk.send(tick(12))
    stored = {}
    flush(desk.partition, stored)
    desk.partition = partition_on(stored, desk.partition.saved)
    desk.act("sign", day=12, name="once")
    assert [one.change for one in desk.cases()][:2] == ["opened", "signed"]
    assert desk.letters() == []
    assert int(desk.partition.state["duplicate_count"][0]) == 1
