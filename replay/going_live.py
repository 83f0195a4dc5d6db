"""A platform goes live: years of history come in without an alert to anybody, then the days as they come."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException

from domain import topics
from domain.calendar import DAY_MS
from replay.history import History
from replay.offsets import Offsets, Progress
from replay.run import Look, ReplayFailed
from replay.sending import Sending
from replay.sources import Source
from replay.stack import Stack
from streams.worker.roles import topics_of

POLL_S = 1.0  # a look asks for the ends and commits of some 200 partitions
STUCK_S = 180.0
BY, REASON = "demo", "the demo goes live with its history"
WAITED_FOR = ("ingest", "score", "archive")  # learn commits nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfilled:
    """The cost of a backfill: events sent in this run, seconds until score had applied them."""

    events: int
    seconds: float


class GoingLive:
    """The servers and workers of `stack`; `live_from_ms` parts the history of `source` from what comes at `speed`."""

    def __init__(self, source: Source, stack: Stack, *, live_from_ms: int, speed: float) -> None:
        self._stack, self._settings = stack, stack.settings
        self.sending = Sending(source, stack.settings.kafka, speed=speed, live_from_ms=live_from_ms)
        self._offsets = Offsets(self._settings.kafka)
        roles = topics_of(self._settings)
        self._reads = {role: roles[role] for role in WAITED_FOR}
        self._began_s = time.monotonic()
        self._live_from_ms = live_from_ms
        self._first_ms: int | None = None  # event time at which the sender was first seen

    def backfill(self, on_look: Callable[[Look], None]) -> Backfilled:
        """Start the workers and bring the history in. ReplayFailed, ChildFailed, or what sending failed with.

        Half of it lies in the banks' topics before ingest reads any, and the rest is sent faster than it reads: so it
        has large pieces of each feed at hand, and goes through them by their days, where it would else fetch and align
        a few records of many feeds at a time. The kernels are there before any of it: beside compilers that take two
        cores, all that could be done meanwhile would take longer than they and it one after the other.
        """
        history = History(settings=self._settings, by=BY, reason=REASON)
        done = history.is_over
        history.open()
        self._stack.launch_workers(["learn", "archive"])  # the pages answer from here on
        self._stack.await_kernels()
        began_s = time.monotonic()
        self.sending.start()
        self._stack.launch_workers(["score"])
        self._wait(lambda _progress: self._half_sent(), on_look)
        self._stack.launch_workers(["ingest"])
        self._wait(lambda progress: self._history_taken(progress, "ingest"), on_look)
        if not done:
            history.close()
            self._wait(lambda progress: _taken(self._offsets, progress), on_look)
        self._wait(lambda progress: self._history_taken(progress, "score"), on_look)
        return Backfilled(events=sum(self.sending.sent.values()), seconds=time.monotonic() - began_s)

    def live(self, on_look: Callable[[Look], None], *, days: int | None = None) -> int:
        """Go on at `speed` for so many days of event time (None: as long as there are), until every role has done all
        that was sent; how many events that were."""
        before = sum(self.sending.sent.values())
        self.sending.go_live()
        self._wait(lambda _progress: sum(self.sending.sent.values()) > before or self.sending.finished, on_look)
        if days is not None:
            end_ms = (self.sending.at_ms or 0) + days * DAY_MS
            self._wait(lambda _progress: (self.sending.at_ms or 0) >= end_ms or self.sending.finished, on_look)
            self.sending.end()
        self._wait(lambda progress: (days is not None or self.sending.finished) and progress.settled, on_look)
        return sum(self.sending.sent.values()) - before

    def end(self) -> None:
        """Stop sending."""
        self.sending.close()

    def _half_sent(self) -> bool:
        if self.sending.history_sent or self.sending.finished:
            return True
        at_ms = self.sending.at_ms
        if at_ms is None:
            return False  # what an earlier run has sent is still passed over
        self._first_ms = at_ms if self._first_ms is None else self._first_ms
        return at_ms >= (self._first_ms + self._live_from_ms) // 2

    def _history_taken(self, progress: Progress, role: str) -> bool:
        return (self.sending.history_sent or self.sending.finished) and progress.lag[role] == 0

    def _wait(self, reached: Callable[[Progress], bool], on_look: Callable[[Look], None]) -> None:
        state, changed_s = None, time.monotonic()
        while True:
            self._stack.check()
            if self.sending.failure is not None:
                raise self.sending.failure
            try:
                progress = self._offsets.progress(self._reads)
            except KafkaException:
                self._stack.check()  # which says more, where the broker has ended
                raise
            on_look(Look(sending=self.sending, progress=progress, elapsed_s=time.monotonic() - self._began_s))
            if reached(progress):
                return
            # An earlier run's deliveries are made again and passed over: that moves too.
            seen = (dict(progress.lag), dict(progress.done), sum(self.sending.kinds.values()))
            if seen != state:
                state, changed_s = seen, time.monotonic()
            if time.monotonic() - changed_s > STUCK_S and any(progress.lag.values()):
                raise ReplayFailed(f"nothing has moved for {STUCK_S:g} s; records left, by role: {dict(progress.lag)}")
            self._stack.rest(POLL_S)


def _taken(offsets: Offsets, progress: Progress) -> bool:
    """Return whether ingest has copied every word of `control.v1` into the log."""
    place = (topics.CONTROL, 0)
    return offsets.committed("ingest", [place]).get(place, 0) >= progress.ends[place]
