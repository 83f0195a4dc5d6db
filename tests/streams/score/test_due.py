"""A tick that visits only the rows it can change equals one that visits all."""

from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import topics
from domain.calendar import day_start_ms
from domain.events import Feed, Tick
from streams.score import due
from streams.score.due import TickIndex
from streams.transport.chunk import chunk_of
from tests.streams.score.kit import (
    BANK,
    FIRST_DAY,
    OTHER_BANK,
    flush,
    loan,
    partition_on,
    record,
    said,
    state_of,
    tick,
    txn,
)

BANKS = (BANK, OTHER_BANK, "A1000000000003")
ENTERPRISES = ("E1", "E2", "E3")


@st.composite
def events(draw):
    """Return trade at three banks of very different size, with ticks that change much, little, or nothing."""
    made, day = [], 0
    closed, covered = dict.fromkeys(BANKS, -1), dict.fromkeys(BANKS)
    stalled = dict.fromkeys(BANKS, False)
    for n in range(draw(st.integers(5, 40))):
        kind = draw(st.sampled_from(("txn", "txn", "loan", "day", "close", "receipt", "stall", "second", "repeat")))
        enterprise, bank = draw(st.sampled_from(ENTERPRISES)), draw(st.sampled_from(BANKS))
        if kind == "txn":  # some in the past, so that the next tick finds days due whatever it says
            fen = draw(st.sampled_from((10**4, 10**6, 10**8)))
            ago = draw(st.sampled_from((0, 0, 3)))
            made.append(txn(f"t{n}", enterprise, max(0, day - ago), n, fen, bank_id=bank))
            continue
        if kind == "loan":
            made.append(loan(f"l{n}", enterprise, day, loan_id=f"L{n}", bank_id=bank))
            continue
        if kind == "day":
            day += draw(st.integers(1, 3))
        elif kind in ("close", "receipt"):
            closed[bank] = max(closed[bank], draw(st.integers(0, day)))
            covered[bank] = FIRST_DAY + closed[bank] if kind == "receipt" else covered[bank]
        elif kind == "stall":
            stalled[bank] = not stalled[bank]
        feeds = {
            b: Feed(covered_up_to=covered[b], closed_up_to=FIRST_DAY + closed[b], stalled=stalled[b])
            for b in BANKS[: 2 + n % 2]
        }
        made.append(Tick(up_to=day_start_ms(FIRST_DAY + day) + (0 if kind == "repeat" else n), feeds=feeds))
    return [record(event) for event in made]


def outcome(records, cuts=(), resident_max=2**31 - 1):
    """Messages by key and values; at the offsets `cuts` all is flushed and memory lost."""
    stored, said_by_key = {}, {}
    partition = partition_on(stored, resident_max=resident_max)
    for at, row in enumerate(records):
        if at in cuts:
            flush(partition, stored)
            partition = partition_on(stored, partition.saved, resident_max=resident_max)
        for m in said(partition, chunk_of("events.v1", 0, at, [row]), stored):
            said_by_key.setdefault((m.topic, m.key), []).append(m.value)
    return said_by_key, state_of(partition, stored)


@settings(max_examples=100, deadline=None)
@given(events(), st.sets(st.integers(0, 39), max_size=12), st.sampled_from((1, 2, 2**31 - 1)))
def test_ticks_that_pass_enterprises_by_miss_none(records, cuts, resident_max):
    with mock.patch.object(
        TickIndex, "affected", lambda self, _day, _feeds: np.arange(self._residents.known, dtype="i4")
    ):
        looked_at_all = outcome(records)
    assert outcome(records, cuts, resident_max) == looked_at_all


def test_a_close_that_lags_by_more_than_the_lateness_leaves_the_same_values_whoever_was_in_memory():
    events = [
        txn("t0", "E1", 0),
        txn("t1", "E1", 1, bank_id=OTHER_BANK),
        loan("l", "E1", 9, loan_id="L"),
        txn("t2", "E2", 9),
        tick(9, closed=0),
    ]
    records = [record(event) for event in events]
    assert outcome(records, resident_max=1) == outcome(records)


def test_a_restart_forgets_nobody_whom_the_next_tick_must_look_at():
    events = [txn("t", "E1", 0), tick(3), txn("old", "E2", 1), later(tick(3), 1_000)]
    clean, restarted = (outcome([record(event) for event in events], cuts) for cuts in ((), (3,)))
    assert restarted == clean
    assert sum(len(values) for _, values in clean[0].items()) > 4
    with mock.patch.object(TickIndex, "names", return_value=[]):
        assert outcome([record(event) for event in events], (3,)) != clean


@pytest.mark.parametrize("cut", range(1, 6))
def test_days_that_begin_with_a_receipt_begin_alike_where_memory_was_lost_between(cut):
    events = [
        loan("l", "E1", 3, "overdue", dpd=40),
        no_receipt(tick(3)),
        later(tick(3), 1_000),  # the day was passed, and stays so
        txn("t", "E1", 2),
        later(tick(3), 2_000),
        tick(5),
    ]
    records = [record(event) for event in events]
    clean, restarted = outcome(records), outcome(records, (cut,))
    assert restarted == clean
    days = [msgspec.json.decode(value)["day"] for value in clean[0][topics.INDICATOR, b"E1"]]
    assert days == [FIRST_DAY + 4, FIRST_DAY + 5]


def test_more_enterprises_than_are_named_are_all_looked_at_after_a_restart():
    events = [txn(f"t{n}", f"E{n}", 0) for n in range(300)]
    stored, partition = {}, partition_on({})
    list(said(partition, chunk_of("events.v1", 0, 0, [record(event) for event in events])))
    assert partition.saved.unlooked is None
    flush(partition, stored)
    again = partition_on(stored, partition.saved)
    list(said(again, chunk_of("events.v1", 0, 300, [record(tick(2))])))
    assert (again.state["closed_day"][again.residents.rows()] == FIRST_DAY + 2).sum() == 300
    assert again.saved.unlooked == []


def test_a_tick_passes_by_whom_it_cannot_change():
    partition, looked = partition_on({}), []
    real = TickIndex.affected

    def spy(self, *word):
        numbers = real(self, *word)
        looked.append(sorted(self._residents.names_of(numbers)))
        return numbers

    of_bank = {"E1": BANK, "E2": OTHER_BANK}
    steps = [
        *(txn(f"t{e}", e, 0, 5, bank_id=bank) for e, bank in of_bank.items()),
        tick(0, closed=-1),  # both are new
        later(tick(0, closed=-1), 1_000),  # a second later nothing has changed
        txn("t", "E2", 1, 5, bank_id=OTHER_BANK),
        later(tick(0, closed=-1), 2_000),  # but here a record came
        with_feed(tick(1, closed=-1), BANK, closed_up_to=FIRST_DAY),  # E2's bank has not closed the day
        with_feed(tick(1, closed=0), BANK, closed_up_to=FIRST_DAY),
        with_feed(tick(1, closed=0), BANK, closed_up_to=FIRST_DAY, stalled=True),
    ]
    with mock.patch.object(due.TickIndex, "affected", spy):
        for at, event in enumerate(steps):
            list(said(partition, chunk_of("events.v1", 0, at, [record(event)])))
    assert looked == [["E1", "E2"], [], ["E2"], ["E1"], ["E2"], ["E1"]]


def later(event, ms):
    return msgspec.structs.replace(event, up_to=event.up_to + ms)


def no_receipt(event):
    feeds = {bank: msgspec.structs.replace(feed, covered_up_to=None) for bank, feed in event.feeds.items()}
    return msgspec.structs.replace(event, feeds=feeds)


def with_feed(event, bank, **fields):
    feed = msgspec.structs.replace(event.feeds[bank], **fields)
    return msgspec.structs.replace(event, feeds={**event.feeds, bank: feed})
