"""Alignment by event time, over random feeds and random orders of delivery."""

import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from streams.align import Alignment
from streams.role import TP

BOUND_MS = 100


class Reader:
    """Reads feeds as the ingest role does: applies, holds, releases; the log of a feed may grow while it is read."""

    def __init__(self, feeds, growing, rng):
        self.rng = rng
        self.logs = {TP(f"feed{i}", 0): times for i, times in enumerate(feeds)}
        self.ends = {tp: len(times) // (2 if growing else 1) for tp, times in self.logs.items()}
        self.known = dict.fromkeys(self.logs)  # the end of the log as the last fetch said it
        self.delivered = dict.fromkeys(self.logs, 0)
        self.held = {tp: deque() for tp in self.logs}
        self.applied = {tp: [] for tp in self.logs}
        self.alignment = Alignment(BOUND_MS, lambda tp: (self.delivered[tp], self.known[tp]))
        self.alignment.begin(self.logs)

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
    reader = Reader(feeds, growing, rng)
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
