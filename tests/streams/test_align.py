"""Alignment by event time, over random feeds and random orders of delivery, in one worker and between several."""

import random
from collections import deque

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.outputs import FeedProgress
from streams.align import Alignment
from streams.role import TP

BOUND_MS = 100


class Reader:
    """Reads feeds as the ingest role does: applies, holds, releases; the log of a feed may grow while it is read."""

    def __init__(self, feeds, growing, rng, others=()):
        self.rng = rng
        self.logs = {TP(name, 0): times for name, times in feeds.items()}
        self.ends = {tp: len(times) // (2 if growing else 1) for tp, times in self.logs.items()}
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
        while (ready := self.alignment.release()) is not None:
            while self.held[ready] and self.run(ready, self.held[ready].popleft()):
                pass

    def run(self, tp, chunk):
        limit_ms = self.alignment.run(tp, chunk[0])
        for n, offset in enumerate(chunk):
            time_ms = self.logs[tp][offset]
            if limit_ms is not None and time_ms > limit_ms:
                self.held[tp].appendleft(chunk[n:])
                self.alignment.hold(tp, offset, time_ms)
                return False
            self.check(tp, time_ms)
            self.alignment.reach(tp, time_ms)
            self.applied[tp].append(offset)
        self.alignment.done(tp, chunk[-1] + 1)
        return True

    def check(self, tp, time_ms):
        """No record is applied further ahead than the bound of the oldest record that any other feed has unread."""
        for other, times in self.logs.items():
            done = len(self.applied[other])
            end = self.known[other]
            if other != tp and end is not None and done < end:
                assert time_ms <= max([*times[: done + 1]]) + BOUND_MS, (tp, time_ms, other, times[done])

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
            after = sum(map(len, reader.applied.values())) + sum(reader.delivered.values())
            idle = idle + 1 if after == before else 0
            assert idle < 1_000, "nothing moves"
        for tp in reader.logs:
            reader.deliver(tp)  # an empty fetch tells where each log ends
        reader.ends = {tp: len(times) for tp, times in reader.logs.items()}
    assert reader.applied == {tp: list(range(len(times))) for tp, times in reader.logs.items()}


def test_a_feed_with_nothing_unread_holds_nobody():
    ends = {TP("a", 0): 10, TP("b", 0): 7}
    alignment = Alignment(BOUND_MS, lambda tp: (7 if tp.topic == "b" else 0, ends[tp]))
    alignment.begin(ends)
    assert alignment.run(TP("a", 0), 0) is None
    ends[TP("b", 0)] = 8
    assert alignment.run(TP("a", 0), 0) < 0  # b has a record of which nothing is known yet


def test_a_feed_whose_end_is_not_known_holds_all():
    alignment = Alignment(BOUND_MS, lambda _tp: (0, None))
    alignment.begin([TP("a", 0), TP("b", 0)])
    assert alignment.run(TP("a", 0), 0) < 0


class Worker(Reader):
    """One of several workers: it tells of its feeds and hears of the others', both late and some words twice."""

    def words(self):
        newest_ms = self.alignment.newest_ms()
        for tp, done in self.applied.items():
            unread, front_ms = self.alignment.front(tp)
            yield FeedProgress(
                topic=tp.topic, partition=0, position=len(done), unread=unread, front_ms=front_ms, as_of=newest_ms
            )

    def check(self, tp, time_ms):
        """See `test_workers_…`: the bound holds over all workers, and is checked there."""


@given(feeds=FEEDS, workers=st.integers(2, 3), dies=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_workers_that_hear_of_each_other_read_all_within_the_bound(feeds, workers, dies, seed):
    """Whatever is heard late or twice: no record is applied further ahead than the bound of the oldest unread one of
    any feed, also of a worker that is gone for a while; and all is read in the end."""
    rng = random.Random(seed)
    logs = {f"feed{i}": times for i, times in enumerate(feeds)}
    names = {number: [name for i, name in enumerate(logs) if i % workers == number] for number in range(workers)}
    group = {}
    for number, own in names.items():
        others = {TP(name, 0) for name in logs if name not in own}
        group[number] = Worker({name: logs[name] for name in own}, False, rng, others)
        group[number].known = dict(group[number].ends)  # backlogs: their ends are known
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
                hearer.alignment.hear(word)
        free = [tp for tp in one.logs if tp not in one.paused() and one.delivered[tp] < one.ends[tp]]
        if free:
            one.deliver(rng.choice(free))
        one.release()
        read = [(each.logs[tp], len(done)) for each in group.values() for tp, done in each.applied.items()]
        unread = [times[count] for times, count in read if count < len(times)]
        applied = [times[count - 1] for times, count in read if count]
        if unread and applied:
            assert max(applied) <= min(unread) + BOUND_MS


def test_a_feed_with_nothing_unread_vouches_for_the_time_that_its_worker_knew():
    """A lease in event time: when its worker is gone, the others get as far as the bound and no further."""
    a, b = TP("a", 0), TP("b", 0)
    alignment = Alignment(BOUND_MS, lambda _tp: (0, 10))
    alignment.begin([a], [b])
    assert alignment.run(a, 0) < 0, "nothing is known of b"
    idle = FeedProgress(topic="b", partition=0, position=5, unread=False, front_ms=300, as_of=1_000)
    alignment.hear(idle)
    assert alignment.run(a, 0) == 1_000 + BOUND_MS
    assert alignment.unread_ms() == -(2**62), "a is running, and nothing of it is known"
    alignment.hear(msgspec.structs.replace(idle, position=4, as_of=9_000))  # a zombie's, behind what is known
    assert alignment.run(a, 0) == 1_000 + BOUND_MS
    alignment.hear(msgspec.structs.replace(idle, unread=True))
    assert alignment.run(a, 0) == 300 + BOUND_MS
    assert alignment.front(b) == (True, 300)
