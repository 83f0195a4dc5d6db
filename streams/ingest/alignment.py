"""Alignment by event time: no feed runs further ahead than a bound of the oldest feed with unread records. Pure.

Nothing waits in here. A feed that is too far ahead is paused: the ingest role keeps its next chunks, and the transport
fetches no more of its partition. The oldest feed is never paused, so one always goes on.

The invariant: a record is at most the bound behind any tick and any other record of the log, measured from the newest
event time that any bank had delivered when this record was delivered. It rests on the watermarks of feeds, which are
never taken back (ADR 7). When a feed's watermark is at a time, each of its records that is not yet in the log was
delivered after some bank had delivered an event of that time. Reading a feed advances its watermark; where the feed has
nothing unread, an answer of the broker does (end_offset_probe.py). No record is sent, and no tick is written, further
ahead of the lowest watermark than the bound. So the invariant holds whether a worker dies, wakes or polls late, and no
clock has a part in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.outputs import FeedProgress
from streams.ingest.end_offset_probe import NOTHING_MS, EndOffsetProbe
from streams.worker.role import TP

STEPS_A_BOUND = 8  # the bound over this is the step: what is known of feeds is at most so old


@dataclass(slots=True)
class _Feed:
    """State of a feed. The first six fields are about this worker's own reading, and reset by `begin`."""

    own: bool = False
    position: int = 0  # next offset to apply
    time_ms: int = NOTHING_MS  # of the newest event applied; of the next one while it is held
    held: bool = False
    running: bool = False
    paused: bool = False  # held until an operator decides
    reported: FeedProgress | None = None  # the last progress of its owner
    acknowledged: int = 0  # everything before this offset is, as its owners have published
    watermark_ms: int = NOTHING_MS  # the highest that progress and earlier answers have given
    end: int | None = None  # end offset in the last answer


@dataclass(frozen=True, slots=True)
class Standing:
    """Position of a feed: the next offset, whether more is unread, and the event time in ms (None: not known)."""

    position: int
    unread: bool
    time_ms: int | None


class Alignment:
    """Positions and watermarks of the feeds that this worker reads, of those that others read, and the ends of all.

    `ahead_ms_max` is the bound, in ms of event time. `progress(tp)` returns the next offset of an own feed and the end
    of its log as the last fetch reported it, None while that is not known; such a feed counts as unread. An end that a
    fetch reported may be old, so no watermark rests on it.
    """

    def __init__(self, ahead_ms_max: int, progress: Callable[[TP], tuple[int, int | None]]) -> None:
        self.step_ms = ahead_ms_max // STEPS_A_BOUND
        self._ahead_ms_max, self._progress = ahead_ms_max, progress
        self._feeds: dict[TP, _Feed] = {}
        self._probe = EndOffsetProbe()
        self.is_closed = False  # while it is, every feed is held, and no tick is due
        # A heap of each watermark when last looked at. Watermarks only rise, so the first entry that is up to date
        # is the lowest. The minimum is asked for with each day of each feed.
        self._lowest: list[tuple[int, TP]] = []
        self._old: TP | None = None  # a feed that was the last one found to be unread before a time

    def begin(self, tps: Iterable[TP], others: Iterable[TP] = ()) -> None:
        """Start reading the feeds `tps`, from wherever they are; `others` are read by other workers."""
        own = set(tps)
        for tp in (*own, *others):
            feed = self._feeds.setdefault(tp, _Feed())
            feed.own, feed.position, feed.time_ms, feed.held, feed.running = tp in own, 0, NOTHING_MS, False, False
            feed.paused = False
        self._lowest = [(NOTHING_MS, tp) for tp in self._feeds]
        heapq.heapify(self._lowest)

    def update(self, progress: FeedProgress) -> None:
        """Take in progress that a worker has published. What it says of the past holds forever; the present state of a
        feed is what its last owner says.
        """
        tp = TP(progress.topic, progress.partition)
        feed = self._feeds.get(tp)
        if feed is None:
            return  # of a bank that is none of ours any more
        feed.acknowledged = max(progress.position, feed.acknowledged)
        if progress.front_ms is not None:
            feed.watermark_ms = max(progress.front_ms, feed.watermark_ms)
            self._probe.read(tp, progress.position if progress.unread else progress.position - 1, progress.front_ms)
        if feed.reported is None or progress.generation >= feed.reported.generation:
            if _is_paused(feed):
                feed.watermark_ms = self._watermark_ms(tp, feed)  # it stays: `_lowest` needs what only grows
            feed.reported = progress

    def to_ask(self) -> tuple[set[TP], int | None]:
        """Return the feeds to ask the broker's end offsets of, all or none, and the newest event time known.

        The time (ms) is to be handed back to `answered`. The question is due where a feed with nothing unread is
        behind.
        """
        newest_ms = self.newest_ms()
        if self._probe.is_blank:
            return set(self._feeds), newest_ms
        old_ms = NOTHING_MS if newest_ms is None else newest_ms - self.step_ms
        feeds = self._feeds.items()
        behind = any(self._watermark_ms(tp, feed) < old_ms and not self._is_unread(tp, feed) for tp, feed in feeds)
        return set(self._feeds) if behind else set(), newest_ms

    def answered(self, ends: Mapping[TP, int], asked_ms: int | None) -> None:
        """Take in the end offsets of all feeds, asked after `asked_ms` had become the newest event time known."""
        for tp, feed in self._feeds.items():
            feed.watermark_ms = self._watermark_ms(tp, feed)
            feed.end = ends.get(tp)
        self._probe.answered(ends, asked_ms)

    def run(self, tp: TP, position: int) -> int | None:
        """Begin to apply records of `tp` from `position` on.

        Return the event time (ms) up to which they may be, None for any.
        """
        feed = self._feeds[tp]
        feed.position, feed.held, feed.running = position, False, True
        return self._limit_ms(tp)

    def reach(self, tp: TP, offset: int, time_ms: int) -> None:
        """Note that the event of `tp` at this offset and event time is about to be applied."""
        feed = self._feeds[tp]
        self._probe.read(tp, offset, time_ms)
        feed.time_ms = max(time_ms, feed.time_ms)

    def reach_all(self, tp: TP, offsets: Sequence[int], times_ms: Sequence[int]) -> None:
        """Do the same as `reach` for several events in their order, at least one."""
        feed = self._feeds[tp]
        self._probe.read_all(tp, offsets, times_ms)
        feed.time_ms = max(*times_ms, feed.time_ms)

    def done(self, tp: TP, position: int, *, more: bool = False) -> None:
        """Note that everything before `position` is applied. `more`: records that were held are to be applied next."""
        feed = self._feeds[tp]
        feed.position, feed.running = position, more

    def hold(self, tp: TP, position: int, time_ms: int) -> None:
        """Hold a feed: its record at `position`, of this event time, is further ahead than it may be."""
        self.done(tp, position)
        self.reach(tp, position, time_ms)
        self._feeds[tp].held = True

    def wait(self, tp: TP, position: int) -> None:
        """Hold an own feed at `position` until `resume` or `pause`: it counts as unread."""
        self.done(tp, position, more=True)

    def pause(self, tp: TP, position: int) -> None:
        """Count an own feed as silent: it is held at `position` until an operator decides."""
        self.done(tp, position)
        self._feeds[tp].held, self._feeds[tp].paused = False, True

    def resume(self, tp: TP, position: int, *, held: bool) -> None:
        """Let a feed go on at `position`. held: its records from there on are here, and `release` returns it.

        The watermark that it had while it was silent stays, as in `update`.
        """
        feed = self._feeds[tp]
        feed.watermark_ms, feed.paused = self._watermark_ms(tp, feed), False
        self.done(tp, position)
        feed.held = held

    def release(self) -> TP | None:
        """Return the oldest held feed that may go on; None where there is none."""
        held = [(feed.time_ms, tp) for tp, feed in self._feeds.items() if feed.held]
        if not held:
            return None
        time_ms, tp = min(held)
        limit_ms = self._limit_ms(tp)
        return tp if limit_ms is None or time_ms <= limit_ms else None

    def unread_ms(self) -> int | None:
        """Return the event time of the oldest feed with something unread, whoever reads it.

        None where everything is read.
        """
        unread = (_front_ms(feed) for tp, feed in self._feeds.items() if self._is_unread(tp, feed))
        return min(unread, default=None)

    def is_unread_before(self, time_ms: int) -> bool:
        """Return whether any feed, whoever reads it, has something unread and stands before `time_ms`."""
        old = self._old
        if old is not None and self._is_old(old, time_ms):
            return True
        self._old = next((tp for tp in self._feeds if self._is_old(tp, time_ms)), None)
        return self._old is not None

    def tick_ms_max(self) -> int | None:
        """Return the event time that no tick may be later than; None where there is no feed."""
        return self._limit_ms(None)

    def newest_ms(self) -> int | None:
        """Return the newest event time of any feed that this worker knows of."""
        newest_ms = max((max(feed.time_ms, _told_ms(feed)) for feed in self._feeds.values()), default=NOTHING_MS)
        return None if newest_ms == NOTHING_MS else newest_ms

    def front(self, tp: TP) -> Standing:
        """Return how far a feed is read, whoever reads it."""
        feed = self._feeds[tp]
        position = self._position(tp, feed) if feed.own else 0 if feed.reported is None else feed.reported.position
        time_ms = _front_ms(feed)
        return Standing(position, self._is_unread(tp, feed), None if time_ms == NOTHING_MS else time_ms)

    def _is_unread(self, tp: TP, feed: _Feed) -> bool:
        if _is_paused(feed):
            return False
        end = feed.end or 0
        if not feed.own:
            return feed.reported is None or feed.reported.unread or feed.reported.position < end
        if feed.held or feed.running:
            return True
        position, fetched_end = self._progress(tp)
        return fetched_end is None or max(position, feed.position) < max(end, fetched_end)

    def _position(self, tp: TP, feed: _Feed) -> int:
        """Return the offset before which everything of an own feed is applied."""
        is_here = feed.held or feed.running or feed.paused
        return feed.position if is_here else max(self._progress(tp)[0], feed.position)

    def _limit_ms(self, but: TP | None) -> int | None:
        """Return the lowest watermark plus the bound, over all feeds but `but`."""
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
        """Return a feed's watermark: the later of what is read of it and what the broker's answer covers."""
        found_ms = feed.time_ms if feed.time_ms > feed.watermark_ms else feed.watermark_ms
        if self._probe.time_ms <= found_ms or not self._is_past_end(tp, feed):
            return found_ms
        return self._probe.time_ms

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
    return feed.paused if feed.own else feed.reported is not None and feed.reported.paused


def _told_ms(feed: _Feed) -> int:
    return NOTHING_MS if feed.reported is None or feed.reported.front_ms is None else feed.reported.front_ms


def _front_ms(feed: _Feed) -> int:
    return feed.time_ms if feed.own else _told_ms(feed)
