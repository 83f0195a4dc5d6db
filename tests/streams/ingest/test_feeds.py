"""Feeds and ticks: coverage, closing, stalling, and that the last tick is enough to start again."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from config.settings import Bank
from domain.calendar import DAY_MS, day_of, day_start_ms
from streams.ingest.feeds import HOUR_MS, Feeds

A, B = "Z9000000000001", "Z9000000000002"
DAY = 19_000


def feeds():
    banks = (Bank(bank_id=A, name_zh="甲", deadline_hours=12), Bank(bank_id=B, name_zh="乙", deadline_hours=36))
    return Feeds(banks)


def at(day, hours=0):
    return day_start_ms(DAY + day) + hours * HOUR_MS


def test_coverage_goes_on_from_the_first_receipt_without_a_gap():
    one = feeds()
    seen = []
    for day in (5, 6, 8, 9, 3, 7, 8, 11):
        one.receipt(A, DAY + day)
        feed = one.tick(at(12)).feeds[A] if one.up_to is None else one.tick(one.up_to + 1).feeds[A]
        seen.append((feed.covered_up_to - DAY, tuple(day - DAY for day in feed.receipts_ahead)))
    assert seen == [(5, ()), (6, ()), (6, (8,)), (6, (8, 9)), (6, (8, 9)), (9, ()), (9, ()), (9, (11,))]


def test_the_last_missing_receipt_of_a_day_is_recognised():
    one = feeds()
    assert [one.receipt(A, DAY), one.receipt(B, DAY), one.receipt(B, DAY + 1), one.receipt(B, DAY + 1)] == [
        False, True, False, False,
    ]  # fmt: skip
    assert [one.receipt(A, DAY + 2), one.receipt(A, DAY + 1), one.receipt(B, DAY + 2)] == [False, True, True]
    one.receipt(A, DAY + 9)
    one.event(A, at(20))
    one.tick(at(20))  # B has been silent: nobody waits for it
    assert one.receipt(A, DAY + 3)


def test_a_day_is_closed_by_its_receipt_or_by_the_bank_s_deadline():
    one = feeds()
    one.receipt(A, DAY)
    one.event(B, at(0, 10))
    first = one.tick(at(1)).feeds
    assert (first[A].closed_up_to, first[B].closed_up_to) == (DAY, DAY - 2)
    # A's day 1 ends with its deadline, 12 hours after the day's end; B's day 0 after 36.
    assert one.tick(at(2, 12) - 1).feeds[A].closed_up_to == DAY
    second = one.tick(at(2, 12)).feeds
    assert (second[A].closed_up_to, second[A].covered_up_to, second[B].closed_up_to) == (DAY + 1, DAY, DAY)


def test_a_feed_is_stalled_after_two_silent_days_and_comes_back():
    one = feeds()
    one.event(A, at(0, 15))
    one.event(B, at(0, 15))
    assert not one.tick(at(3) - 1).feeds[A].stalled
    assert one.tick(at(3)).feeds[A].stalled
    one.event(A, at(3, 1))
    tick = one.tick(at(3, 2))
    assert (tick.feeds[A].stalled, tick.feeds[B].stalled) == (False, True)


def test_a_receipt_of_an_empty_day_keeps_a_feed_alive_and_moves_time():
    one = feeds()
    one.event(A, at(0, 15))
    for day in range(1, 6):
        one.receipt(A, DAY + day)
    assert one.reached_ms() == at(6)
    assert not one.tick(at(6)).feeds[A].stalled


def test_nothing_new_makes_no_tick_and_time_never_goes_back():
    one = feeds()
    assert one.tick(None) is None
    one.event(A, at(0))
    assert one.tick(at(0)) is not None
    assert one.tick(at(0)) is None
    assert one.tick(at(-1)) is None
    one.event(A, at(0) + 1)
    assert one.tick(at(-1)).up_to == at(0) + 1, "it says something new, so it is not a repeat"


def test_no_tick_is_past_the_limit_also_where_only_coverage_has_moved():
    one = feeds()
    one.event(A, at(0, 12))
    assert [tick.up_to for tick in one.ticks(at(0, 12), at(0, 12) + 1)] == [at(0, 12)]
    seen = []
    for day in (0, 1, 2):
        one.receipt(A, DAY + day)
        seen += one.ticks(at(0, 12), at(0, 12) + 1)
    assert [(tick.up_to - at(0, 12), tick.feeds[A].covered_up_to - DAY) for tick in seen] == [(1, 0)]
    (told,) = one.ticks(at(0, 13), at(0, 14))
    assert told.feeds[A].covered_up_to == DAY + 2


def test_each_midnight_passed_has_a_tick_of_its_own():
    one = feeds()
    one.event(A, at(0, 12))
    assert [tick.up_to for tick in one.ticks(at(0, 12))] == [at(0, 12)]
    for day in range(3):
        one.receipt(A, DAY + day)
        one.receipt(B, DAY + day)
    ticks = one.ticks(at(3, 1))  # as another worker's word may tell it, three days at once
    assert [tick.up_to for tick in ticks] == [at(1), at(2), at(3, 1)]
    assert one.ticks(at(3, 1)) == []
    assert [day_of(tick.up_to) - DAY for tick in one.ticks(at(400, 1))] == [*range(393, 400), 400]


def test_repeated_or_reordered_messages_change_nothing():
    one = feeds()
    for bank_id in (A, B):
        one.receipt(bank_id, DAY)
        one.event(bank_id, at(3))
    told = one.tick(at(3))
    for day in (0, -1):
        one.receipt(A, DAY + day)
    one.event(A, at(2))
    assert one.tick(at(3)) is None
    one.restore(told)
    assert one.tick(at(3)) is None, "a tick is in all partitions or in none: the last one need not be told again"


def test_ticks_trail_the_newest_event_by_the_grace():
    one = Feeds((Bank(bank_id=A, name_zh="甲"),), grace_ms=HOUR_MS)
    one.event(A, at(1))
    assert one.reached_ms() == at(1) - HOUR_MS


def test_a_daily_file_is_stalled_only_after_its_deadline():
    """A delivery up to 48 hours after the day is on time; a live bank would be stalled."""
    banks = (
        Bank(bank_id=A, name_zh="甲", deadline_hours=48),
        Bank(bank_id=B, name_zh="乙", mode="daily_file", deadline_hours=48),
    )
    one = Feeds(banks)
    for bank_id in (A, B):
        one.event(bank_id, at(0, 15))
    tick = one.tick(at(4))
    assert (tick.feeds[A].stalled, tick.feeds[B].stalled) == (True, False)
    assert one.tick(at(5)).feeds[B].stalled


STEPS = st.lists(
    st.tuples(st.sampled_from(["event", "receipt", "tick"]), st.sampled_from([A, B]), st.integers(0, 20 * DAY_MS)),
    max_size=60,
)


@given(before=STEPS, after=STEPS)
def test_the_last_tick_is_enough_to_start_again(before, after):
    one, other = feeds(), feeds()
    play(one, before)
    last = one.tick(one.reached_ms()) or one.last
    other.restore(last)
    assert play(one, after) == play(other, after)


@given(steps=STEPS)
def test_up_to_coverage_and_closing_only_grow(steps):
    ticks = play(feeds(), steps)
    for earlier, later in pairwise(ticks):
        assert earlier.up_to <= later.up_to
        for bank_id in (A, B):
            for name in ("last_event_time", "covered_up_to", "closed_up_to"):
                was, now = getattr(earlier.feeds[bank_id], name), getattr(later.feeds[bank_id], name)
                assert was is None or was <= now


def play(one, steps):
    """The ticks after each step; a step without news counts as the last tick again."""
    said = []
    for kind, bank_id, offset_ms in steps:
        time_ms = at(0) + offset_ms
        if kind == "event":
            one.event(bank_id, time_ms)
        elif kind == "receipt":
            one.receipt(bank_id, day_of(time_ms))
        elif (tick := one.tick(time_ms) or one.last) is not None:
            said.append(tick)
    return said
