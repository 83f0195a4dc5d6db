"""Alignment by event time: no feed runs further ahead than a bound of the oldest feed with unread records. Pure.

Nothing waits in here. A feed that is too far ahead is paused: the ingest role keeps its next chunks, and the transport
fetches no more of its partition. The oldest feed is never paused, so one always goes on.

The invariant: a record is at most the bound behind any tick and any other record of the log, measured from the newest
event time that any bank had delivered when this record was. It rests on the watermarks of feeds, which never become
wrong (ADR 7). A feed's watermark is at a time where every record of it that is not yet in the log was delivered after
some bank had delivered an event of that time. What a feed has read advances its own watermark; where it has nothing
unread, an answer of the broker does (end_offset_probe.py). No record is sent, and no tick is written, further ahead of
the lowest watermark than the bound. So neither a worker that is gone, nor one that wakes, nor progress that is polled
late can break the invariant, and no clock has a part in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.outputs import FeedProgress
from streams.ingest.end_offset_probe import NOTHING_MS, EndOffsetProbe
from streams.worker.role import TP

STEPS_A_BOUND = 8  # of event time: what is known of feeds is that fresh


@dataclass(slots=True)
class _Feed:
    """The knowledge of a feed. The first six are of this worker's reading, and forgotten when it is assigned feeds."""

    own: bool = False
    position: int = 0  # next offset to apply
    time_ms: int = NOTHING_MS  # of the newest event applied; of the next one while it is held
    held: bool = False
    running: bool = False
    paused: bool = False  # at a batch that cannot be read
    word: FeedProgress | None = None  # the last of its owner
    acknowledged: int = 0  # everything before it is, as the words say
    watermark_ms: int = NOTHING_MS  # the most that words and earlier answers vouch for
    end: int | None = None  # of its log, as the last answer said


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a feed is read: the next offset, whether there is more, the event time; as far as it is known."""

    position: int
    unread: bool
    time_ms: int | None


class Alignment:
    """Fronts of the feeds that this worker reads, the words on those of others, and where all of them end.

    `progress(tp)` is the next offset to come of an own feed and the end of its log as the last fetch said, None while
    that is not known; such a feed counts as unread. An end that a fetch said may be old: it vouches for nothing.
    """

    def __init__(self, ahead_ms_max: int, progress: Callable[[TP], tuple[int, int | None]]) -> None:
        self.step_ms = ahead_ms_max // STEPS_A_BOUND
        self._ahead_ms_max, self._progress = ahead_ms_max, progress
        self._feeds: dict[TP, _Feed] = {}
        self._survey = EndOffsetProbe()
        self.is_closed = False  # while it is, every feed is held, and no tick is due
        # What each feed vouched for when last looked at, a heap: it only grows, so the first that is up to date is the
        # least. The sums over all feeds are asked for with each day of each feed.
        self._lowest: list[tuple[int, TP]] = []
        self._old: TP | None = None  # a feed that was the last one found to be unread before a time

    def begin(self, tps: Iterable[TP], others: Iterable[TP] = ()) -> None:
        """These feeds, from wherever they are; `others` are read by other workers."""
        own = set(tps)
        for tp in (*own, *others):
            feed = self._feeds.setdefault(tp, _Feed())
            feed.own, feed.position, feed.time_ms, feed.held, feed.running = tp in own, 0, NOTHING_MS, False, False
            feed.paused = False
        self._lowest = [(NOTHING_MS, tp) for tp in self._feeds]
        heapq.heapify(self._lowest)

    def update(self, word: FeedProgress) -> None:
        """A worker's word on a feed: its facts are true for good, how the feed stands its last owner knows."""
        tp = TP(word.topic, word.partition)
        feed = self._feeds.get(tp)
        if feed is None:
            return  # of a bank that is none of ours any more
        feed.acknowledged = max(word.position, feed.acknowledged)
        if word.front_ms is not None:
            feed.watermark_ms = max(word.front_ms, feed.watermark_ms)
            self._survey.read(tp, word.position if word.unread else word.position - 1, word.front_ms)
        if feed.word is None or word.generation >= feed.word.generation:
            if _is_paused(feed):
                feed.watermark_ms = self._watermark_ms(tp, feed)  # it stays: `_lowest` needs what only grows
            feed.word = word

    def to_ask(self) -> tuple[set[TP], int | None]:
        """Return the feeds whose ends the broker should be asked for now, all or none, and the newest event time known.

        The time is to be handed back with the answer. One asks where a feed with nothing unread is behind.
        """
        newest_ms = self.newest_ms()
        if self._survey.is_blank:
            return set(self._feeds), newest_ms
        old_ms = NOTHING_MS if newest_ms is None else newest_ms - self.step_ms
        feeds = self._feeds.items()
        behind = any(self._watermark_ms(tp, feed) < old_ms and not self._is_unread(tp, feed) for tp, feed in feeds)
        return set(self._feeds) if behind else set(), newest_ms

    def answered(self, ends: Mapping[TP, int], asked_ms: int | None) -> None:
        """The logs of all feeds ended at `ends` after `asked_ms` had become the newest event time known."""
        for tp, feed in self._feeds.items():
            feed.watermark_ms = self._watermark_ms(tp, feed)
            feed.end = ends.get(tp)
        self._survey.answered(ends, asked_ms)

    def run(self, tp: TP, position: int) -> int | None:
        """Records of `tp` from `position` on are about to be applied: up to which event time they may be, None: any."""
        feed = self._feeds[tp]
        feed.position, feed.held, feed.running = position, False, True
        return self._limit_ms(tp)

    def reach(self, tp: TP, offset: int, time_ms: int) -> None:
        """The event of `tp` at this offset and time is about to be applied."""
        feed = self._feeds[tp]
        self._survey.read(tp, offset, time_ms)
        feed.time_ms = max(time_ms, feed.time_ms)

    def reach_all(self, tp: TP, offsets: Sequence[int], times_ms: Sequence[int]) -> None:
        """As `reach`, of several events in their order, at least one."""
        feed = self._feeds[tp]
        self._survey.read_all(tp, offsets, times_ms)
        feed.time_ms = max(*times_ms, feed.time_ms)

    def done(self, tp: TP, position: int, *, more: bool = False) -> None:
        """Everything before `position` is applied; `more`: what was kept is to be applied next."""
        feed = self._feeds[tp]
        feed.position, feed.running = position, more

    def hold(self, tp: TP, position: int, time_ms: int) -> None:
        """The record at `position`, of this time, is further ahead than it may be."""
        self.done(tp, position)
        self.reach(tp, position, time_ms)
        self._feeds[tp].held = True

    def pause(self, tp: TP, position: int) -> None:
        """Count an own feed as silent: its batch at `position` cannot be read."""
        self.done(tp, position)
        self._feeds[tp].held, self._feeds[tp].paused = False, True

    def resume(self, tp: TP, position: int) -> None:
        """Let a paused feed go on at `position`. What it vouched for while it was silent stays, as in `hear`."""
        feed = self._feeds[tp]
        feed.watermark_ms, feed.paused, feed.position = self._watermark_ms(tp, feed), False, position

    def release(self) -> TP | None:
        """Return the oldest held feed that may go on; None where there is none."""
        held = [(feed.time_ms, tp) for tp, feed in self._feeds.items() if feed.held]
        if not held:
            return None
        time_ms, tp = min(held)
        limit_ms = self._limit_ms(tp)
        return tp if limit_ms is None or time_ms <= limit_ms else None

    def unread_ms(self) -> int | None:
        """Return the event time of the oldest feed with something unread, whoever reads it; None where all is read."""
        unread = (_front_ms(feed) for tp, feed in self._feeds.items() if self._is_unread(tp, feed))
        return min(unread, default=None)

    def is_unread_before(self, time_ms: int) -> bool:
        """Return whether a feed that has something unread stands before `time_ms`, whoever reads it."""
        old = self._old
        if old is not None and self._is_old(old, time_ms):
            return True
        self._old = next((tp for tp in self._feeds if self._is_old(tp, time_ms)), None)
        return self._old is not None

    def tick_ms_max(self) -> int | None:
        """Return the event time that no tick may be past; None where there is no feed."""
        return self._limit_ms(None)

    def newest_ms(self) -> int | None:
        """Return the newest event time of any feed that this worker knows of."""
        newest_ms = max((max(feed.time_ms, _told_ms(feed)) for feed in self._feeds.values()), default=NOTHING_MS)
        return None if newest_ms == NOTHING_MS else newest_ms

    def front(self, tp: TP) -> Standing:
        """Return how far a feed is read, whoever reads it."""
        feed = self._feeds[tp]
        position = self._position(tp, feed) if feed.own else 0 if feed.word is None else feed.word.position
        time_ms = _front_ms(feed)
        return Standing(position, self._is_unread(tp, feed), None if time_ms == NOTHING_MS else time_ms)

    def _is_unread(self, tp: TP, feed: _Feed) -> bool:
        if _is_paused(feed):
            return False
        end = feed.end or 0
        if not feed.own:
            return feed.word is None or feed.word.unread or feed.word.position < end
        if feed.held or feed.running:
            return True
        position, fetched_end = self._progress(tp)
        return fetched_end is None or max(position, feed.position) < max(end, fetched_end)

    def _position(self, tp: TP, feed: _Feed) -> int:
        """Everything of an own feed before it is applied."""
        return feed.position if feed.held or feed.running else max(self._progress(tp)[0], feed.position)

    def _limit_ms(self, but: TP | None) -> int | None:
        """The event time up to which nothing is further ahead than the bound, of what any feed but one vouches for."""
        if self.is_closed:
            return NOTHING_MS
        limit_ms = self._least_ms(but)
        return limit_ms if limit_ms is None or limit_ms == NOTHING_MS else limit_ms + self._ahead_ms_max

    def _least_ms(self, but: TP | None) -> int | None:
        lowest = self._lowest
        left_out: tuple[int, TP] | None = None
        found_ms: int | None = None
        while lowest and found_ms is None:
            known_ms, tp = lowest[0]
            if tp == but:
                left_out = heapq.heappop(lowest)
                continue
            now_ms = self._watermark_ms(tp, self._feeds[tp])
            if now_ms == known_ms:
                found_ms = known_ms
            else:
                heapq.heapreplace(lowest, (now_ms, tp))
        if left_out is not None:
            heapq.heappush(lowest, left_out)
        return found_ms

    def _is_old(self, tp: TP, time_ms: int) -> bool:
        feed = self._feeds[tp]
        return _front_ms(feed) < time_ms and self._is_unread(tp, feed)

    def _watermark_ms(self, tp: TP, feed: _Feed) -> int:
        """Return the most that a feed vouches for: by what is read of it, and by what the broker says."""
        found_ms = feed.time_ms if feed.time_ms > feed.watermark_ms else feed.watermark_ms
        if self._survey.time_ms <= found_ms or not self._is_past_end(tp, feed):
            return found_ms
        return self._survey.time_ms

    def _is_past_end(self, tp: TP, feed: _Feed) -> bool:
        """Return whether everything that the last answer found in a feed is applied here, or acknowledged elsewhere.

        A paused feed is taken to have nothing: what comes of it later comes as late as from a bank that was silent.
        """
        if _is_paused(feed):
            return True
        if feed.end is None:
            return False
        if feed.position >= feed.end or feed.acknowledged >= feed.end:
            return True
        return feed.own and self._position(tp, feed) >= feed.end


def _is_paused(feed: _Feed) -> bool:
    return feed.paused if feed.own else feed.word is not None and feed.word.paused


def _told_ms(feed: _Feed) -> int:
    return NOTHING_MS if feed.word is None or feed.word.front_ms is None else feed.word.front_ms


def _front_ms(feed: _Feed) -> int:
    return feed.time_ms if feed.own else _told_ms(feed)
