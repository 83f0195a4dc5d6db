"""learn: observations are paired with their outcomes, the champion learns, and its candidates are published.

Everything follows from `observation.v1` and `events.v1` alone, in whatever order the two are read. A month is learned
when every partition of the log has passed its end and score has applied all of that (its committed offsets say so),
from the records before the month's closing ticks.

One worker learns: it has all partitions, and the others stand by. What it holds and how far it has read is one
checkpoint in `learn.v1` (ADR 27), written by who has claimed it. A start goes on from there. A candidate is published
only when the checkpoint has the month that it follows from; one that is in the checkpoint as still to be published is
published again, which changes nothing where it was. Memory that may be wrong is dropped and loaded again.

Loading and learning run in a thread, while the partitions are paused; chunks that still come wait.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

import msgspec

from config.settings import Settings
from detectors.learning.challengers import Challengers
from detectors.learning.examples import Examples
from detectors.snapshot import Snapshot
from domain import topics
from domain.events import LogRecord
from domain.outputs import Observation
from sinks.checkpoint_topic import CheckpointFenced, CheckpointTopic, CheckpointUnavailable, Head
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import MarkedOutbox
from sinks.telemetry import Learning, ModelsTested, Outcomes, Readiness, Reading
from sinks.telemetry import Outcome as RecordOutcome
from streams.dead_letters import dead_letter, unreadable
from streams.learn.checkpoint import Memory, restored
from streams.learn.learner import Learned, Learner, Month
from streams.learn.months import Months
from streams.learn.passing import telling
from streams.learn.publishing import Publisher
from streams.learn.score_progress import Progress, ScoreProgress
from streams.learn.threads import in_thread
from streams.transport.chunk import Chunk
from streams.worker.role import DETACHED, TP, Role, RoleContext

log = logging.getLogger(__name__)

STANDS_BY = "the partitions: another worker learns, this one stands by"
STANDS_BY_S = 2.0  # without partitions: a rebalance takes less
POLL_S = 1.0  # between looks at how far score has come
SUMMARY_S = 300.0
CLAIM_AGAIN_S = 3.0  # a heartbeat: by then a zombie knows that its partitions are another's
CHECKPOINT_ROWS = 100_000  # observations: some 40 MB, so that a backlog is not one transaction
SLICE_S = 0.05  # of applying, before others get their turn
RECORDS_AT_ONCE = 500  # that are decoded before the clock is looked at


class Learn(Role):
    """The learn role. `summary()` has what was observed, matured, learned and published, and what it waits for."""

    name = "learn"
    topics = (topics.EVENTS, topics.OBSERVATION)

    def __init__(
        self,
        settings: Settings,
        *,
        prior: Snapshot | None = None,
        progress: Callable[[], Awaitable[Progress]] | None = None,
        store: CheckpointTopic | None = None,
        step: Callable[[str], None] = lambda _step: None,
        poll_s: float = POLL_S,
    ) -> None:
        """Prepare the role.

        `prior`: the catalogue's by default; `progress`: asks the broker; `step` is called before each step that a test
        may interrupt.
        """
        kafka = settings.kafka
        self._settings, self._prior, self._step, self._poll_s = settings, prior, step, poll_s
        self._client = client_settings(kafka)
        self._numbers = range(kafka.log_partitions)
        self._needed = {TP(topic, p) for topic in self.topics for p in self._numbers}
        self._progress = progress
        self._store = store or CheckpointTopic(
            kafka.bootstrap,
            topics.LEARN,
            writer=f"{kafka.group_prefix}learn",
            holder=f"{kafka.instance_id or socket.gethostname()}:{os.getpid()}",
            client=self._client,
            step=step,
        )
        self._owned: set[TP] = set()
        self._memory: Memory | None = None  # None: nothing is claimed, or it is being loaded
        self._at: tuple[int, str] = (0, "")  # number and holder of the checkpoint that memory goes on from
        self._task: asyncio.Task[None] | None = None  # loads, writes a checkpoint, or learns
        self._is_exclusive = False  # whether chunks must wait for it
        self._waiting: list[tuple[TP, Chunk]] = []
        self._rewinds: dict[TP, int] = {}
        self._full = False
        self._retry_at_s = self._checkpoint_at_s = 0.0
        self._checkpoint_seen = 0
        self._is_ahead = False  # of the checkpoint
        self._context = DETACHED
        self._said_at_s = self._without_since_s = -1e9
        self._waits_for = ""
        self._tested: ModelsTested | None = None
        self._counts: Counter[str] = Counter()
        self._outcomes: Counter[tuple[TP, RecordOutcome, str]] = Counter()
        self._events: msgspec.json.Decoder[LogRecord] = msgspec.json.Decoder(LogRecord)
        self._observations: msgspec.json.Decoder[Observation] = msgspec.json.Decoder(Observation)

    async def start(self, context: RoleContext) -> None:
        """Prepare. What is published and decided is read with the checkpoint."""
        self._context = context
        kafka = self._settings.kafka
        self._outbox = MarkedOutbox(kafka.bootstrap, aiokafka_settings(kafka))
        if self._progress is None:
            group = f"{kafka.group_prefix}score"
            self._progress = ScoreProgress(kafka.bootstrap, group, kafka.log_partitions, self._client)
        # What they are made of takes a second to import: once in the group, its heartbeats would wait for that.
        await in_thread(lambda: Challengers(self._settings.learn.challengers))
        self._publisher = Publisher(self._settings, self._outbox, self._wait_for)
        self._months = self._new_months()
        self._said_at_s = self._without_since_s = time.monotonic()
        self._waits_for = STANDS_BY

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Claim the checkpoint, and return the places in it; what it holds is loaded afterwards.

        Where Kafka does not answer, it is claimed again later.
        """
        self._owned = set(tps)
        if missing := len(self._needed - self._owned):
            self._drop()
            self._waits_for = f"{missing} of {len(self._needed)} partitions: learn needs all of them, in one worker"
            return {}
        try:
            head = await self._claim()
        except (CheckpointFenced, CheckpointUnavailable) as why:
            self._lose(why)
            return {}
        return self._positions(head)

    async def revoked(self, tps: set[TP]) -> None:
        """Write a checkpoint, where nothing is under way. Memory stays: it may be this worker's again."""
        if self._memory is not None and not self._is_exclusive:
            await self._settle()
            if self._memory is not None:
                self._begin(self._checkpoint(self._memory))
                await self._settle()
        else:
            self._drop()
        self._owned -= tps
        self._waiting.clear()
        if not self._owned:
            self._without_since_s, self._waits_for = time.monotonic(), STANDS_BY

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Take in observations, loan events, outcomes and ticks; keep the chunk while memory is loaded or learns."""
        if not self._owned >= self._needed:
            return  # it comes again to the worker that has all partitions
        if self._memory is None and self._task is None:
            return  # it is let go: the partition is rewound when the checkpoint is claimed again
        if self._memory is None or self._is_exclusive:
            self._waiting.append((tp, chunk))
        else:
            await self._take_in(self._memory, tp, chunk)

    def low_offset(self, tp: TP) -> int | None:
        """Return None: nothing is committed to the group, the checkpoint has the places."""
        return None

    @property
    def paused(self) -> frozenset[TP]:
        """All partitions while memory is loaded or learns; those of observations while the queue is full."""
        if self._memory is None or self._is_exclusive:
            return frozenset(self._owned)
        return frozenset(tp for tp in self._owned if self._full and tp.topic == topics.OBSERVATION)

    def rewinds(self) -> Mapping[TP, int]:
        """Return the partitions of which a chunk was let go since the last call, and where they go on."""
        rewinds, self._rewinds = self._rewinds, {}
        return rewinds

    async def tick(self) -> None:
        """Go on with what is due: load, take in what has waited, write a checkpoint, learn the next month.

        Raise CheckpointDamaged and CheckpointRefused.
        """
        self._outbox.poll()
        if time.monotonic() - self._said_at_s >= SUMMARY_S:
            self._say()
        if self._task is not None:
            if not self._task.done():
                return
            await self._settle()
        if not self._owned and time.monotonic() - self._without_since_s > STANDS_BY_S:
            self._without_since_s = math.inf
            log.info("learn: waits for %s", STANDS_BY)
        if not self._owned >= self._needed:
            return
        if self._memory is None:
            if time.monotonic() >= self._retry_at_s:
                await self._claim_again()
            return
        await self._take_in_waiting(self._memory)
        if self._task is None and not await self._learn_next(self._memory) and self._is_checkpoint_due(self._memory):
            self._begin(self._checkpoint(self._memory))

    async def stop(self) -> None:
        """Log the summary and close."""
        await asyncio.to_thread(self._outbox.drain)
        self._say()

    @property
    def is_busy(self) -> bool:
        """Whether it loads, learns or writes a checkpoint, or has chunks that wait for that."""
        return self._task is not None or bool(self._waiting) or (self._memory is None and self._owned >= self._needed)

    def summary(self) -> dict[str, int | float | str | None]:
        """Return counts since the start of the log; prequential metrics where something has matured."""
        memory = self._memory
        found: dict[str, int | float | str | None] = {} if memory is None else {**memory.learner.summary()}
        found["snapshots_published"] = self._counts["published"]
        found["waits_for"] = self._waits_for
        return found

    def readings(self) -> Iterator[Reading]:
        """Yield counts of labels and snapshots, the queue's size, and whether it is full."""
        for (tp, outcome, reason), records in self._outcomes.items():
            yield Outcomes(topic=tp.topic, partition=tp.partition, outcome=outcome, reason=reason, records=records)
        learner = None if self._memory is None else self._memory.learner
        yield Learning(
            labels={} if learner is None else learner.labels,
            waiting=0 if learner is None else learner.ledger.held_count,
            snapshots_published=self._counts["published"],
            snapshots_held=0 if learner is None else learner.counts["held"],
            stands_by=not self._owned,
        )
        if self._tested is not None:
            yield self._tested
        if self._full:
            yield Readiness(ready=False, why_not=self._waits_for)

    # Memory

    def _positions(self, head: Head | None) -> dict[TP, int]:
        """Return the places to go on from. Without a checkpoint those are the log's first records, or where it begins.

        A log whose first records are gone is outside them, and stops the worker by name.
        """
        if self._memory is not None and self._memory.positions:
            return _places(self._memory.positions)
        if head is not None:
            return _places(msgspec.json.decode(head.state, type=_Positions).positions)
        if self._settings.learn.begin_in_mid_log:
            return {}
        return {TP(topics.EVENTS, p): 0 for p in self._numbers}

    async def _claim(self) -> Head | None:
        """Claim the checkpoint; keep memory that goes on from it, else load it, in the background."""
        self._months = self._new_months()
        head = await in_thread(self._store.claim)
        if self._memory is not None and self._at == (0 if head is None else head.number, _holder(head)):
            return head
        self._drop()
        self._is_exclusive = True
        self._begin(self._load(head))
        self._waits_for = "the checkpoint: it is being loaded"
        return head

    async def _claim_again(self) -> None:
        try:
            head = await self._claim()
        except (CheckpointFenced, CheckpointUnavailable) as why:
            self._lose(why)
            return
        if head is None:
            raise CheckpointUnavailable("memory was lost before its first checkpoint: a new start begins anew")
        self._rewinds |= self._positions(head)

    async def _load(self, head: Head | None) -> None:
        """Load what a checkpoint holds, and publish what it says is still to be published."""
        began_s = time.monotonic()
        settings = self._settings.learn
        await self._publisher.start()
        if head is None:
            memory = Memory(learner=Learner(settings, self._numbers, prior=self._prior))
        else:
            store, prior = self._store, self._prior
            gc.disable()  # a look through all that is being made, again and again, would hold up the event loop
            try:
                memory = await in_thread(lambda: restored(settings, self._numbers, head, store.read(head), prior=prior))
            finally:
                gc.enable()
        self._at = (0, "") if head is None else (head.number, head.holder)
        self._checkpoint_at_s, self._checkpoint_seen = time.monotonic(), memory.learner.ledger.seen_count
        gc.freeze()  # a million objects that stay: a look through them holds up the event loop for half a second
        if head is not None:
            log.info(
                "learn: checkpoint %d by %s loaded in %.1f s: %d observations held, %d labelled kept",
                *(head.number, head.holder, time.monotonic() - began_s),
                *(memory.learner.ledger.held_count, memory.learner.ledger.turn),
            )
        self._memory, self._waits_for = memory, ""
        await self._publish(memory)

    def _drop(self) -> None:
        """Forget everything; what runs in a thread comes to nothing."""
        if self._task is not None:
            self._task.cancel()
        self._task, self._memory, self._is_exclusive = None, None, False
        self._waiting.clear()
        self._full = False

    def _lose(self, why: Exception) -> None:
        """Drop memory that may be wrong; it is loaded again, if the group still wants that, in CLAIM_AGAIN_S."""
        self._drop()
        self._retry_at_s = time.monotonic() + CLAIM_AGAIN_S
        self._waits_for = f"its checkpoint: {why}"
        log.warning("learn: memory is dropped, to be loaded again: %s", why)

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        self._task = asyncio.create_task(what)

    async def _settle(self) -> None:
        """Wait for what is under way. Raise its errors, but for the checkpoint's, after which memory is dropped."""
        task = self._task
        if task is None:
            return
        try:
            await task
        except (CheckpointFenced, CheckpointUnavailable) as why:
            self._lose(why)
        self._task, self._is_exclusive = None, False

    # The checkpoint

    def _is_checkpoint_due(self, memory: Memory) -> bool:
        age_s = time.monotonic() - self._checkpoint_at_s
        if memory.learner.ledger.seen_count - self._checkpoint_seen >= CHECKPOINT_ROWS:
            return True
        return age_s >= self._settings.learn.checkpoint_s and self._is_ahead

    async def _checkpoint(self, memory: Memory) -> None:
        """Write what is new. It is taken in a thread, while chunks wait; records are applied while it is written.

        Raise CheckpointFenced and CheckpointUnavailable, after which memory must be dropped.
        """
        was_exclusive, self._is_exclusive = self._is_exclusive, True
        self._step("take")
        for tp in self._needed:
            memory.positions.setdefault(f"{tp.topic}:{tp.partition}", self._place_of(tp))
        self._is_ahead = False
        self._checkpoint_at_s, self._checkpoint_seen = time.monotonic(), memory.learner.ledger.seen_count
        waits_for, settings = self._waits_for, self._settings.learn
        draft = await in_thread(lambda: memory.take(settings, waits_for))
        self._is_exclusive = was_exclusive
        head = await in_thread(lambda: self._store.commit(draft.puts, draft.drops, draft.state))
        self._at = head.number, head.holder

    def _place_of(self, tp: TP) -> int:
        """Return the place of a partition of which nothing has been taken in."""
        return next(
            (chunk.start_offset for other, chunk in self._waiting if other == tp), self._context.position(tp)[0]
        )

    # Records

    async def _take_in_waiting(self, memory: Memory) -> None:
        waiting, self._waiting = self._waiting, []
        for tp, chunk in waiting:
            await self._take_in(memory, tp, chunk)

    async def _take_in(self, memory: Memory, tp: TP, chunk: Chunk) -> None:
        """Apply a chunk. What cannot be read is dead-lettered and counted."""
        if tp in self._rewinds:
            return
        if tp.topic == topics.OBSERVATION:
            chunk = self._within_bound(memory, tp, chunk)
            places = list(range(len(chunk)))
        else:
            places = telling(chunk)
        read = self._event if tp.topic == topics.EVENTS else self._observation
        self._outcomes[tp, "applied", ""] += len(chunk)
        turn_s = time.monotonic()
        for n, i in enumerate(places):
            try:
                read(memory.learner, chunk.value(i) or b"", tp.partition, int(chunk.offset[i]))
            except ValueError as error:  # msgspec's errors too; a month that is no month
                rejected = unreadable(error)
                memory.learner.counts["unreadable"] += 1
                self._outcomes[tp, "applied", ""] -= 1
                self._outcomes[tp, "dead_lettered", rejected.reason.value] += 1
                dead_letter(self._outbox, chunk, i, rejected)
            if n % RECORDS_AT_ONCE == 0 and time.monotonic() - turn_s > SLICE_S:
                await asyncio.sleep(0)
                turn_s = time.monotonic()
        memory.positions[f"{tp.topic}:{tp.partition}"] = chunk.next_offset
        self._is_ahead = True

    def _within_bound(self, memory: Memory, tp: TP, chunk: Chunk) -> Chunk:
        """Return the records of a chunk for which there is room; the partition goes on at the others once there is."""
        room = self._settings.learn.observations_held_max - memory.learner.ledger.held_count
        if len(chunk) <= room:
            return chunk
        part = chunk.part(0, max(room, 0))
        if not self._full:
            log.warning("learn: %s", self._full_text)
        self._full, self._waits_for = True, self._full_text
        self._rewinds[tp] = part.next_offset if len(part) else chunk.start_offset
        return part

    @property
    def _full_text(self) -> str:
        return (
            f"room: the queue holds [learn] observations_held_max = "
            f"{self._settings.learn.observations_held_max} observations, and no more are read"
        )

    def _event(self, learner: Learner, value: bytes, partition: int, offset: int) -> None:
        learner.event(self._events.decode(value).event, partition, offset)

    def _observation(self, learner: Learner, value: bytes, partition: int, _offset: int) -> None:
        learner.ledger.observe(self._observations.decode(value), partition)

    # Months

    def _new_months(self) -> Months:
        assert self._progress is not None, "start comes first"
        return Months(self._progress, self._numbers, self._poll_s)

    async def _learn_next(self, memory: Memory) -> bool:
        """Begin to learn the next month, if everything that it needs has come; return whether it has."""
        month, waits_for = await self._months.next(memory.learner, memory.positions)
        if not self._full:
            self._waits_for = waits_for
        if month is None:
            return False
        self._is_exclusive = True
        self._begin(self._learn_month(memory, month))
        return True

    async def _learn_month(self, memory: Memory, month: int) -> None:
        found = await in_thread(lambda: memory.learner.learn(month))
        if self._settings.learn.publish:
            memory.pending.append(found)
        if self._full and memory.learner.ledger.held_count < self._settings.learn.observations_held_max:
            self._full, self._waits_for = False, ""
        await self._checkpoint(memory)
        await self._publish(memory)

    async def _publish(self, memory: Memory) -> None:
        """Publish what the checkpoint has as to be published."""
        while memory.pending:
            self._step("publish")
            await in_thread(self._store.verify)  # else one that was paused here would publish what is past
            await self._publish_month(memory.learner, memory.pending[0])
            self._step("published")
            del memory.pending[0]
            self._is_ahead = True

    async def _publish_month(self, learner: Learner, month: Month) -> None:
        said = month.report or month.learned
        if said is None:
            return
        newest = await in_thread(lambda: learner.newest(said.month))
        if month.report is not None:
            self._tested = ModelsTested(report=await self._publisher.report(month.report, newest))
        if month.learned is not None:
            await self._publish_candidate(learner, month.learned, newest)

    async def _publish_candidate(self, learner: Learner, learned: Learned, newest: Examples) -> None:
        """Publish a candidate; where another model stays in force, that one too, with probabilities made anew."""
        made = await self._publisher.publish(learned, newest)
        if made is not None:
            self._counts["published"] += 1
            learner.counts["held"] += made.status == "held"
        in_force = self._publisher.in_force()
        if in_force == learned.snapshot or made is None:
            return
        anew = await in_thread(lambda: learner.calibrated(in_force, learned))
        if anew is not None:
            await self._publisher.publish(anew, newest)  # not counted among snapshots: it moves no score

    def _wait_for(self, what: str) -> None:
        if not self._full:
            self._waits_for = what

    def _say(self) -> None:
        self._said_at_s = time.monotonic()
        log.info("learn summary %s", msgspec.json.encode(self.summary(), order="sorted").decode())


class _Positions(msgspec.Struct):
    positions: dict[str, int]


def _places(positions: Mapping[str, int]) -> dict[TP, int]:
    split = {name: name.rpartition(":") for name in positions}
    return {TP(topic, int(p)): positions[name] for name, (topic, _, p) in split.items()}


def _holder(head: Head | None) -> str:
    return "" if head is None else head.holder
