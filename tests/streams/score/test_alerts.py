"""Readers of alerts: lenders, notices of other lenders, opening lists, closing revisions, cases, reasons, backfill."""

import collections
import random

import msgspec
import pytest

from cli.inspect import episode_lines
from config.settings import Settings
from detectors.prior import prior_snapshot
from detectors.rules.artefact import RulesArtefact
from detectors.rules.artefact import decode as decode_rules
from detectors.scorecard import displayed
from detectors.snapshot import content_id
from domain import topics
from domain.calendar import date_of, day_start_ms
from domain.events import Control, Gov, Instalment, LogRecord
from domain.outputs import SEVERITIES, Alert, Score
from features.fields import EPISODES_MAX
from streams.score import loop
from streams.score.alerts import NO_OFFSET
from streams.score.explain import explain
from streams.score.partition import Partition
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    HEADERS,
    OTHER_BANK,
    applied,
    authorization,
    by_topic,
    flush,
    immediate_artefact,
    immediate_rules,
    loan,
    no_model,
    partition_on,
    record,
    state_of,
    tick,
    txn,
)

pytestmark = pytest.mark.usefixtures("immediate")

ARREARS, COLLAPSE, SILENT, PENALTY = (
    "EWS35_arrears", "EWS01_inflow_collapse", "EWS04_no_operating_credit", "EWS48_adverse_gov_event",
)  # fmt: skip


def gov(event_id, day, event, enterprise="E1", **fields):
    return Gov(
        event_id=event_id, bank_id=GATEWAY, enterprise_id=enterprise, source="court", event=event,
        event_time=day_start_ms(FIRST_DAY + day) + 7, **fields,
    )  # fmt: skip


def control(action, artefact_id=None):
    body = Control(
        control_id="c", action=action, by="op", reason="test", artefact="rules" if artefact_id else None,
        artefact_id=artefact_id,
    )  # fmt: skip
    return None, msgspec.json.encode(LogRecord(event=body)), HEADERS, 0


def run(events, rules=(), size=1_000):
    """A partition after the events, and its messages; `rules` are artefacts that may be activated."""
    by_id = {content_id(each.encode()): each.encode() for each in rules}
    partition = Partition(0, no_model, rules_of=lambda rules_id: decode_rules(by_id[rules_id], rules_id))
    rows = [event if isinstance(event, tuple) else record(event) for event in events]
    return partition, list(applied(partition, rows, size))


def heard(messages, topic, signal=None):
    found = [msgspec.json.decode(m.value, type=Alert) for m in messages if m.topic == topic]
    return [alert for alert in found if signal in (None, alert.signal)]


def by_bank(messages, bank_id, signal=None):
    return heard(messages, topics.bank_alerts(bank_id), signal)


def supervised(messages, signal=None):
    return heard(messages, topics.ALERT_SUPERVISOR, signal)


def two_lenders():
    """E1 trades at both banks, which both lend and may look."""
    yield from (
        loan("l1", "E1", 0, loan_id="L1"),
        loan("l2", "E1", 0, loan_id="L2", bank_id=OTHER_BANK),
        authorization("a1", "E1"),
        authorization("a2", "E1", to=OTHER_BANK),
    )


def consent(day, **fields):
    time_ms = day_start_ms(FIRST_DAY + day) + 9
    return msgspec.structs.replace(authorization(f"a{day}", "E1", **fields), event_time=time_ms)


def days(first, last, fen=10**6, **fields):
    for day in range(first, last):
        yield txn(f"s{day}", "E1", day, 5, fen, bank_id=OTHER_BANK if day % 2 else BANK, **fields)
        yield tick(day)


def overdue(day, dpd, *, bank_id=BANK, loan_id="L1", event="overdue"):
    return loan(f"{event}{day}{bank_id}", "E1", day, event, dpd=dpd, bank_id=bank_id, loan_id=loan_id)


def test_an_instalment_uncovered_by_a_payment_is_sent_at_once_to_its_lender_alone():
    """A transaction moves what one lender's loans say: they are measured against the balance, of three days."""
    soon, later = (Instalment(due_on=f"{date_of(FIRST_DAY + day)}", due_minor=4 * 10**7) for day in (25, 60))

    def steady(first, last, fen):
        return [
            e for day in range(first, last) for e in (txn(f"s{day}", "E1", day, 5, 10, balance_minor=fen), tick(day))
        ]

    events = [
        loan("l1", "E1", 0, loan_id="L1", schedule=(soon,)),
        loan("l2", "E1", 0, loan_id="L2", bank_id=OTHER_BANK, schedule=(later,)),
        authorization("a1", "E1"),
        authorization("a2", "E1", to=OTHER_BANK),
        *steady(0, 20, 5 * 10**7),
        txn("paid", "E1", 20, 7, 49 * 10**6, direction="D", purpose="purchase", balance_minor=10**6),
        txn("again", "E1", 20, 9, 10, direction="D", purpose="purchase", balance_minor=10**6),
        *steady(21, 24, 10**6),
    ]
    rows, paid = [record(event) for event in events], 44
    assert events[paid].event_id == "paid"
    _, whole = run(events)
    told = by_bank(whole, BANK, "EWS11_instalment_not_covered")
    assert [(a.severity, a.state, a.event_ids) for a in told][:1] == [("yellow", "raised", ["paid"])]
    assert [a.severity for a in told if a.state == "upgraded"] == ["orange"]  # two days before it is due
    assert not by_bank(whole, OTHER_BANK, "EWS11_instalment_not_covered")
    for stop in (paid, paid + 1, paid + 2):  # a restart before and after the payment
        first, said = run(events[:stop])
        restarted = partition_on(state_of(first), first.saved)
        assert [m.value for m in (*said, *applied(restarted, rows, 1, stop))] == [m.value for m in whole]


def test_arrears_go_to_their_lender_in_full_and_to_others_without_details():
    events = [*two_lenders(), *days(0, 40), overdue(40, 12), *days(40, 45)]
    _, messages = run(events)
    (own,) = by_bank(messages, BANK, ARREARS)
    assert (own.severity, own.state, own.banks) == ("orange", "raised", [BANK])
    evidence = [("dpd_max_days", 12_000_000), ("bal_to_next_instalment_ratio", None)]
    assert [(e.name, e.value_micro) for e in own.evidence] == evidence
    assert [each.loan_id for each in own.loans] == ["L1"]
    (notice,) = by_bank(messages, OTHER_BANK, ARREARS)
    assert (notice.state, notice.evidence, notice.event_ids, notice.banks) == ("raised", [], [], [OTHER_BANK])
    assert [each.loan_id for each in notice.loans] == ["L2"]
    assert "他行出现逾期" in notice.title_zh
    raw = next(m.value for m in messages if m.topic == topics.bank_alerts(OTHER_BANK) and b"EWS35" in m.value).decode()
    for secret in (BANK, "L1", '"12', "12天", own.alert_id, own.case_id, "orange"):
        assert secret not in raw.replace(f'"offset":{notice.offset}', "")
    (told,) = supervised(messages, ARREARS)
    assert (told.alert_id, told.banks, told.event_ids) == (own.alert_id, [BANK], ["overdue40" + BANK])


def test_each_lender_has_an_episode_of_its_own_and_the_notice_ends_with_the_last():
    events = [
        *two_lenders(), *days(0, 40), overdue(40, 2), overdue(41, 45, bank_id=OTHER_BANK, loan_id="L2"),
        *days(42, 45), overdue(45, 0), overdue(45, 0, bank_id=OTHER_BANK, loan_id="L2"), *days(45, 90),
    ]  # fmt: skip
    _, messages = run(events)
    mine, theirs = ([a for a in by_bank(messages, b, ARREARS) if a.evidence] for b in (BANK, OTHER_BANK))
    assert [(a.severity, a.state) for a in mine] == [("yellow", "raised"), ("yellow", "cleared")]
    assert [(a.severity, a.state) for a in theirs] == [("red", "raised"), ("red", "cleared")]
    assert len({a.alert_id for a in mine + theirs}) == 2
    for bank in (BANK, OTHER_BANK):
        notices = [a for a in by_bank(messages, bank, ARREARS) if not a.evidence]
        assert [a.state for a in notices] == ["raised", "cleared"]
        assert len({a.alert_id for a in notices}) == 1
        assert [a.revision for a in notices] == [1, 2]


def test_a_called_guarantee_warns_its_lender_for_a_year_and_the_other_not_at_all():
    events = [*two_lenders(), *days(0, 40), loan("c", "E1", 40, "compensated", loan_id="L1", dpd=0), *days(40, 42)]
    _, messages = run(events)
    assert [a.severity for a in by_bank(messages, BANK, "EWS50_guarantee_called")] == ["red"]
    assert not by_bank(messages, OTHER_BANK, "EWS50_guarantee_called")
    assert not [a for a in by_bank(messages, OTHER_BANK) if a.signal == ARREARS]


def silent_then_lent():
    """E1 goes silent for 35 days, so that a signal is open; then a bank lends to it and gets consent."""
    yield from days(0, 70)
    yield from (tick(day) for day in range(70, 105))


def test_a_new_lender_gets_one_opening_list():
    events = [
        loan("l1", "E1", 0, loan_id="L1"), authorization("a1", "E1"), *silent_then_lent(),
        loan("l2", "E1", 105, loan_id="L2", bank_id=OTHER_BANK), consent(105, to=OTHER_BANK),
        consent(106, to=OTHER_BANK), tick(106),
    ]  # fmt: skip
    _, messages = run(events)
    old, new = by_bank(messages, BANK, SILENT), by_bank(messages, OTHER_BANK, SILENT)
    assert [(a.state, a.stock) for a in old] == [("raised", False), ("upgraded", False)]
    assert [(a.state, a.stock, a.severity) for a in new] == [("raised", True, "orange")]
    assert new[0].alert_id == old[0].alert_id
    assert new[0].revision > old[-1].revision
    assert [e.name for e in new[0].evidence] == [e.name for e in old[0].evidence]


def test_the_end_of_the_last_loan_closes_its_banks_alerts_and_goes_to_no_one_else():
    closed = loan("x1", "E1", 105, "closed", loan_id="L1", outstanding_minor=0)
    events = [*two_lenders(), *silent_then_lent(), closed, tick(105), tick(106)]
    _, messages = run(events)
    last = by_bank(messages, BANK, SILENT)[-1]
    assert (last.state, last.reason, last.evidence, last.loans) == ("closed", "loan_closed", [], [])
    assert [a.state for a in by_bank(messages, OTHER_BANK, SILENT)] == ["raised", "upgraded"]
    assert "closed" not in {a.state for a in supervised(messages)}
    assert len([a for a in by_bank(messages, BANK) if a.state == "closed" and a.signal == SILENT]) == 1


def test_a_revoked_consent_closes_and_a_new_one_opens_again():
    events = [
        *two_lenders(), *silent_then_lent(),
        consent(105, revoked=True), tick(105), consent(106), tick(106),
    ]  # fmt: skip
    _, messages = run(events)
    states = [(a.state, a.reason, a.stock) for a in by_bank(messages, BANK, SILENT)]
    assert states[2:] == [("closed", "authorization", False), ("raised", "", True)]
    revisions = [a.revision for a in by_bank(messages, BANK, SILENT)]
    assert revisions == sorted(set(revisions))


def test_a_consent_that_ends_within_a_day_ends_what_a_bank_is_told_at_its_millisecond():
    """The next record is told to the bank that still has consent alone; the other one is told the score from before."""
    ends_ms = day_start_ms(FIRST_DAY + 105) + 1_000
    lapsing = authorization("a2", "E1", to=OTHER_BANK, valid_to=ends_ms)
    base = [*list(two_lenders())[:3], lapsing, *silent_then_lent()]
    frozen, (before, _) = gov("f", 105, "judicial_freeze"), run(base)
    for time_ms, is_told in ((ends_ms - 2, True), (ends_ms - 1, False), (ends_ms, False)):
        at = msgspec.structs.replace(frozen, event_time=time_ms)
        _, messages = run([*base, at])
        freeze = [a.signal for a in by_bank(messages, BANK) if a.as_of == time_ms + 1]
        assert freeze, "it raises something"
        new = [a for a in by_bank(messages, OTHER_BANK) if a.as_of == time_ms + 1]
        if is_told:
            assert [a.signal for a in new] == freeze
            continue
        score = displayed(int(before.state["score_milli"][0]))
        assert {(a.state, a.reason, a.score, a.score_before) for a in new} == {("closed", "authorization", score, None)}
        assert supervised(messages)[-1].score < score, "the freeze caps it"
        assert {a.case_severity for a in new} == {"orange"}, "and makes the case red, for others"
        assert "EWS45_judicial_freeze" in freeze


def test_a_day_that_closes_after_a_newer_event_gives_no_bank_back_what_its_consent_no_longer_allows():
    """Main banks close their days late: such a close is as of a time before the newest event of the enterprise."""
    ends_ms = day_start_ms(FIRST_DAY + 105) + 1_000
    lent, silent = list(two_lenders())[:3], list(silent_then_lent())[:-1]
    event = txn("t105", "E1", 105, 9_000, 10**6)
    late = [tick(104, closed=103), event, tick(105, closed=104), *[tick(day) for day in (106, 107)]]
    lapsing = authorization("a2", "E1", to=OTHER_BANK, valid_to=ends_ms)
    _, messages = run([*lent, lapsing, *silent, *late])
    told = by_bank(messages, OTHER_BANK, SILENT)
    assert [a.state for a in told] == ["raised", "upgraded", "closed"]
    begins = authorization("a2", "E1", to=OTHER_BANK, valid_from=ends_ms)
    _, messages = run([*lent, begins, *silent, *late])
    assert [(a.state, a.stock) for a in by_bank(messages, OTHER_BANK, SILENT)] == [("raised", True)]


def without_history():
    """Rules by which arrears are raised of an enterprise without transactions too."""
    arrears = next(each for each in immediate_artefact().signals if each.id == ARREARS)
    return RulesArtefact(signals=(msgspec.structs.replace(arrears, min_history="ctx.history_days >= 0"),))


def test_an_episode_that_ends_with_its_rules_after_a_consent_did_is_closed_to_that_bank():
    """No day closes of an enterprise without transactions, so that nothing has looked since the consent ended."""
    kept, before = RulesArtefact(signals=(row("T1", suppress_when=""),)), without_history()
    lapsing = authorization("a1", "E1", valid_to=day_start_ms(FIRST_DAY + 20))
    events = [loan("l1", "E1", 0, loan_id="L1"), lapsing, overdue(10, 35), *[tick(day) for day in range(10, 30)]]
    first, then = (control("activate", content_id(each.encode())) for each in (before, kept))
    _, messages = run([first, *events, then], (before, kept))
    assert [(a.state, a.reason) for a in by_bank(messages, BANK, ARREARS)] == [
        ("raised", ""), ("closed", "authorization"),
    ]  # fmt: skip
    assert [a.state for a in supervised(messages, ARREARS)] == ["raised", "ended"]


def test_a_backfill_ends_without_a_list_to_a_bank_whose_consent_has_ended():
    lapsing = authorization("a1", "E1", valid_to=day_start_ms(FIRST_DAY + 20))
    events = [
        control("activate", content_id(without_history().encode())), control("backfill_open"),
        loan("l1", "E1", 0, loan_id="L1"), lapsing, overdue(10, 35), *[tick(day) for day in range(10, 30)],
        control("backfill_close"),
    ]  # fmt: skip
    _, messages = run(events, (without_history(),))
    assert {m.topic for m in messages} & {topics.bank_alerts(BANK), topics.bank_cases(BANK)} == set()
    assert len(supervised(messages, ARREARS)) == 1


def test_open_episodes_are_one_case_a_reader_from_the_first_to_the_last():
    events = [
        *two_lenders(), *days(0, 60), gov("p", 60, "penalty"), overdue(61, 40), *days(61, 64), overdue(64, 0),
        *days(64, 330),
    ]  # fmt: skip
    _, messages = run(events)
    for alerts in (supervised(messages), by_bank(messages, BANK), by_bank(messages, OTHER_BANK)):
        some = [a for a in alerts if a.signal in (PENALTY, ARREARS) and a.state in ("raised", "cleared")]
        assert some
        assert len({a.case_id for a in some}) == 1
    severity = {a.signal: a.case_severity for a in supervised(messages) if a.state == "raised"}
    assert severity[PENALTY] == "yellow"
    assert severity[ARREARS] == "red"
    assert all(a.case_severity == "yellow" for a in by_bank(messages, OTHER_BANK) if a.signal == PENALTY)
    assert len({a.case_id for b in (BANK, OTHER_BANK) for a in by_bank(messages, b, PENALTY)}) == 2


def test_a_case_is_at_least_as_severe_as_any_alert_of_it():
    events = [*two_lenders(), *silent_then_lent(), gov("f", 105, "enforcement"), tick(105)]
    _, messages = run(events)
    for alert in supervised(messages):
        assert SEVERITIES.index(alert.case_severity) >= SEVERITIES.index(alert.severity)


def test_a_stale_alert_says_why_and_one_that_goes_on_says_so():
    events = [*two_lenders(), *silent_then_lent(), tick(105, stalled=True), tick(106, stalled=True), tick(107)]
    _, messages = run(events)
    states = [(a.state, a.reason) for a in supervised(messages, SILENT)]
    assert states == [("raised", ""), ("upgraded", ""), ("stale", "feed.stalled"), ("raised", "")]
    stale, again = supervised(messages, SILENT)[-2:]
    assert "银行数据中断" in stale.text_zh
    assert "恢复判断" in again.title_zh
    assert again.revision == stale.revision + 1


def row(signal_id, **fields):
    base = next(each for each in immediate_artefact().signals if each.id == PENALTY)
    return msgspec.structs.replace(
        base, id=signal_id, levels=("", "", "op_credit_30d_count > 3"), hysteresis="held(op_credit_30d_count < 1, d=2)",
        min_history="ctx.history_days >= 30", not_computable_when="", evidence=("op_credit_30d_count",), **fields,
    )  # fmt: skip


def test_a_suppression_by_a_lenders_fact_hides_its_reason_from_other_banks():
    rules = RulesArtefact(signals=(row("T1", suppress_when="feed.stalled or seen(loan.drawn, d=3)"),))
    drawn = loan("d", "E1", 45, "drawn", loan_id="L1")
    events = [control("activate", content_id(rules.encode())), *two_lenders(), *days(0, 45), drawn, tick(45)]
    _, messages = run(events, (rules,))
    reasons = [alerts[-1].reason for alerts in (supervised(messages), by_bank(messages, BANK))]
    assert reasons == ["seen(loan.drawn, d=3)"] * 2
    other = by_bank(messages, OTHER_BANK)[-1]
    assert (other.state, other.reason, other.event_ids) == ("stale", "suppressed", [])
    assert "drawn" not in other.text_zh


def test_rules_are_switched_in_the_log_and_what_they_do_not_have_ends():
    later = {SILENT: ("", "days_since_op_credit_days >= 90", "")}
    kept = tuple(
        msgspec.structs.replace(each, levels=later.get(each.id, each.levels))
        for each in immediate_artefact().signals
        if each.id != PENALTY
    )
    rules = RulesArtefact(signals=kept)
    rules_id = content_id(rules.encode())
    events = [
        *two_lenders(), *days(0, 70), gov("p", 70, "penalty"), *(tick(day) for day in range(70, 103)),
        control("activate", rules_id), tick(103), gov("q", 104, "penalty"), *(tick(day) for day in range(104, 112)),
    ]  # fmt: skip
    partition, messages = run(events, (rules,))
    penalty = supervised(messages, PENALTY)
    assert [(a.state, a.reason) for a in penalty] == [("raised", ""), ("ended", "not_in_rules")]
    assert "规则" in penalty[-1].text_zh
    assert penalty[-1].rules_id == rules_id
    assert partition.saved.rules_id == rules_id
    silent = supervised(messages, SILENT)
    assert [a.state for a in silent] == ["raised", "upgraded"]  # the episode goes on under the new condition
    scores = [msgspec.json.decode(m.value, type=Score) for m in messages if m.topic == topics.SCORE]
    assert {s.rules_id for s in scores} == {immediate_rules().id, rules_id}


@pytest.mark.parametrize("kept_back", [1, 8, 12])
def test_a_restart_goes_on_under_the_rules_of_the_log_wherever_it_was_killed(kept_back):
    """Values of some enterprises may hold the switch already, or its sweep, while the partition's state does not."""
    rules = RulesArtefact(signals=tuple(each for each in immediate_artefact().signals if each.id != PENALTY))
    body = rules.encode()
    events = []
    for e in ("E1", "E2", "E3"):
        events += [gov(f"p{e}", 0, "penalty", e), *(txn(f"{e}-{d}", e, d) for d in range(3))]
    events += [tick(2), control("activate", content_id(body)), *(txn(f"{e}-3", e, 3) for e in ("E1", "E2", "E3"))]
    events += [*(gov(f"q{e}", 3, "penalty", e) for e in ("E1", "E2", "E3")), tick(3), tick(4)]
    rows = [event if isinstance(event, tuple) else record(event) for event in events]
    whole, messages = run(events, (rules,))
    low = len(rows) - kept_back
    stored: dict = {}
    before = partition_on(stored, rules_of=lambda _: decode_rules(body, content_id(body)))
    list(applied(before, rows[:low], 100))
    flush(before, stored)
    state = before.saved
    list(applied(before, rows[: low + 1], 1, first=low))
    ahead = dict(before.values(before.dirty_rows()))
    stored.update({name: value.over(stored[name]) for name, value in ahead.items() if name != "E2"})
    again = partition_on(stored, state, rules_of=lambda _: decode_rules(body, content_id(body)))
    rest = list(applied(again, rows, 1, first=low))
    assert {m for m in messages if m.mark > low} <= set(rest) <= set(messages)
    assert state_of(again, stored) == state_of(whole)
    assert again.rules.id == content_id(body)


def test_rules_that_do_not_compile_are_refused_by_name_and_those_before_stay(caplog):
    bad = RulesArtefact(signals=(row("T1", suppress_when="no_such_thing"),))
    partition, _ = run([control("activate", content_id(bad.encode())), *days(0, 3)], (bad,))
    assert partition.saved.rules_id == immediate_rules().id
    assert partition.saved.controls_count == 1
    assert "signal 1, T1, suppress_when, character 1" in caplog.text
    assert "no_such_thing" in caplog.text


def test_a_switch_compiles_nothing():
    run([*two_lenders(), *days(0, 5)])
    before = {f.__name__: len(f.signatures) for f in (loop.apply_records, loop.close_days, loop.change_rules)}
    rules = RulesArtefact(signals=(row("T1"),))
    empty = RulesArtefact(signals=())
    events = [
        *two_lenders(), *days(0, 5), control("activate", content_id(rules.encode())), *days(5, 9),
        control("activate", content_id(empty.encode())), *days(9, 12),
    ]  # fmt: skip
    partition, _ = run(events, (rules, empty))
    assert partition.rules.evaluated == ()
    after = {f.__name__: len(f.signatures) for f in (loop.apply_records, loop.close_days, loop.change_rules)}
    assert {name: max(1, count) for name, count in before.items()} == after


@pytest.mark.parametrize("mode", ["move", "close"])
def test_emission_is_part_of_the_rules(mode):
    from detectors.rules.artefact import Emission

    rules = msgspec.structs.replace(immediate_artefact(), emission=Emission(mode=mode, step_milli=1))
    _, messages = run([control("activate", content_id(rules.encode())), *days(0, 60)], (rules,))
    per_day = collections.Counter(m.mark for m in messages if m.topic == topics.SCORE)
    events_of_records = [mark for mark in per_day if (mark - 1) % 2 == 0]
    assert (len(events_of_records) > 20) == (mode == "move")


def test_a_backfill_says_what_it_would_have_raised_and_ends_with_one_list():
    events = [
        *two_lenders(), control("backfill_open"), *days(0, 40), overdue(40, 12), *days(40, 70),
        *(tick(day) for day in range(70, 105)), control("backfill_close"), tick(105),
    ]  # fmt: skip
    _, messages = run(events)
    closed_at = len(events) - 2
    assert all(m.topic in (topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_BACKFILL) for m in messages
               if 0 <= m.mark < closed_at)  # fmt: skip
    would = heard([m for m in messages if m.mark < closed_at], topics.ALERT_BACKFILL)
    assert {SILENT, ARREARS} <= {a.signal for a in would}
    for bank in (BANK, OTHER_BANK):
        listed = by_bank([m for m in messages if m.mark in (closed_at, NO_OFFSET)], bank)
        assert listed
        assert all(a.stock for a in listed)
        assert {SILENT, ARREARS} <= {a.signal for a in listed}
    assert [a.evidence for a in by_bank(messages, OTHER_BANK, ARREARS)] == [[]]


def test_every_alert_has_its_chinese_text_and_an_action_of_its_family():
    events = [*two_lenders(), *silent_then_lent(), gov("f", 105, "enforcement"), overdue(105, 12), tick(105)]
    _, messages = run(events)
    said = {a.signal: a for a in supervised(messages)}
    assert {SILENT, "EWS48_adverse_gov_event", ARREARS} <= set(said)
    assert len({a.suggested_action_zh for a in said.values()}) > 2
    for alert in said.values():
        assert alert.title_zh.startswith("【")
        assert alert.text_zh.endswith("。")
        assert not any("a" <= letter <= "z" for letter in alert.text_zh + alert.title_zh + alert.suggested_action_zh)


def test_a_banks_alerts_do_not_depend_on_batches():
    events = [
        *two_lenders(), *days(0, 40), overdue(40, 12), overdue(41, 45, bank_id=OTHER_BANK, loan_id="L2"), *days(41, 70),
        *(tick(day) for day in range(70, 105)), loan("x1", "E1", 105, "closed", loan_id="L1", outstanding_minor=0),
        tick(105),
    ]  # fmt: skip
    assert by_topic(run(events, size=1)[1]) == by_topic(run(events)[1])


def many(count):
    """More signals than an enterprise has places for episodes, true at different levels of trade."""
    quiet = "held(op_credit_30d_count < 3, d=2)"
    rows = [
        msgspec.structs.replace(row(f"T{i}"), levels=(f"op_credit_30d_count > {i % 12}", "", ""), hysteresis=quiet)
        for i in range(count)
    ]
    return RulesArtefact(signals=(*rows, *immediate_artefact().signals))


@pytest.mark.parametrize("crowded", [False, True])
def test_residency_changes_no_alert_and_no_byte(crowded, seed):
    """An enterprise that leaves memory loses its bands: all its signals are evaluated when it is back."""
    rules = many(40) if crowded else immediate_artefact()
    rnd = random.Random(seed)
    trade = []
    for day in range(150):
        count = 0 if day // 40 % 2 else day % 3
        trade += [txn(f"t{day}-{j}", "E1", day, j * 10**6, rnd.randrange(10**4, 10**6)) for j in range(count)]
        trade += [overdue(day, rnd.randrange(40))] if day % 9 == 8 else []
        trade += [gov(f"g{day}", day, "penalty")] if day == 40 else []
        trade.append(tick(day, stalled=day in (50, 51)))
    events = [control("activate", content_id(rules.encode())), *two_lenders(), *trade]
    kept, said = run(events, (rules,), size=1)
    rows = [event if isinstance(event, tuple) else record(event) for event in events]
    again = Partition(0, no_model, rules_of=lambda rules_id: decode_rules(rules.encode(), rules_id))
    said_again = []
    for at in range(len(rows)):
        said_again += applied(again, rows[: at + 1], 1, first=at)
        if rnd.random() < 0.7:
            for name in ("band", "lender_band", "evaluated_day"):
                again.state[name] = 0
    assert said_again == said
    assert state_of(again) == state_of(kept)
    assert bool(kept.state["episode_overflow"][0]) == crowded


def test_the_explanation_counts_the_episodes_that_found_no_place():
    rules = many(40)
    trade = [event for day in range(40) for event in (*(txn(f"t{day}-{j}", "E1", day, j) for j in range(2)), tick(day))]
    partition, _ = run([control("activate", content_id(rules.encode())), *trade], (rules,))
    in_force = decode_rules(rules.encode(), content_id(rules.encode()))
    found = explain("E1", state_of(partition)["E1"], partition.saved, prior_snapshot(), in_force)
    assert found.episode_overflow == partition.state["episode_overflow"][0] > 0
    assert len(found.episodes) == EPISODES_MAX
    (said,) = (line for line in episode_lines(found, Settings()) if "no place" in line)
    assert said == f"  signals that found no place: {found.episode_overflow} times"


def test_one_signal_of_a_lender_does_not_blind_the_next_one_to_its_loan_events():
    rules = RulesArtefact(
        signals=(
            row("T1", scope="lender", suppress_when="seen(loan.drawn, d=3)"),
            msgspec.structs.replace(row("T2", scope="lender"), levels=("", "", "seen(loan.drawn, d=3)")),
        )
    )
    drawn = loan("d", "E1", 45, "drawn", loan_id="L1")
    events = [control("activate", content_id(rules.encode())), *two_lenders(), *days(0, 45), drawn]
    _, messages = run(events, (rules,))
    at_the_draw = [(a.signal, a.state, a.reason) for a in by_bank(messages, BANK) if a.event_ids == ["d"]]
    assert at_the_draw == [("T1", "stale", "seen(loan.drawn, d=3)"), ("T2", "raised", "")]
    assert not [a for a in by_bank(messages, OTHER_BANK) if a.signal == "T2"]
