"""Scenarios that must not mislead an enterprise's score and alerts."""

import msgspec
import pytest

from detectors.prior import prior_id, prior_snapshot
from domain import topics
from domain.events import Control, Gov, LogRecord
from domain.outputs import Alert, Observation, Score
from features.indicators import SLOT
from features.indicators.nulls import NOT_COVERED
from streams.score.partition import Partition
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    HEADERS,
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

THIRD_BANK, FOURTH_BANK = "A1000000000003", "A1000000000004"


def run(events, size=1_000):
    partition = Partition(0, no_model)
    return partition, list(applied(partition, [record(e) for e in events], size))


def of(messages, topic, kind):
    return [msgspec.json.decode(m.value, type=kind) for m in messages if m.topic == topic]


def collapses(messages, topic=topics.ALERT_SUPERVISOR):
    return [alert for alert in of(messages, topic, Alert) if alert.signal == "EWS01_inflow_collapse"]


def besides_the_one_payer(messages):
    """Alerts, but for the one that all that comes in comes from one payer."""
    return [
        alert for alert in of(messages, topics.ALERT_SUPERVISOR, Alert) if alert.signal != "EWS20_payer_concentration"
    ]


def at(event, day, **fields):
    return msgspec.structs.replace(event, event_time=txn("x", "E1", day).event_time, **fields)


def steady(days, first=0, fen=10**6, **fields):
    """A sale and a tick each day."""
    return [e for day in range(first, days) for e in (txn(f"s{day}", "E1", day, 5, fen, **fields), tick(day))]


def collapse(bank_ids=(BANK,), days=180):
    events = [loan("l", "E1", 0), authorization("a", "E1")]
    for day in range(days):
        fen = 10**7 if day < 150 else 1_000
        events += [txn(f"t{day}{bank}", "E1", day, 5, fen, bank_id=bank) for bank in bank_ids]
        events.append(tick(day))
    return events


@pytest.mark.parametrize(
    ("banks", "banded"),
    [
        ((BANK,), False),
        ((BANK, OTHER_BANK), True),
        ((BANK, OTHER_BANK, THIRD_BANK), True),
        # All four trade, but the state does not prove that all four have credits (ADR 35).
        ((BANK, OTHER_BANK, THIRD_BANK, FOURTH_BANK), True),
    ],
    ids=["alone", "one other", "two others", "three others"],
)
def test_a_lender_cannot_subtract_its_way_to_another_banks_flow(banks, banded):
    _, messages = run(collapse(banks))
    own = collapses(messages, topics.bank_alerts(BANK))
    assert own
    for alert, supervised in zip(own, collapses(messages), strict=True):
        amount = next(e for e in alert.evidence if e.name == "op_inflow_30d_cny")
        exact = next(e for e in supervised.evidence if e.name == "op_inflow_30d_cny").value_micro
        assert exact is not None
        assert (amount.value_micro is None) == banded
        assert (amount.band is not None) == banded
        said = f"{exact / 1e10:.1f}".removesuffix(".0")
        assert (f"经营流入额{said}万元" in alert.text_zh) == (not banded)


def test_a_late_older_grant_does_not_undo_a_revocation():
    events = collapse()
    events.insert(-2, at(authorization("r", "E1", revoked=True), 100))
    cut = events.index(next(e for e in events if getattr(e, "event_id", "").startswith("t100")))
    revoked, late = events.pop(-3), at(authorization("late", "E1"), 99)
    events[cut:cut] = [revoked, late]
    _, messages = run(events)
    assert collapses(messages)
    assert not collapses(messages, topics.bank_alerts(BANK))


def test_a_late_older_fact_does_not_open_a_closed_loan_again():
    events = [loan("l", "E1", 0), *steady(10), loan("c", "E1", 10, "closed"), loan("o", "E1", 8, "overdue", dpd=40)]
    partition, _ = run(events)
    assert not partition.state["loan_open"][0].any()


def test_a_late_older_freeze_does_not_undo_a_release():
    def gov(event_id, day, event):
        time = txn("x", "E1", day).event_time
        return Gov(event_id=event_id, bank_id=GATEWAY, enterprise_id="E1", event_time=time, event=event, source="court")

    partition, _ = run([*steady(10), gov("r", 9, "judicial_release"), gov("f", 8, "judicial_freeze")])
    assert partition.state["frozen"][0] == 0
    partition, _ = run([*steady(10), gov("f", 9, "judicial_freeze")])
    assert partition.state["frozen"][0] == 1


def test_an_id_that_is_forgotten_is_new_whether_or_not_there_was_a_restart():
    events = [txn("x", "E1", 1), *(e for d in range(2, 21) for e in (txn(f"s{d}", "E1", d), tick(d)))]
    again = record(txn("x", "E1", 21, fen=5))
    partition, _ = run(events)
    restarted = partition_on(state_of(partition), partition.saved)
    for each in (partition, restarted):
        list(each.apply(chunk_of("events.v1", 0, len(events), [again])))
    assert state_of(partition) == state_of(restarted)
    assert partition.state["conflict_count"][0] == 0


def test_days_that_closed_by_deadline_alone_are_not_covered_and_raise_nothing():
    events = steady(150)
    for day in range(150, 172):  # no file comes; deadlines close the days
        late = tick(day, stalled=True)
        feed = msgspec.structs.replace(late.feeds[BANK], covered_up_to=FIRST_DAY + 149)
        events.append(msgspec.structs.replace(late, feeds={BANK: feed}))
    events += [txn("back", "E1", 172, 5, 10**6)]
    partition, messages = run(events)
    assert not besides_the_one_payer(messages)
    scores = of(messages, topics.SCORE, Score)
    assert scores[-1].coverage_ppm < scores[len(scores) // 2].coverage_ppm
    assert partition.state["closed_day"][0] == FIRST_DAY + 171


@pytest.mark.parametrize(("silent_days", "is_whole"), [(1, True), (5, True), (9, False)])
def test_a_bank_that_was_silent_leaves_no_hole_once_it_has_sent_what_is_not_too_late(silent_days, is_whole):
    """Nine days it was silent: of the first two the records are refused as late, so these days stay uncovered."""

    def trade(day):
        return txn(f"t{day}", "E1", day, 5, 10**6, purpose="sales")

    events = steady(150)
    for day in range(150, 150 + silent_days):
        dead = tick(day, stalled=day > 151)
        feed = msgspec.structs.replace(dead.feeds[BANK], covered_up_to=FIRST_DAY + 149)
        events.append(msgspec.structs.replace(dead, feeds={BANK: feed}))
    events += [trade(day) for day in range(150, 151 + silent_days)]
    dead, _ = run(events)
    partition, _ = run([*events, tick(150 + silent_days)])
    assert dead.state["late_count"][0] == partition.state["late_count"][0] == (0 if is_whole else 2)
    uninterrupted, _ = run([*steady(150), *(e for d in range(150, 151 + silent_days) for e in (trade(d), tick(d)))])
    names = ("covered", "covered_days", "covered_months")
    same = [(partition.state[name] == uninterrupted.state[name]).all() for name in names]
    assert all(same) == is_whole
    assert (dead.state["covered"] != uninterrupted.state["covered"]).any(), "before its receipts came"


def test_an_amount_without_a_rate_makes_its_windows_not_computable_and_raises_nothing():
    def dollars(day):
        event = txn(f"u{day}", "E1", day, 5, 10**6, purpose="sales")
        event = msgspec.structs.replace(event, currency="USD")
        value = LogRecord(event=event, fingerprint=f"{day:016x}", origin=("t", 0, 0), amount_cny_minor=None)
        return None, msgspec.json.encode(value), HEADERS, 0

    records = [record(e) for e in steady(150)]
    for day in range(150, 180):
        records += [dollars(day), record(tick(day))]
    partition = Partition(0, no_model)
    messages = list(applied(partition, records, 1_000))
    assert not collapses(messages)
    x = partition._book.draft[0]
    spoilt = ("op_inflow_30d_cny", "op_credit_30d_count", "op_inflow_30d_vs_prior90d_ratio")
    assert [int(x["null"][SLOT[name]]) for name in spoilt] == [NOT_COVERED] * 3


def test_a_close_that_comes_after_its_buckets_are_gone_says_so():
    events = steady(135)
    events[-1:] = [txn(f"f{day}", "E1", day, 5, 10**6) for day in range(135, 176)]  # time runs ahead of the close
    events.append(tick(134))
    partition, messages = run(events)
    assert partition.state["closed_day"][0] == FIRST_DAY + 134
    assert not besides_the_one_payer(messages)
    assert int(partition._book.draft[0]["null"][SLOT["op_inflow_30d_cny"]]) == NOT_COVERED


def test_two_loans_whose_ids_begin_alike_are_two():
    events = [
        loan("a", "E1", 0, loan_id="LOAN2023-0001"),
        loan("b", "E1", 1, "overdue", loan_id="LOAN2023-0001", dpd=95),
        loan("c", "E1", 2, "closed", loan_id="LOAN2023-0001"),
        loan("d", "E1", 3, "drawn", loan_id="LOAN2023-0002"),
    ]
    partition, _ = run(events)
    row = partition.state[0]
    assert [int(d) for d in row["loan_dpd"][row["loan_open"] == 1]] == [-1]


def test_the_cap_latches_while_arrears_are_unknown():
    capped = [
        *steady(40),
        loan("a", "E1", 40, loan_id="A"),
        loan("o", "E1", 41, "overdue", loan_id="A", dpd=95),
        loan("b", "E1", 42, "drawn", loan_id="B"),
        loan("c", "E1", 43, "closed", loan_id="A"),
    ]
    _, messages = run(capped)
    assert of(messages, topics.SCORE, Score)[-1].score <= 449


def test_a_close_does_not_see_what_came_after_its_day():
    events = [
        loan("l", "E1", 0),
        *steady(30),
        txn("s30", "E1", 30, 5),
        loan("o", "E1", 32, "overdue", dpd=40),
        tick(30),
    ]
    _, messages = run(events)
    months = [o for o in of(messages, topics.OBSERVATION, Observation) if o.kind == "month"]
    assert months == []  # January's would have known of February's arrears
    grant = of(messages, topics.OBSERVATION, Observation)[0]
    assert grant.loan_id == "L-E1"
    first = run([txn("a", "E1", 0, 80_000_000), txn("b", "E1", 2), tick(0)])[0]._book.draft[0]
    assert first["value"][SLOT["days_since_op_credit_days"]] >= 0


def test_a_reversed_payment_leaves_no_payer_and_no_flow():
    huge = txn("h", "E1", 20, 5, 10**14, counterparty_id="p9")
    undone = msgspec.structs.replace(
        huge, event_id="u", event_time=huge.event_time + 1, status="reversed", ref_event_id="h",
        ref_event_time=huge.event_time,
    )  # fmt: skip
    with_, without = run([*steady(20), huge, undone])[0], run(steady(20))[0]
    for name in ("payer_all", "payer_named", "payer_credits"):
        assert with_.state[name][0] == pytest.approx(without.state[name][0], rel=1e-9, abs=1e-3)
    assert with_.state["bank_flow"][0].sum() == pytest.approx(without.state["bank_flow"][0].sum(), rel=1e-6)


def test_history_does_not_hang_on_which_event_came_first_nor_begin_before_a_transaction():
    early, late = txn("a", "E1", 0), txn("b", "E1", 5)
    one, other = run([early, late, tick(6)])[0], run([late, early, tick(6)])[0]
    assert one.state["first_day"][0] == other.state["first_day"][0] == FIRST_DAY
    fact = Gov(event_id="g", bank_id=GATEWAY, enterprise_id="E1", event_time=631_200_000_000, event="fact", source="s")
    old, messages = run([fact, tick(0), *steady(3, first=1)])
    assert old.state["first_day"][0] == FIRST_DAY + 1
    assert len(messages) < 20


def test_a_tick_that_closes_nothing_leaves_values_as_they_are():
    partition, _ = run(steady(5))
    partition.take(partition.residents.rows())
    list(partition.apply(chunk_of("events.v1", 0, 10, [record(tick(4))])))
    assert partition.dirty_rows().tolist() == []


def test_a_model_that_this_engine_cannot_score_with_is_refused_and_the_last_good_one_stays():
    other = msgspec.structs.replace(prior_snapshot(), weights_milli={"unheard_of": 300_000}, prior=False)
    from detectors.snapshot import content_id, decode

    control = Control(
        control_id="c", action="activate", artefact="model", artefact_id=content_id(other.encode()), by="op", reason="x"
    )
    partition = Partition(0, lambda model_id: decode(other.encode(), model_id))
    value = msgspec.json.encode(LogRecord(event=control))
    list(partition.apply(chunk_of("events.v1", 0, 0, [(None, value, HEADERS, 0)])))
    assert partition.model_id == prior_id()
    assert partition.saved.controls_count == 1
