"""A partition of the log in memory: the same records give the same bytes, for all batches and restarts."""

import collections

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import topics
from domain.calendar import day_of, day_start_ms
from domain.events import Control, LogRecord
from domain.outputs import Alert, DeadLetter, Observation, Score
from features.indicators import CORE, INDICATORS
from streams.score import rows
from streams.score.outbook import OUTPUTS_PER_EVALUATION_MAX
from streams.score.partition import EngineVersionChanged, Partition
from streams.score.records import bank_number, bank_text
from streams.score.version import engine_version
from streams.transport.chunk import chunk_of
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
    loan,
    log_of,
    messages_of,
    no_model,
    partition_on,
    record,
    said,
    state_of,
    tick,
    txn,
)

pytestmark = pytest.mark.usefixtures("immediate")


def run(records, size=1_000):
    partition = Partition(0, no_model)
    return partition, list(applied(partition, records, size))


def of(messages, topic, kind):
    return [msgspec.json.decode(m.value, type=kind) for m in messages if m.topic == topic]


@pytest.fixture(scope="module")
def records(module_seed):
    return log_of(module_seed)


@pytest.fixture(scope="module")
def clean(records, immediate):
    return run(records)


@pytest.mark.parametrize("size", [1, 7, 4_000])
def test_batches_change_no_byte(records, clean, size):
    partition, messages = run(records, size)
    assert by_topic(messages) == by_topic(clean[1])
    assert state_of(partition) == state_of(clean[0])


@pytest.mark.parametrize(("size", "resident_max"), [(1, 1), (7, 2), (50, 5), (1_000, 1)])
def test_residency_changes_no_byte(records, clean, size, resident_max):
    stored, by_key = {}, collections.defaultdict(list)
    partition = partition_on(stored, resident_max=resident_max)
    fetches = []
    partition._fetch = lambda names: [stored[name] for name in names if fetches.append(name) is None]
    for at in range(0, len(records), size):
        for m in said(partition, chunk_of("events.v1", 0, at, records[at : at + size]), stored):
            by_key[m.topic, m.key].append(m)
        assert len(partition.residents) <= resident_max
    wanted = collections.defaultdict(list)
    for m in clean[1]:
        wanted[m.topic, m.key].append(m)
    assert by_key == wanted
    assert state_of(partition, stored) == state_of(clean[0])
    assert len(fetches) > len(stored)


def test_a_sweep_interrupted_by_a_full_book_flushes_nobody_half_closed(clean, records, monkeypatch):
    """Ticks that close several days each; the book holds one evaluation, and all but one enterprise must be evicted."""
    few = [row for n, row in enumerate(records) if b'"type":"tick"' not in row[1] or n % 5 == 0]
    whole, messages = run(few)
    monkeypatch.setattr(rows, "_BOOK_ROWS", OUTPUTS_PER_EVALUATION_MAX + 1)
    stored, halves = {}, []
    partition = partition_on(stored, resident_max=1)
    again = []
    for at in range(0, len(few), 300):
        for slice_ in partition.apply(chunk_of("events.v1", 0, at, few[at : at + 300])):
            again += messages_of(slice_)
            halves.append(int((partition.state["sweep_seq"][partition.residents.rows()] > 0).sum()))
            if partition.wants_room and not partition.make_room():
                assert halves[-1] == 0
                flush(partition, stored)
                assert partition.make_room()
    assert sum(halves) > 0
    assert sorted(again) == sorted(messages)
    assert state_of(partition, stored) == state_of(whole)


def test_the_log_holds_what_this_test_is_about(clean):
    partition, messages = clean
    by_topic = collections.Counter(m.topic for m in messages)
    print(
        dict(by_topic), {k: int(partition.state[k].sum()) for k in ("duplicate_count", "conflict_count", "late_count")}
    )
    for topic in (
        topics.SCORE, topics.INDICATOR, topics.OBSERVATION, topics.ALERT_SUPERVISOR, topics.LATE, topics.DEAD_LETTERS,
    ):  # fmt: skip
        assert by_topic[topic], topic
    states = {alert.state for alert in of(messages, topics.ALERT_SUPERVISOR, Alert)}
    assert {"raised", "upgraded"} <= states


def test_every_record_is_accounted_for(records, clean):
    partition, _ = clean
    enterprise_records = sum(b'"type":"tick"' not in value for _, value, _, _ in records)
    rows = partition.state[partition.residents.rows()]
    outcomes = [int(rows[f"{name}_count"].sum()) for name in ("applied", "duplicate", "conflict", "late")]
    assert sum(outcomes) == enterprise_records
    assert partition.saved.ticks_count == len(records) - enterprise_records
    assert all(outcomes)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_restart_from_any_mixture_of_old_and_new_values_gives_the_same_rest(records, clean, data):
    """Killed within a flush: some values hold more than the low offset, the others do not."""
    low = data.draw(st.integers(1, len(records) - 1), label="low offset")
    ahead = data.draw(st.integers(low, len(records)), label="offset of the interrupted flush")
    old, new = Partition(0, no_model), Partition(0, no_model)
    list(applied(old, records[:low], 1_000))
    list(applied(new, records[:ahead], 1_000))
    old_values, new_values = state_of(old), state_of(new)
    flushed = data.draw(st.sets(st.sampled_from(sorted(new_values))), label="flushed values")
    stored = {**old_values, **{n: new_values[n] for n in flushed}}
    again = partition_on(stored, old.saved)
    rest = list(applied(again, records, 500, first=low))
    assert state_of(again, stored) == state_of(clean[0])
    later = {m for m in clean[1] if m.mark >= ahead}
    assert later <= set(rest)
    assert set(rest) <= set(clean[1])


def test_a_score_adds_up_names_its_model_and_explains_itself(clean):
    for score in of(clean[1], topics.SCORE, Score):
        assert 400_000 + sum(score.groups_milli.values()) + score.cap_milli == score.score_milli
        assert score.score == round(score.score_milli / 1000)
        assert score.engine_version == engine_version()
        assert len(score.model_id) == len(score.rules_id) == 64
        assert [r.points_milli for r in score.reason_codes] == sorted(r.points_milli for r in score.reason_codes)
        for reason in score.reason_codes:
            assert reason.points_milli < 0
            assert reason.indicator in CORE


def test_offsets_and_seqs_ascend_in_each_key_and_topic(clean):
    newest = {}
    for m in clean[1]:
        if m.topic in (topics.SCORE, topics.ALERT_SUPERVISOR):
            body = msgspec.json.decode(m.value)
            at = body["offset"], body["seq"]
            assert newest.get((m.topic, m.key), (-1, -1)) < at
            newest[m.topic, m.key] = at


def test_a_collapse_is_raised_and_goes_to_the_authorized_lender_alone(clean):
    _, messages = clean
    supervised = of(messages, topics.ALERT_SUPERVISOR, Alert)
    assert {a.enterprise_id for a in supervised} >= {"E0", "E3", "E6", "E9"}
    own = of(messages, topics.bank_alerts(BANK), Alert)
    unauthorized = {f"E{e}" for e in range(0, 12, 2)}
    assert own
    assert not {a.enterprise_id for a in own} & unauthorized
    for alert in own:
        assert alert.banks == [BANK]
        assert [loan.loan_id for loan in alert.loans] == [f"L-{alert.enterprise_id}"]
    assert any("经营流入骤降" in alert.title_zh for alert in own if alert.signal == "EWS01_inflow_collapse")


def test_another_banks_transactions_are_not_named_to_a_lender():
    events = [loan("l", "E1", 0), authorization("a", "E1")]
    for day in range(190):
        sender = OTHER_BANK if day % 2 else BANK
        fen = 10**6 if day < 150 else 1_000
        events += [txn(f"t{day}", "E1", day, 5, fen, bank_id=sender), tick(day)]
    _, messages = run([record(e) for e in events])
    own, all_ = of(messages, topics.bank_alerts(BANK), Alert), of(messages, topics.ALERT_SUPERVISOR, Alert)
    foreign = {f"t{day}" for day in range(1, 190, 2)}
    assert any(set(a.event_ids) & foreign for a in all_), "an alert must follow from the other bank's transaction"
    assert not any(set(a.event_ids) & foreign for a in own)


@pytest.mark.parametrize(
    "fields",
    [{"purpose": "贷前审批"}, {"valid_to": 1}, {"valid_from": 2**51}, {"revoked": True}],
    ids=["another purpose", "expired", "not yet valid", "revoked"],
)
def test_without_a_valid_authorization_a_lender_gets_no_alert(fields):
    events = [loan("l", "E1", 0), authorization("a", "E1", **fields)]
    for day in range(180):
        events += [txn(f"t{day}", "E1", day, 5, 10**6 if day < 150 else 1_000), tick(day)]
    _, messages = run([record(e) for e in events])
    assert of(messages, topics.ALERT_SUPERVISOR, Alert)
    assert not of(messages, topics.bank_alerts(BANK), Alert)


def test_a_stalled_feed_holds_the_signal_and_marks_an_open_episode_stale():
    events = []
    for day in range(170):
        events += [txn(f"t{day}", "E1", day, 5, 10**6 if day < 150 else 1_000), tick(day, stalled=day > 165)]
    events.append(tick(171, stalled=True))
    _, messages = run([record(e) for e in events])
    assert [a.state for a in of(messages, topics.ALERT_SUPERVISOR, Alert)][-1] == "stale"


def test_a_day_waits_for_the_bank_that_has_not_closed_it():
    events = [txn("t0", "E1", 0), tick(0, closed=-1), txn("t1", "E1", 1), tick(1, closed=0), tick(2, closed=2)]
    partition = Partition(0, no_model)
    closed = []
    for at, event in enumerate(events):
        list(partition.apply(chunk_of("events.v1", 0, at, [record(event)])))
        closed.append(int(partition.state["closed_day"][0]) - FIRST_DAY)
    assert closed == [-1, -1, -1, 0, 2]


def test_a_receipt_closes_a_day_also_where_event_time_stands():
    events = [txn("t0", "E1", 0), tick(0, closed=-1), tick(0), txn("t1", "E1", 1)]
    partition = Partition(0, no_model)
    for at, event in enumerate(events[:3]):
        list(partition.apply(chunk_of("events.v1", 0, at, [record(event)])))
    assert int(partition.state["closed_day"][0]) == FIRST_DAY


def test_a_repeated_tick_is_no_op():
    partition, first = run([record(txn("t0", "E1", 0)), record(tick(3))])
    again = list(partition.apply(chunk_of("events.v1", 0, 2, [record(tick(3)), record(tick(1))])))
    assert first
    assert again == []
    assert partition.saved.ticks_count == 3


def test_silence_moves_the_score_and_is_observed_where_a_loan_is_open():
    events = [loan("l", "E1", 0), *(txn(f"t{d}", "E1", d) for d in range(20)), tick(19)]
    quiet = [tick(day) for day in range(20, 75)]
    _, messages = run([record(e) for e in events + quiet])
    scores = of(messages, topics.SCORE, Score)
    assert scores[-1].score < scores[20].score
    observed = [(o.kind, o.day - FIRST_DAY) for o in of(messages, topics.OBSERVATION, Observation)]
    assert observed == [("grant", 0), ("month", 30), ("month", 59), ("month", 90 - 16)] or observed[:3] == [
        ("grant", 0),
        ("month", 30),
        ("month", 59),
    ]
    for o in of(messages, topics.OBSERVATION, Observation):
        assert set(o.utilities_ppm) == set(CORE)
        assert set(o.values_micro) == set(INDICATORS)


def test_a_record_that_is_no_event_is_dead_lettered_in_its_place():
    bad = (b"E1", b"{oops", HEADERS, 0)
    other = (b"E1", record(txn("t9", "E1", 0))[1], [("schema", b"xinliu.event/9")], 0)
    partition, messages = run([record(txn("t0", "E1", 0)), bad, other, record(txn("t1", "E1", 1))])
    letters = of(messages, topics.DEAD_LETTERS, DeadLetter)
    assert [(m.offset, m.reason) for m in letters] == [(1, "not_json"), (2, "unknown_version")]
    assert [m.mark for m in messages] == sorted(m.mark for m in messages)
    assert partition.saved.dead_letters_count == 2
    assert partition.saved.low_offset == 4


def test_fault_34_a_backfill_raises_nothing_to_banks(fault):
    def control(action):
        return Control(control_id=action, action=action, by="op", reason="test")

    def body(e):
        value = msgspec.json.encode(LogRecord(event=e)) if isinstance(e, Control) else record(e)[1]
        return None, value, HEADERS, 0

    events = [control("backfill_open"), loan("l", "E1", 0), authorization("a", "E1")]
    for day in range(160):
        events += [txn(f"t{day}", "E1", day, 5, 10**6 if day < 150 else 1_000), tick(day)]
    events += [control("backfill_close")]
    for day in range(160, 180):
        events += [txn(f"t{day}", "E1", day, 5, 10), tick(day)]
    _, messages = run([body(e) for e in events])
    close_at = len(events) - 41
    assert of(messages, topics.ALERT_BACKFILL, Alert)
    assert all(m.mark >= close_at for m in messages if m.topic.startswith("alert."))
    stock = [a for a in of(messages, topics.bank_alerts(BANK), Alert) if a.stock]
    assert [(a.signal, a.state, a.offset) for a in stock] == [
        (signal, "raised", close_at) for signal in ("EWS20_payer_concentration", "EWS01_inflow_collapse")
    ]
    fault(injected=close_at, observed=f"nothing to a bank before the backfill closed, then {len(stock)} lines of stock")


def test_fault_39_another_engine_version_in_the_log_stops_this_one(fault):
    control = Control(control_id="v", action="engine_version", artefact_id="f" * 16, by="op", reason="upgrade")
    value = msgspec.json.encode(LogRecord(event=control))
    before = [record(txn(f"t{i}", "E1", i)) for i in range(3)]
    partition, messages = Partition(0, no_model), []
    with pytest.raises(EngineVersionChanged, match=rf"offset 3: .* engine f{{16}}, this is {engine_version()}"):
        messages.extend(fault.inject(applied, partition, [*before, (None, value, HEADERS, 0), record(tick(4))], 1_000))
    assert by_topic(messages) == by_topic(run(before)[1])
    saved = msgspec.structs.asdict(partition.saved)
    wanted = {"low_offset": 3, "engine_version": engine_version(), "next_engine": "f" * 16, "controls_count": 0}
    assert {name: saved[name] for name in wanted} == wanted
    fault(observed="ended at the control record, all before it applied, naming the version that goes on")


@pytest.mark.parametrize("bank_id", [BANK, OTHER_BANK, GATEWAY, "A0000000000000", "Z9999999999999"])
def test_bank_codes_are_numbers_and_back(bank_id):
    assert bank_text(bank_number(bank_id)) == bank_id
    assert bank_number(bank_id) != 0
    assert bank_number(bank_id) < 2**63


def test_amounts_at_the_bound_neither_overflow_nor_lose_a_fen():
    most = 10**15
    partition, _ = run([record(txn(f"t{i}", "E1", 0, i, most)) for i in range(10)])
    assert int(partition.state["day_amount"][0][:, FIRST_DAY % 35].sum()) == 10 * most
    assert day_of(day_start_ms(FIRST_DAY)) == FIRST_DAY
    assert np.isfinite(partition.state["payer_all"][0])
