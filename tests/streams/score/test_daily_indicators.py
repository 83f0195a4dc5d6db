"""indicator.v1: every indicator at every day's close, in a backfill at a month's end, in the bytes of msgspec."""

import collections
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import catalogue_id
from detectors import scorecard
from detectors.prior import prior_id, prior_snapshot
from detectors.rules.artefact import packaged_rules
from domain import topics
from domain.calendar import date_of, day_of, day_start_ms
from domain.events import Control, Feed, Gov, Tick
from domain.outputs import Indicators, Observation
from features.indicators import CORE, INDICATOR_COUNT, INDICATORS
from features.indicators.nulls import NULL_NAMES, VALUE
from features.state.buckets import NO_UNIT
from streams.score import outbook, outputs_json, reevaluation
from streams.score.indicator_json import BYTES_MAX
from streams.score.json_text import micro
from streams.score.partition import Partition
from streams.score.version import engine_version
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    GATEWAY,
    OTHER_BANK,
    applied,
    loan,
    log_of,
    no_model,
    prior_engine,
    record,
    tick,
    txn,
    written_rows,
)

SNAPSHOT = prior_snapshot()
ACTIVE = "active_days_30d_ratio"
TERMS = outputs_json.terms(SNAPSHOT, scorecard.scorecard(SNAPSHOT), prior_id(), packaged_rules().id, engine_version())
rows = st.fixed_dictionaries(
    {
        "value": st.lists(st.floats(-1e16, 1e16), min_size=INDICATOR_COUNT, max_size=INDICATOR_COUNT),
        "null": st.lists(
            st.integers(0, len(NULL_NAMES) - 1), min_size=INDICATOR_COUNT, max_size=INDICATOR_COUNT
        ),
        "as_of_ms": st.integers(10**10, 2**53),
        "offset": st.integers(0, 2**62),
        "seq": st.integers(0, 2**31 - 1),
        "provisional_calendar": st.integers(0, 1),
    }
)  # fmt: skip


def run(records, size=1_000):
    partition = Partition(0, no_model)
    return partition, list(applied(partition, [record(event) for event in records], size))


def of(messages, topic=topics.INDICATOR, kind=Indicators):
    return [msgspec.json.decode(m.value, type=kind) for m in messages if m.topic == topic]


def reference(cells, enterprise_id):
    """Return the struct of the same numbers, made in Python."""
    read = dict(zip(INDICATORS, zip(cells["value"], cells["null"], strict=True), strict=True))
    return Indicators(
        enterprise_id=enterprise_id, day=day_of(cells["as_of_ms"] - 1), as_of=cells["as_of_ms"],
        values_micro={name: int(micro(value)) for name, (value, null) in read.items() if null == VALUE},
        null_reasons={name: NULL_NAMES[null] for name, (_, null) in read.items() if null != VALUE},
        catalogue_id=catalogue_id(), engine_version=engine_version(), offset=cells["offset"], seq=cells["seq"],
        provisional_calendar=[ACTIVE] if cells["provisional_calendar"] and read[ACTIVE][1] == VALUE else msgspec.UNSET,
    )  # fmt: skip


def written(many, enterprise_id):
    """The bytes of each row by the compiled writer."""
    return written_rows(outbook.INDICATORS, many, enterprise_id, TERMS)


@settings(max_examples=200)
@given(st.lists(rows, min_size=1, max_size=3), st.text("0123456789ABCDEFGHJKLMNPQRTUWXY_-", min_size=1, max_size=32))
def test_bytes_equal_those_of_msgspec(many, enterprise_id):
    expected = [msgspec.json.encode(reference(cells, enterprise_id)) for cells in many]
    assert written(many, enterprise_id) == expected


@pytest.mark.parametrize("null", [VALUE, int(np.argmax([len(name) for name in NULL_NAMES]))])
def test_the_longest_row_fits_its_place(null):
    longest = {
        "value": [-1e16] * INDICATOR_COUNT, "null": [null] * INDICATOR_COUNT, "as_of_ms": 2**53, "offset": 2**62,
        "seq": 2**31 - 1, "provisional_calendar": 1,
    }  # fmt: skip
    assert len(written([longest], "X" * 32)[0]) < BYTES_MAX


def test_each_closed_day_of_each_enterprise_is_one_record_with_every_indicator(module_seed):
    partition = Partition(0, no_model)
    messages = list(applied(partition, log_of(module_seed), 1_000))
    keys = [m.key.decode() for m in messages if m.topic == topics.INDICATOR]
    found = of(messages)
    assert [each.enterprise_id for each in found] == keys
    days = collections.defaultdict(list)
    for each in found:
        days[each.enterprise_id].append(each.day)
        assert sorted((*each.values_micro, *each.null_reasons)) == sorted(INDICATORS)
        assert set(each.null_reasons.values()) <= set(NULL_NAMES) - {""}
        assert each.as_of == day_start_ms(each.day + 1)
        assert (each.catalogue_id, each.engine_version) == (catalogue_id(), engine_version())
    state = partition.state[partition.residents.rows()]
    assert len(days) == len(state)
    for row in state:
        name = row["id"].tobytes().rstrip(b"\0").decode()
        first = max(int(row["first_day"]), days[name][0])
        assert days[name] == list(range(first, int(row["closed_day"]) + 1))
    assert {reason for each in found for reason in each.null_reasons.values()} >= {"history", "not_applicable"}
    # The point-in-time record of an open loan at a month's end is written another way, from the same evaluation.
    by_place = {(each.enterprise_id, each.as_of): each for each in found}
    observed = [each for each in of(messages, topics.OBSERVATION, Observation) if each.kind == "month"]
    assert observed
    for each in observed:
        daily = by_place[each.enterprise_id, each.as_of]
        assert {name: daily.values_micro.get(name) for name in INDICATORS} == each.values_micro
        assert daily.null_reasons == each.nulls
        assert set(each.utilities_ppm) == set(CORE)
        assert (daily.offset, daily.as_of) == (each.offset, each.as_of)


def test_they_are_what_an_evaluation_right_after_the_close_reads():
    rnd = random.Random(7)
    trade = [
        event
        for day in range(100)
        for event in (
            *(txn(f"{day}-{e}", f"E{e}", day, rnd.randrange(10**6), rnd.randrange(10**5, 10**7)) for e in range(4)),
            tick(day),
        )
    ]
    partition, messages = run([loan("l", "E1", 0), *trade])
    last = {each.enterprise_id: each for each in of(messages)}
    rows_ = partition.residents.rows()
    assert (partition.state["closed_day"][rows_] == FIRST_DAY + 99).all()
    drafts = reevaluation.reevaluate(partition.state[rows_].copy(), prior_engine(partition))
    for row, draft in zip(partition.state[rows_], drafts, strict=True):
        said = last[row["id"].tobytes().rstrip(b"\0").decode()]
        readings = [each for each in reevaluation.readings(draft) if each.id in INDICATORS]
        assert said.values_micro == {each.id: int(micro(each.value)) for each in readings if not each.null}
        assert said.null_reasons == {each.id: each.null for each in readings if each.null}
    assert len(last) == 4


def test_a_silent_enterprise_still_has_a_record_a_day_and_one_that_no_bank_knows_none():
    now = day_start_ms(FIRST_DAY)
    penalty = Gov(event_id="g", bank_id=GATEWAY, enterprise_id="E3", event_time=now, event="penalty", source="s")
    _, messages = run([txn("t", "E1", 0), loan("l", "E2", 0), penalty, *(tick(day) for day in range(5))])
    found = sorted((each.enterprise_id, each.day - FIRST_DAY) for each in of(messages))
    assert found == [(name, day) for name in ("E1", "E2") for day in range(5)]
    silence = [each.values_micro["days_since_any_txn_days"] for each in of(messages) if each.enterprise_id == "E1"]
    assert silence == [(day + 1) * 10**6 for day in range(5)]


def test_a_borrower_without_transactions_has_no_covered_day_until_they_begin():
    partition, _ = run([loan("l", "E1", 0), *(tick(day) for day in range(40)), txn("t", "E1", 40), tick(40), tick(41)])
    (row,) = partition.state[partition.residents.rows()]
    assert (int(row["closed_day"]), int(row["first_day"])) == (FIRST_DAY + 41, FIRST_DAY + 40)
    assert int(row["covered_days"][0]) == 2


def without_receipts(day: int, after_ms: int = 0) -> Tick:
    """Time is `after_ms` into the day after `day`, which has closed by time alone: no receipt has come yet."""
    feeds = {bank: Feed(closed_up_to=FIRST_DAY + day) for bank in (BANK, OTHER_BANK)}
    return Tick(up_to=day_start_ms(FIRST_DAY + day + 1) + after_ms, feeds=feeds)


@pytest.mark.parametrize("hours", [1, 7, 24])
def test_days_of_a_borrower_without_transactions_wait_for_a_lenders_first_receipt(hours):
    """So nothing hangs on when ticks came while time alone closed days; each midnight has one, at least."""
    made = [loan("l", "E1", 0), *(loan(f"o{day}", "E1", day, "overdue", dpd=2) for day in (3, 5, 12))]
    ticks = [without_receipts(-1, hour * 3_600_000) for hour in range(hours, 10 * 24, hours)]
    before = sorted([*made[:3], *ticks], key=lambda event: event.up_to if isinstance(event, Tick) else event.event_time)
    _, messages = run([*before, *(tick(day) for day in range(9, 12)), made[3], tick(12)])
    found = [(each.day - FIRST_DAY, each.values_micro["dpd_max_days"]) for each in of(messages)]
    assert found == [(9, 6 * 10**6), (10, 7 * 10**6), (11, 8 * 10**6), (12, 2 * 10**6)]


def test_a_borrower_without_transactions_lacks_history_not_coverage():
    _, messages = run([loan("l", "E1", 0), *(tick(day) for day in range(100))])
    last = of(messages)[-1]
    assert "not_covered" not in last.null_reasons.values()
    assert last.null_reasons["op_inflow_yoy_2m_ratio"] == "history"


def test_several_days_closed_by_one_tick_are_a_record_each():
    _, messages = run([txn("t", "E1", 0), tick(6)])
    found = of(messages)
    assert [each.day - FIRST_DAY for each in found] == list(range(7))
    assert {each.offset for each in found} == {1}
    assert [each.seq for each in found] == sorted({each.seq for each in found})


def test_in_a_backfill_only_a_months_last_day_is_published():
    def control(action):
        return Control(control_id=action, action=action, by="op", reason="test")

    trade = [event for day in range(70) for event in (txn(f"t{day}", "E1", day), tick(day))]
    whole, in_backfill = run(trade), run([control("backfill_open"), *trade, control("backfill_close"), tick(70)])
    said = [date_of(each.day).isoformat() for each in of(in_backfill[1])]
    assert said == ["2024-01-31", "2024-02-29", "2024-03-11"], "the last is the first day after it"
    by_day = {each.day: each.values_micro for each in of(whole[1])}
    for each in of(in_backfill[1])[:2]:
        assert each.values_micro == by_day[each.day]
    assert whole[0].state["closed_day"].max() > NO_UNIT


def test_written_rows_are_counted():
    partition, messages = run([txn("t", "E1", 0), tick(6)])
    assert partition.take_tally().written["indicator", "", ""] == len(of(messages)) == 7
