"""Alignment by event time: no feed runs further ahead than a bound of the oldest feed that has something unread. Pure.

Nothing waits in here. A feed that is too far ahead is held: the ingest role keeps its next chunks, and the transport
takes no more from its partition. The oldest feed is never held, so there is always one that goes on.

The law that all of it serves: a record comes at most the bound behind any tick and any other record of the log,
measured from the newest event time that any bank had delivered when this record was. It rests on facts that stay true
(ADR 7): a feed vouches for a time where every record of it that is not yet in the log was delivered after some bank had
delivered an event of that time. What a feed has read vouches for itself; where it has nothing unread, an answer of the
broker does, for what was known before it was asked. No record is sent, and no tick is written, further ahead of what
any feed vouches for than the bound. So neither a worker that is gone, nor one that wakes, nor a word that is heard late
can break it, and no clock has a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.outputs import FeedProgress
from streams.role import TP

NOTHING_MS = -(2**62)  # before any event: a feed of which nothing is known yet holds all others
STEPS_A_BOUND = 8  # of event time: what others know of a feed is that fresh


@dataclass(slots=True)
class _Front:
    position: int | None = None  # next offset to apply
    time_ms: int | None = None  # of the newest event applied; of the next one while it is held
    held: bool = False
    running: bool = False
    end: int = 0  # of the log, as the last answer said


class Alignment:
    """Fronts of the feeds that this worker reads, and the last words on those of others.

    `progress(tp)` is the next offset to come of a feed and the end of its log as the last fetch said, None while that
    is not known; such a feed counts as unread. An end that a fetch said may be old: it vouches for nothing.
    """

    def __init__(self, ahead_ms_max: int, progress: Callable[[TP], tuple[int, int | None]]) -> None:
        self.step_ms = ahead_ms_max // STEPS_A_BOUND
        self._ahead_ms_max, self._progress = ahead_ms_max, progress
        self._fronts: dict[TP, _Front] = {}
        self._others: set[TP] = set()
        self._words: dict[TP, FeedProgress] = {}  # the last of each feed's owner
        self._vouched: dict[TP, int] = {}  # the most that words and answers vouch for

    def begin(self, tps: Iterable[TP], others: Iterable[TP] = ()) -> None:
        """These feeds, from wherever they are; `others` are read by other workers."""
        self._fronts = {tp: _Front() for tp in tps}
        self._others = set(others)

    def hear(self, word: FeedProgress) -> None:
        """A worker's word on a feed: what it vouches for is true for good, how the feed stands its last owner knows."""
        tp = TP(word.topic, word.partition)
        self._vouch(tp, max(_time_ms(word.front_ms), _time_ms(word.vouched_ms)))
        known = self._words.get(tp)
        if known is None or word.generation >= known.generation:
            self._words[tp] = word

    def to_ask(self) -> tuple[set[TP], int | None]:
        """Own feeds with nothing unread whose ends the broker should be asked for now, and the newest event time known.

        The time is to be handed back with the answer.
        """
        newest_ms = self.newest_ms()
        if newest_ms is None:
            return set(), None
        old_ms = newest_ms - self.step_ms
        read = {tp for tp, front in self._fronts.items() if not self._is_unread(tp, front)}
        return {tp for tp in read if self._vouched_ms(tp) < old_ms}, newest_ms

    def answered(self, tp: TP, end: int, asked_ms: int) -> None:
        """The log of a feed ended at `end` after `asked_ms` had become the newest event time known."""
        front = self._fronts.get(tp)
        if front is None:
            return
        front.end = max(front.end, end)
        if not self._is_unread(tp, front):
            self._vouch(tp, asked_ms)

    def run(self, tp: TP, position: int) -> int | None:
        """Records of `tp` from `position` on are about to be applied: up to which event time they may be, None: any."""
        front = self._fronts[tp]
        front.position, front.held, front.running = position, False, True
        return self._limit_ms(tp)

    def reach(self, tp: TP, time_ms: int) -> None:
        """An event of `tp` at this time is about to be applied."""
        front = self._fronts[tp]
        if front.time_ms is None or time_ms > front.time_ms:
            front.time_ms = time_ms

    def done(self, tp: TP, position: int) -> None:
        """Everything before `position` is applied."""
        front = self._fronts[tp]
        front.position, front.running = position, False

    def hold(self, tp: TP, position: int, time_ms: int) -> None:
        """The record at `position`, of this time, is further ahead than it may be."""
        self.done(tp, position)
        self.reach(tp, time_ms)
        self._fronts[tp].held = True

    def release(self) -> TP | None:
        """The oldest held feed that may go on; None where there is none."""
        held = [(_time_ms(front.time_ms), tp) for tp, front in self._fronts.items() if front.held]
        if not held:
            return None
        time_ms, tp = min(held)
        limit_ms = self._limit_ms(tp)
        return tp if limit_ms is None or time_ms <= limit_ms else None

    def unread_ms(self) -> int | None:
        """The event time of the oldest feed with something unread, whoever reads it; None where all is read."""
        unread = (self.front(tp) for tp in (*self._fronts, *self._others))
        return min((_time_ms(time_ms) for is_unread, time_ms in unread if is_unread), default=None)

    def tick_ms_max(self) -> int | None:
        """The event time that no tick may be past; None where there is no feed."""
        return self._within_bound(map(self._vouched_ms, (*self._fronts, *self._others)))

    def newest_ms(self) -> int | None:
        """The newest event time of any feed that this worker knows of."""
        times = [front.time_ms for front in self._fronts.values()]
        times += [word.front_ms for word in self._words.values()]
        return max((time_ms for time_ms in times if time_ms is not None), default=None)

    def front(self, tp: TP) -> tuple[bool, int | None]:
        """Whether a feed has something unread, and the event time up to which it is read: as far as it is known."""
        if (own := self._fronts.get(tp)) is not None:
            return self._is_unread(tp, own), own.time_ms
        word = self._words.get(tp)
        return word is None or word.unread, None if word is None else word.front_ms

    def vouched_ms(self, tp: TP) -> int | None:
        """What a feed vouches for beside what this worker has read of it."""
        return self._vouched.get(tp)

    def _limit_ms(self, tp: TP) -> int | None:
        return self._within_bound(self._vouched_ms(name) for name in (*self._fronts, *self._others) if name != tp)

    def _within_bound(self, vouched_ms: Iterable[int]) -> int | None:
        limit_ms = min(vouched_ms, default=None)
        return limit_ms if limit_ms is None or limit_ms == NOTHING_MS else limit_ms + self._ahead_ms_max

    def _vouched_ms(self, tp: TP) -> int:
        own = self._fronts.get(tp)
        return max(NOTHING_MS if own is None else _time_ms(own.time_ms), self._vouched.get(tp, NOTHING_MS))

    def _vouch(self, tp: TP, time_ms: int) -> None:
        if time_ms > self._vouched.get(tp, NOTHING_MS):
            self._vouched[tp] = time_ms

    def _is_unread(self, tp: TP, front: _Front) -> bool:
        if front.held or front.running:
            return True
        position, end = self._progress(tp)
        return end is None or max(position, front.position or 0) < max(end, front.end)


def _time_ms(time_ms: int | None) -> int:
    return NOTHING_MS if time_ms is None else time_ms
