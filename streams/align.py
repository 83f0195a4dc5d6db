"""Alignment by event time: no feed runs further ahead than a bound of the oldest feed that has something unread. Pure.

Nothing waits in here. A feed that is too far ahead is held: the ingest role keeps its next chunks, and the transport
takes no more from its partition. The oldest feed is never held, so there is always one that goes on.

Of feeds that other workers read it knows their words (`feed.v1`). A word that a feed has nothing unread is a lease in
event time: it vouches up to the newest event time that its worker knew then, and no feed gets further beyond that than
the bound without a newer word. So a worker that is gone holds the others soon enough, and needs no clock to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.outputs import FeedProgress
from streams.role import TP

NOTHING_MS = -(2**62)  # before any event: a feed of which nothing is known yet holds all others


@dataclass(slots=True)
class _Front:
    position: int | None = None  # next offset to apply
    time_ms: int | None = None  # of the newest event applied; of the next one while it is held
    held: bool = False
    running: bool = False


class Alignment:
    """Fronts of the feeds that this worker reads, and the last words on those of others.

    `progress(tp)` is the next offset to come of a feed and the end of its log, None while that is not known; such a
    feed counts as unread.
    """

    def __init__(self, ahead_ms_max: int, progress: Callable[[TP], tuple[int, int | None]]) -> None:
        self._ahead_ms_max, self._progress = ahead_ms_max, progress
        self._fronts: dict[TP, _Front] = {}
        self._others: set[TP] = set()
        self._words: dict[TP, FeedProgress] = {}

    def begin(self, tps: Iterable[TP], others: Iterable[TP] = ()) -> None:
        """These feeds, from wherever they are; `others` are read by other workers."""
        self._fronts = {tp: _Front() for tp in tps}
        self._others = set(others)

    def hear(self, word: FeedProgress) -> None:
        """A worker's word on a feed; one that is behind what is known of it (a zombie's, say) changes nothing."""
        tp, known = TP(word.topic, word.partition), self._words.get(TP(word.topic, word.partition))
        if known is None or (word.position, word.as_of or NOTHING_MS) >= (known.position, known.as_of or NOTHING_MS):
            self._words[tp] = word

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
        own = (_time_ms(one.time_ms) for tp, one in self._fronts.items() if self._is_unread(tp, one))
        words = (self._words.get(tp) for tp in self._others)
        others = (NOTHING_MS if word is None else _time_ms(word.front_ms) for word in words if not _is_read(word))
        return min((*own, *others), default=None)

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
        return not _is_read(word), None if word is None else word.front_ms

    def _limit_ms(self, tp: TP) -> int | None:
        own = (_time_ms(one.time_ms) for name, one in self._fronts.items() if name != tp and self._is_unread(name, one))
        limit_ms = min((*own, *map(self._vouched_ms, self._others)), default=None)
        return None if limit_ms is None else limit_ms + self._ahead_ms_max

    def _vouched_ms(self, tp: TP) -> int:
        """Event time before which another worker's feed had nothing unread."""
        word = self._words.get(tp)
        if word is None:
            return NOTHING_MS
        return _time_ms(word.front_ms if word.unread else word.as_of)

    def _is_unread(self, tp: TP, front: _Front) -> bool:
        if front.held or front.running:
            return True
        position, end = self._progress(tp)
        return end is None or max(position, front.position or 0) < end


def _is_read(word: FeedProgress | None) -> bool:
    return word is not None and not word.unread


def _time_ms(time_ms: int | None) -> int:
    return NOTHING_MS if time_ms is None else time_ms
