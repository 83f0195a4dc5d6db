"""One replay: send, wait until every role has done all there is, stop the workers, draw up the books."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Settings
from replay.books import Books, draw_up, read_alerts
from replay.episodes import Episode, episodes
from replay.history import History
from replay.offsets import Offsets, Progress
from replay.sending import Sending
from replay.sources import Source
from replay.stack import Stack
from sinks.clickhouse import connect as connect_clickhouse
from sinks.clickhouse import target_of
from sinks.redis_store import opened, outcome_totals
from streams.topics import wanted_topics
from streams.worker.roles import topics_of

POLL_S = 0.5
BY, REASON = "replay", "all of it is history"
QUIET_S = 6.0  # with nothing left to do and no topic that grows: learn, which commits nothing, looks every second
STUCK_S = 180.0  # without any progress
LEARN_SUMMARY = "learn summary "
TABLES = ("txn", "score", "indicator", "alert", "alert_backfill", "alert_told")


class ReplayFailed(Exception):
    """The replay came to no end; the message says where it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look at a running replay."""

    sending: Sending
    progress: Progress
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a replay."""

    books: Books
    episodes: list[Episode]


class Replay:
    """Replays `source` into the servers of `settings`; `stack` where we started them and the workers ourselves."""

    def __init__(self, source: Source, settings: Settings, *, stack: Stack | None, speed: float | None) -> None:
        self.source, self.settings, self.stack = source, settings, stack
        self._sending = Sending(source, settings.kafka, speed=speed)
        self._offsets = Offsets(settings.kafka)
        # Around servers that are not ours, a backfill is their operators' word.
        is_ours = source.is_history and stack is not None
        self._history = History(settings=settings, by=BY, reason=REASON) if is_ours else None
        self._started_s, self._wall_s = time.monotonic(), 0.0
        self.done = False  # everything that was sent is through

    def run(self, on_look: Callable[[Look], None]) -> Outcome:
        """Return all of it. ReplayFailed, ChildFailed (a worker has ended), or what sending failed with."""
        try:
            self.wait(on_look)
            return self.finish()
        finally:
            self.end()

    def end(self) -> None:
        """Stop sending, where it still goes on."""
        self._sending.close()

    def wait(self, on_look: Callable[[Look], None]) -> None:
        """Send, and wait until nothing is left to do; `on_look` is called about twice a second."""
        if self._history is not None:
            self._history.open()
        self._sending.start()
        roles = topics_of(self.settings)
        names = [topic.name for topic in wanted_topics(self.settings)]
        places = self._offsets.partitions(names)
        state: object = None
        changed_s = time.monotonic()
        while True:
            if self.stack is not None:
                # At full speed everything lies in the topics before anybody reads: ingest then aligns the feeds as
                # closely as it may, and the same days close between the same records at every replay.
                if not self.stack.launched and (self._sending.finished or self._sending.paced):
                    self.stack.launch_workers()
                    changed_s = time.monotonic()
                self.stack.check()
            if self._sending.failure is not None:
                raise self._sending.failure
            # learn commits nothing: it is done when nothing else moves, and its last word is checked in the books.
            progress = self._offsets.progress({role: roles[role] for role in roles if role != "learn"})
            on_look(Look(sending=self._sending, progress=progress, elapsed_s=time.monotonic() - self._started_s))
            seen = (self._offsets.ends(places), dict(progress.lag), sum(self._sending.sent.values()))
            if seen != state:
                state, changed_s = seen, time.monotonic()
            still_s = time.monotonic() - changed_s
            if self._sending.finished and progress.settled and still_s >= QUIET_S:
                if self._history is not None and self._history.close():
                    changed_s = time.monotonic()
                    continue  # the opening lists are still to come
                self.done, self._wall_s = True, changed_s - self._started_s
                return
            if still_s >= STUCK_S and (self._sending.finished or not self._sending.paced):
                raise ReplayFailed(f"nothing has moved for {STUCK_S:g} s; records left, by role: {dict(progress.lag)}")
            time.sleep(POLL_S)

    def finish(self) -> Outcome:
        """Stop the workers, where they are ours, and count."""
        learn: Mapping[str, Any] = {}
        if self.stack is not None:
            self.stack.stop_workers()
            learn = learn_summary(self.stack.directory / "logs" / "learn.log")
        settings = self.settings
        with opened(settings.redis) as redis:
            outcomes = outcome_totals(redis, settings.redis.key_prefix, settings.kafka.log_partitions)
        alerts = list(read_alerts(settings))
        books = draw_up(
            source=self.source.name,
            rows=self.source.rows(),
            kinds=self._sending.kinds,
            known=self.source.outcomes(),
            settings=settings,
            outcomes=outcomes,
            alerts=alerts,
            stored=stored_rows(settings),
            learn=learn,
            wall_s=self._wall_s,
        )
        return Outcome(books=books, episodes=episodes(alerts))


def stored_rows(settings: Settings) -> dict[str, int]:
    """Logical rows of each table in ClickHouse (chdb: archive must have let go of the folder)."""
    connection = connect_clickhouse(target_of(settings.clickhouse))
    try:
        return {
            table: int(connection.rows(f"SELECT count() FROM {connection.database}.{table} FINAL")[0][0])
            for table in TABLES
        }
    finally:
        connection.close()


def learn_summary(log: Path) -> dict[str, Any]:
    """Return the last summary that learn has written into its log; empty where there is none."""
    found: dict[str, Any] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []:
        _, marked, body = line.partition(LEARN_SUMMARY)
        if marked:
            with suppress(ValueError):  # a line that the end of an earlier run cut short
                found = json.loads(body)
    return found
