"""learn: observations are paired with their outcomes, the champion learns, and its candidates are published.

Everything follows from `observation.v1` and `events.v1` alone, in whatever order the two are read. A month is learned
when every partition of the log has passed its end and score has applied all of that (its committed offsets say so),
from the records before the month's closing ticks. Nothing is committed: a start reads both topics from their beginning,
and a candidate that is already published is not published again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping

import msgspec

from config.settings import Settings
from detectors.snapshot import Snapshot
from domain import topics
from domain.events import LogRecord
from domain.outputs import Observation
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import MarkedOutbox
from sinks.telemetry import Learning, Outcomes, Reading
from sinks.telemetry import Outcome as RecordOutcome
from streams.dead_letters import dead_letter, unreadable
from streams.learn.learner import Learner
from streams.learn.publishing import Publisher
from streams.learn.score_progress import Progress, ScoreProgress
from streams.transport.chunk import Chunk
from streams.worker.role import TP, Role, RoleContext

log = logging.getLogger(__name__)

POLL_S = 1.0  # between looks at how far score has come
SUMMARY_S = 300.0


class Learn(Role):
    """The learn role. `summary()` has what was observed, matured, learned and published, and what it waits for."""

    name = "learn"
    topics = (topics.EVENTS, topics.OBSERVATION)

    def __init__(
        self,
        settings: Settings,
        *,
        prior: Snapshot | None = None,
        groups: Mapping[str, str] | None = None,
        progress: Callable[[], Awaitable[Progress]] | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        """Prepare the role.

        `prior`, `groups` (indicator to group): the catalogue's by default; `progress`: asks the broker.
        """
        self._settings = settings
        self._learner = Learner(settings.learn, range(settings.kafka.log_partitions), prior=prior, groups=groups)
        self._partitions = self._learner.partitions
        self._progress = progress
        self._poll_s = poll_s
        self._next: dict[TP, int] = {}
        self._owned: set[TP] = set()
        self._ready_month: int | None = None  # score has applied all up to its end …
        self._targets: Mapping[int, int] = {}  # … and its observations end here
        self._looked_at_s = self._said_at_s = -1e9
        self._waits_for = ""
        self._counts: Counter[str] = Counter()
        self._outcomes: Counter[tuple[TP, RecordOutcome, str]] = Counter()
        self._events: msgspec.json.Decoder[LogRecord] = msgspec.json.Decoder(LogRecord)
        self._observations: msgspec.json.Decoder[Observation] = msgspec.json.Decoder(Observation)

    async def start(self, context: RoleContext) -> None:
        """Read which candidates are published already. Raise ArtefactMissing where the topics cannot be read."""
        kafka = self._settings.kafka
        client = client_settings(kafka)
        self._outbox = MarkedOutbox(kafka.bootstrap, aiokafka_settings(kafka))
        if self._progress is None:
            group = f"{kafka.group_prefix}score"
            self._progress = ScoreProgress(kafka.bootstrap, group, kafka.log_partitions, client)
        self._publisher = Publisher(self._settings, self._outbox)
        await self._publisher.start()
        self._said_at_s = time.monotonic()

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return where memory ends.

        What it does not hold starts at the log's start, since nothing is ever committed.
        """
        self._owned = set(tps)
        return {tp: self._next[tp] for tp in tps if tp in self._next}

    async def revoked(self, tps: set[TP]) -> None:
        """Keep the memory: it follows from the log, whoever reads it next."""
        self._owned -= tps

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Take in observations, loan events, outcomes and ticks. What cannot be read is dead-lettered and counted."""
        read = self._event if tp.topic == topics.EVENTS else self._observation
        self._outcomes[tp, "applied", ""] += len(chunk)
        for i, offset in enumerate(chunk.offset.tolist()):
            try:
                read(chunk.value(i) or b"", tp.partition, offset)
            except ValueError as error:  # msgspec's errors too; a month that is no month
                rejected = unreadable(error)
                self._learner.counts["unreadable"] += 1
                self._outcomes[tp, "applied", ""] -= 1
                self._outcomes[tp, "dead_lettered", rejected.reason.value] += 1
                dead_letter(self._outbox, chunk, i, rejected)
        self._next[tp] = chunk.next_offset

    def low_offset(self, tp: TP) -> int | None:
        """Return None: nothing is committed."""
        return None

    async def tick(self) -> None:
        """Learn the next month, if everything that it needs has come."""
        self._outbox.poll()
        await self._learn_next()
        if time.monotonic() - self._said_at_s >= SUMMARY_S:
            self._say()

    async def stop(self) -> None:
        """Log the summary and close."""
        await asyncio.to_thread(self._outbox.drain)
        self._say()

    def summary(self) -> dict[str, int | float | str | None]:
        """Return counts since the start of the log; prequential metrics where something has matured."""
        found: dict[str, int | float | str | None] = {**self._learner.summary()}
        found["snapshots_published"] = self._counts["published"]
        found["waits_for"] = self._waits_for
        return found

    def readings(self) -> Iterator[Reading]:
        """Yield counts of labels and snapshots, and what learning waits for."""
        for (tp, outcome, reason), records in self._outcomes.items():
            yield Outcomes(topic=tp.topic, partition=tp.partition, outcome=outcome, reason=reason, records=records)
        yield Learning(
            labels=self._learner.labels,
            snapshots_published=self._counts["published"],
            snapshots_held=self._learner.counts["held"],
        )

    def _event(self, value: bytes, partition: int, offset: int) -> None:
        self._learner.event(self._events.decode(value).event, partition, offset)

    def _observation(self, value: bytes, partition: int, _offset: int) -> None:
        self._learner.ledger.observe(self._observations.decode(value), partition)

    async def _learn_next(self) -> None:
        month = self._due_month()
        if month is None:
            return
        if self._ready_month is None or month > self._ready_month:
            if time.monotonic() - self._looked_at_s < self._poll_s:
                return
            self._looked_at_s = time.monotonic()
            await self._look(month)
        if self._ready_month is None or month > self._ready_month:
            return
        behind = [p for p, end in self._targets.items() if self._next.get(TP(topics.OBSERVATION, p), 0) < end]
        if behind:
            self._waits_for = f"{topics.OBSERVATION}[{behind[0]}] up to offset {self._targets[behind[0]]}"
            return
        self._waits_for = ""
        await self._learn_month(month)

    def _due_month(self) -> int | None:
        """Return the next month that every partition has passed.

        None where there is none, or partitions are others'.
        """
        needed = {TP(topic, p) for topic in self.topics for p in self._partitions}
        if missing := len(needed - self._owned):
            self._waits_for = f"{missing} of {len(needed)} partitions: learn needs all of them, in one worker"
            return None
        silent = [p for p, state in self._partitions.items() if not state.closes]
        if silent:
            self._waits_for = f"a tick past a month's end in {topics.EVENTS}[{silent[0]}]"
            return None
        return self._learner.due_month

    async def _look(self, month: int) -> None:
        """Ask how far score has come; the last month that all its partitions have applied is ready."""
        assert self._progress is not None, "start comes first"
        progress = await self._progress()
        ready = month - 1
        while all(self._applied(progress, p, ready + 1) for p in self._partitions):
            ready += 1
        if ready < month:
            late = next(p for p in self._partitions if not self._applied(progress, p, month))
            at, due = progress.score_offsets.get(late), self._partitions[late].close_of(month)
            ends = None if due is None else due.offset
            self._waits_for = f"score: {topics.EVENTS}[{late}] is applied up to {at}, month {month} ends at {ends}"
            return
        self._ready_month, self._targets = ready, progress.observation_ends

    def _applied(self, progress: Progress, partition: int, month: int) -> bool:
        close = self._partitions[partition].close_of(month)
        return close is not None and progress.score_offsets.get(partition, -1) > close.offset

    async def _learn_month(self, month: int) -> None:
        learned = self._learner.learn(month)
        if learned is None or not self._settings.learn.publish:
            return
        made = await self._publisher.publish(learned)
        if made is not None:
            self._counts["published"] += 1
            self._learner.counts["held"] += made.status == "held"

    def _say(self) -> None:
        self._said_at_s = time.monotonic()
        log.info("learn summary %s", msgspec.json.encode(self.summary(), order="sorted").decode())
