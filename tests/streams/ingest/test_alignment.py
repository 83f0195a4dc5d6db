"""Alignment by event time, over random feeds and random orders of delivery, in one worker and between several."""

import random
from collections import deque

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.outputs import FeedProgress
from streams.ingest.alignment import Alignment, Standing
from streams.ingest.end_offset_probe import NOTHING_MS
from streams.worker.role import TP

BOUND_MS = 100


@given(st.data())
def test_events_noted_at_once_say_what_each_of_them_would(data):
    a, b = TP("a", 0), TP("b", 0)
    one, other = (Alignment(BOUND_MS, lambda _: (0, None)) for _ in range(2))
    times_ms = data.draw(st.lists(st.integers(0, 500), min_size=1, max_size=8))
    first = data.draw(st.integers(0, 5))
    for alignment in (one, other):
        alignment.begin({a, b})
    for at in data.draw(st.lists(st.integers(0, 14), max_size=3)):
        for alignment in (one, other):
            alignment.answered({a: at, b: 0}, 7)
    offsets = list(range(first, first + len(times_ms)))
    one.reach_all(a, offsets, times_ms)
    for offset, time_ms in zip(offsets, times_ms, strict=True):
        other.reach(a, offset, time_ms)
    for _ in range(3):
        assert one.front(a) == other.front(a)
        assert (one.run(b, 0), one.tick_ms_max(), one.newest_ms()) == (
            other.run(b, 0), other.tick_ms_max(), other.newest_ms(),
        )  # fmt: skip
        for alignment in (one, other):
            alignment.answered({a: 20, b: 0}, None)


class Reader:
    """Reads feeds as the ingest role does: applies, holds, asks, releases; a feed's log may grow while it is read."""

    def __init__(self, feeds, growing, rng, others=()):
        self.rng = rng
        self.logs = {TP(name, 0): times for name, times in feeds.items()}
        self.ends = {tp: len(times) // (2 if growing else 1) for tp, times in self.logs.items()}
        self.grown_from = dict(self.ends)
        self.newest_ms = max((max(times[: self.ends[tp]], default=0) for tp, times in self.logs.items()), default=0)
        self.known = dict.fromkeys(self.logs)  # the end of the log as the last fetch said it
        self.delivered = dict.fromkeys(self.logs, 0)
        self.held = {tp: deque() for tp in self.logs}
        self.applied = {tp: [] for tp in self.logs}
        self.alignment = Alignment(BOUND_MS, lambda tp: (self.delivered[tp], self.known[tp]))
        self.alignment.begin(self.logs, others)

    def deliver(self, tp):
        self.known[tp] = self.ends[tp]
        start = self.delivered[tp]
        end = min(self.ends[tp], start + self.rng.randint(1, 5))
        if end > start:
            chunk = list(range(start, end))
            if self.held[tp]:
                self.held[tp].append(chunk)
            else:
                self.run(tp, chunk)
            self.delivered[tp] = end
        self.release()

    def release(self):
        self.ask()
        while (ready := self.alignment.release()) is not None:
            while self.held[ready] and self.run(ready, self.held[ready].popleft()):
                pass

    def ask(self):
        tps, asked_ms = self.alignment.to_ask()
        if tps:
            self.alignment.answered({tp: self.log_end(tp) for tp in tps}, asked_ms)

    def log_end(self, tp):
        return self.ends[tp]

    def run(self, tp, chunk):
        limit_ms = self.alignment.run(tp, chunk[0])
        for n, offset in enumerate(chunk):
            time_ms = self.logs[tp][offset]
            if limit_ms is not None and time_ms > limit_ms:
                self.held[tp].appendleft(chunk[n:])
                self.alignment.hold(tp, offset, time_ms)
                return False
            self.check(tp, time_ms)
            self.alignment.reach(tp, offset, time_ms)
            self.applied[tp].append(offset)
        self.alignment.done(tp, chunk[-1] + 1, more=bool(self.held[tp]))
        return True

    def agrees(self):
        """Assert that the incremental result equals that over all feeds."""
        alignment, feeds = self.alignment, self.alignment._feeds
        for but in (None, *feeds):
            vouched = [alignment._watermark_ms(tp, feed) for tp, feed in feeds.items() if tp != but]
            least_ms = min(vouched, default=None)
            assert alignment._limit_ms(but) == (least_ms if least_ms in (None, NOTHING_MS) else least_ms + BOUND_MS)
        unread_ms = alignment.unread_ms()
        for time_ms in (0, self.newest_ms // 2, self.newest_ms, self.newest_ms + 1):
            assert alignment.is_unread_before(time_ms) == (unread_ms is not None and unread_ms < time_ms)

    def check(self, tp, time_ms):
        """No record is applied further ahead than the bound of the oldest record that any other feed has unread, or of
        the newest that any had delivered when that one was."""
        for other, times in self.logs.items():
            done = len(self.applied[other])
            end = self.known[other]
            if other != tp and end is not None and done < end:
                from_ms = max(times[: done + 1])
                if done >= self.grown_from[other]:
                    from_ms = max(from_ms, self.newest_ms)
                assert time_ms <= from_ms + BOUND_MS, (tp, time_ms, other, times[done])

    def paused(self):
        return {tp for tp, chunks in self.held.items() if chunks}


FEEDS = st.lists(st.lists(st.integers(0, 2_000), max_size=40).map(sorted), min_size=1, max_size=6)


@given(feeds=FEEDS, growing=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_every_order_of_delivery_reads_all_in_order_and_within_the_bound(feeds, growing, seed):
    rng = random.Random(seed)
    reader = Reader({f"feed{i}": times for i, times in enumerate(feeds)}, growing, rng)
    for _ in range(2):
        idle = 0
        while any(reader.delivered[tp] < end or reader.held[tp] for tp, end in reader.ends.items()):
            free = [tp for tp in reader.logs if tp not in reader.paused()]
            assert free, "every feed is held: nothing goes on"
            before = sum(map(len, reader.applied.values())) + sum(reader.delivered.values())
            reader.deliver(rng.choice(free))
            reader.agrees()
            after = sum(map(len, reader.applied.values())) + sum(reader.delivered.values())
            idle = idle + 1 if after == before else 0
            assert idle < 1_000, "nothing moves"
        for tp in reader.logs:
            reader.deliver(tp)  # an empty fetch tells where each log ends
        reader.ends = {tp: len(times) for tp, times in reader.logs.items()}
    assert reader.applied == {tp: list(range(len(times))) for tp, times in reader.logs.items()}


A, B = TP("a", 0), TP("b", 0)


def alignment_of_a_and_b(b_position=7, ends=(10, 7)):
    """Both are this worker's; a is read from its beginning, b up to `b_position`; `ends` as fetches said them."""
    of = dict(zip((A, B), ends, strict=True))
    alignment = Alignment(BOUND_MS, lambda tp: (b_position if tp == B else 0, of[tp]))
    alignment.begin([A, B])
    return alignment


def test_a_feed_with_nothing_unread_vouches_by_an_answer_of_the_broker():
    """It vouches for the newest time known before the question; a fetch does not, since its answer may be old."""
    alignment = alignment_of_a_and_b()
    assert alignment.to_ask() == ({A, B}, None), "nothing is known"
    assert alignment.run(A, 0) == NOTHING_MS
    alignment.hold(A, 0, 500)
    assert alignment.to_ask() == ({A, B}, 500)
    alignment.answered({A: 10, B: 7}, 500)
    assert alignment.run(A, 0) == 500 + BOUND_MS
    assert alignment.to_ask() == (set(), 500)
    alignment.reach(A, 0, 500 + BOUND_MS)
    assert alignment.run(A, 1) == 500 + BOUND_MS, "that is news since the question"
    assert alignment.to_ask() == ({A, B}, 500 + BOUND_MS)
    alignment.answered({A: 10, B: 8}, 500 + BOUND_MS)
    assert alignment.front(B).unread, "the answer says that there is something, before a fetch does"
    assert alignment.run(A, 3) == 500 + BOUND_MS, "what it said before stays true"


def test_the_second_answer_vouches_for_a_backlog_as_it_comes_to_be_read():
    """The records before the end offsets of the last answer were delivered before the request: their times come later,
    and count when they are."""
    alignment = alignment_of_a_and_b()
    alignment.answered({A: 10, B: 7}, None)
    alignment.answered({A: 12, B: 7}, None)
    alignment.run(A, 0)
    for offset in range(10):
        time_ms = 1_000 * offset
        alignment.reach(A, offset, time_ms)
        assert alignment.run(A, offset + 1) == time_ms + BOUND_MS
    assert alignment.to_ask() == (set(), 9_000)
    alignment.reach(A, 10, 20_000)
    assert alignment.run(A, 11) == 9_000 + BOUND_MS, "when this came may have been after the question"
    assert alignment.to_ask() == ({A, B}, 20_000)


def test_a_feed_comes_to_vouch_when_it_is_read_to_where_it_ended():
    alignment = alignment_of_a_and_b(b_position=5)
    alignment.answered({A: 10, B: 7}, 500)
    assert alignment.run(A, 0) == NOTHING_MS
    alignment.run(B, 5)
    alignment.reach(B, 6, 200)
    assert alignment.run(A, 0) == 200 + BOUND_MS
    alignment.done(B, 7, more=True)
    assert alignment.run(A, 0) == 500 + BOUND_MS, "also while more of it is at hand"


def test_another_worker_s_feed_vouches_from_where_all_before_is_acknowledged():
    """No word need say so: who was told how far it is asks the broker by itself, also where that worker is gone."""
    alignment = Alignment(BOUND_MS, lambda _tp: (0, 10))
    alignment.begin([A], [B])
    alignment.answered({A: 10, B: 5}, 600)
    word = FeedProgress(topic="b", partition=0, generation=1, position=4, unread=False, front_ms=300)
    alignment.update(word)
    assert alignment.run(A, 0) == 300 + BOUND_MS
    assert alignment.front(B) == Standing(4, True, 300), "there is more by now"
    alignment.update(msgspec.structs.replace(word, position=5))
    assert alignment.run(A, 0) == 600 + BOUND_MS
    alignment.update(msgspec.structs.replace(word, topic="c", position=0, front_ms=1))
    assert alignment.run(A, 0) == 600 + BOUND_MS, "c is no feed of ours"


def test_a_tick_is_not_past_what_any_feed_vouches_for_and_the_bound():
    alignment = Alignment(BOUND_MS, lambda _tp: (0, 10))
    alignment.begin([A], [B])
    assert alignment.tick_ms_max() == NOTHING_MS
    alignment.run(A, 0)
    alignment.reach(A, 0, 700)
    assert alignment.tick_ms_max() == NOTHING_MS, "of b nobody has said anything"
    alignment.update(FeedProgress(topic="b", partition=0, generation=1, position=5, unread=True, front_ms=300))
    assert alignment.tick_ms_max() == 300 + BOUND_MS == alignment.run(A, 0)
    alignment.answered({A: 10, B: 5}, 650)
    assert alignment.tick_ms_max() == 650 + BOUND_MS == alignment.run(A, 0)
    assert alignment.unread_ms() == 300, "and by itself it does not pass a feed with something unread"


def test_while_it_is_closed_every_feed_is_held_and_no_tick_is_due():
    alignment = alignment_of_a_and_b()
    alignment.answered({A: 10, B: 7}, 500)
    assert alignment.run(A, 0) == 500 + BOUND_MS
    alignment.is_closed = True
    assert alignment.run(A, 0) == alignment.tick_ms_max() == NOTHING_MS
    alignment.hold(A, 0, 400)
    assert alignment.release() is None
    alignment.is_closed = False
    assert alignment.release() == A


def test_a_feed_whose_end_is_not_known_holds_all():
    alignment = Alignment(BOUND_MS, lambda _tp: (0, None))
    alignment.begin([TP("a", 0), TP("b", 0)])
    assert alignment.run(TP("a", 0), 0) == NOTHING_MS


class Worker(Reader):
    """One of several workers: it publishes its progress and polls that of others, late and sometimes twice."""

    def words(self):
        for tp, done in self.applied.items():
            front = self.alignment.front(tp)
            yield FeedProgress(
                topic=tp.topic,
                partition=0,
                generation=1,
                position=len(done),
                unread=front.unread,
                front_ms=front.time_ms,
            )

    def log_end(self, tp):
        return self.all_ends[tp]

    def check(self, tp, time_ms):
        """See `test_workers_…`: the bound holds over all workers, and is checked there."""


@given(feeds=FEEDS, workers=st.integers(2, 3), dies=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_workers_with_each_others_progress_read_all_within_the_bound(feeds, workers, dies, seed):
    """Progress that comes late or twice: no record is applied further ahead than the bound of the oldest unread one of
    any feed, also of a worker that is gone for a while; and all is read in the end."""
    rng = random.Random(seed)
    logs = {f"feed{i}": times for i, times in enumerate(feeds)}
    names = {number: [name for i, name in enumerate(logs) if i % workers == number] for number in range(workers)}
    group = {}
    for number, own in names.items():
        others = {TP(name, 0) for name in logs if name not in own}
        group[number] = Worker({name: logs[name] for name in own}, False, rng, others)
        group[number].known = dict(group[number].ends)  # backlogs: their ends are known
    for one in group.values():
        one.all_ends = {TP(name, 0): len(times) for name, times in logs.items()}
    under_way, dead, steps = deque(), {0} if dies else set(), 0

    while any(len(done) < len(one.logs[tp]) for one in group.values() for tp, done in one.applied.items()):
        steps += 1
        if steps > 300:
            dead = set()  # it comes back
        assert steps < 20_000, "nothing moves"
        number = rng.randrange(workers)
        one = group[number]
        if number in dead:
            continue
        for word in one.words():
            under_way.append(word)
            if rng.random() < 0.1:
                under_way.append(msgspec.structs.replace(word))
        while under_way and rng.random() < 0.9:
            word = under_way.popleft()
            for hearer in group.values():
                hearer.alignment.update(word)
        free = [tp for tp in one.logs if tp not in one.paused() and one.delivered[tp] < one.ends[tp]]
        if free:
            one.deliver(rng.choice(free))
        one.release()
        read = [(each.logs[tp], len(done)) for each in group.values() for tp, done in each.applied.items()]
        unread = [times[count] for times, count in read if count < len(times)]
        applied = [times[count - 1] for times, count in read if count]
        if unread and applied:
            assert max(applied) <= min(unread) + BOUND_MS


def test_watermarks_stay_valid_and_a_feeds_state_is_that_of_its_last_owner():
    """Others get as far as the bound of a worker that is gone, and no further; its successor begins further back."""
    alignment = Alignment(BOUND_MS, lambda _tp: (0, 10))
    alignment.begin([A], [B])
    assert alignment.run(A, 0) == NOTHING_MS, "nothing is known of b"
    idle = FeedProgress(topic="b", partition=0, generation=3, position=5, unread=False, front_ms=300)
    alignment.update(idle)
    alignment.answered({A: 10, B: 5}, 1_000)
    assert alignment.run(A, 0) == 1_000 + BOUND_MS
    assert alignment.unread_ms() == NOTHING_MS, "a is running, and nothing of it is known"
    alignment.reach(A, 9, 900)
    alignment.done(A, 10)
    assert alignment.unread_ms() is None
    alignment.answered({A: 10, B: 6}, 1_050)
    successor = msgspec.structs.replace(idle, generation=4, position=3, unread=True, front_ms=250)
    alignment.update(successor)
    assert alignment.run(A, 10) == 1_000 + BOUND_MS
    alignment.done(A, 10)
    assert alignment.unread_ms() == 250, "no tick passes what it reads again"
    alignment.update(msgspec.structs.replace(idle, position=6))  # of the worker that was gone
    assert alignment.run(A, 10) == 1_050 + BOUND_MS, "a fact is a fact"
    assert alignment.front(B) == Standing(3, True, 250)


def test_a_paused_feed_counts_as_one_with_nothing_unread():
    """Neither other feeds nor ticks wait for it; after its resumption ticks wait for its unread records."""
    alignment = alignment_of_a_and_b(ends=(10, 99))
    alignment.run(B, 5)
    alignment.reach(B, 6, 200)
    alignment.answered({A: 10, B: 99}, 90_000_000)
    assert alignment.run(A, 0) == 200 + BOUND_MS
    alignment.pause(B, 7)
    assert alignment.front(B) == Standing(7, False, 200)
    assert alignment.run(A, 0) == 90_000_000 + BOUND_MS
    alignment.reach(A, 9, 90_000_000 + BOUND_MS)
    assert alignment.tick_ms_max() == 90_000_000 + BOUND_MS
    assert alignment.to_ask()[0] == {A, B}, "the broker is asked, as for a feed read to its end"
    alignment.done(A, 10)
    alignment.answered({A: 10, B: 120}, 90_000_000 + BOUND_MS)
    assert alignment.tick_ms_max() == 90_000_000 + 2 * BOUND_MS
    alignment.resume(B, 9, held=False)
    assert alignment.front(B).unread
    assert (alignment.front(B).position, alignment.unread_ms()) == (9, 200)
    assert alignment.tick_ms_max() == 90_000_000 + 2 * BOUND_MS, "what it vouched for stays"


def test_another_worker_s_paused_feed_is_known_by_its_progress_message():
    alignment = Alignment(BOUND_MS, lambda _tp: (0, 10))
    alignment.begin([A], [B])
    alignment.answered({A: 10, B: 50}, 90_000_000)
    word = FeedProgress(topic="b", partition=0, generation=1, position=4, unread=True, front_ms=300)
    alignment.update(word)
    assert alignment.run(A, 0) == 300 + BOUND_MS
    alignment.update(msgspec.structs.replace(word, unread=False, paused=True))
    assert alignment.run(A, 0) == 90_000_000 + BOUND_MS
    assert not alignment.front(B).unread
    alignment.update(msgspec.structs.replace(word, position=9))
    assert alignment.front(B) == Standing(9, True, 300)
    assert alignment.run(A, 0) == 90_000_000 + BOUND_MS
