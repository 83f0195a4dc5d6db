"""The ingest role: from the topics of banks, the gateway and operators to the one log `events.v1`, or to `dlq.v1`.

It is the only writer of `events.v1`. Delivery is at least once: an offset is committed when every output of the records
before it is acknowledged, and so is the progress in `feed.v1` that covers it. A dead letter is an output like any
other: while `dlq.v1` takes none, nothing is committed past the record, and the worker stops.

Several workers share the banks' topics. Each publishes the progress of its feeds in `feed.v1` and pauses those that are
too far ahead (alignment.py). The owner of `control.v1` writes the ticks of all feeds: it knows its own records as it
sends them, and others' records once `feed.v1` says that they are in the log (ticks.py). Control records that were there
when the partition was assigned are in the log before any record of a bank that this worker reads.

Whichever has `model.request.v1` answers learn's requests (model_requests.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from config.settings import Settings
from domain import topics
from domain.calendar import day_of, day_of_text, day_start_ms
from domain.events import Control, LogRecord, Receipt
from domain.outputs import FeedProgress, FeedQuestion
from domain.reject import Rejected
from domain.validate import Validator, source_of
from sinks.batch import Records
from sinks.client import aiokafka_settings, client_settings
from sinks.kafka import LINGER_MS_MAX, MarkedOutbox
from sinks.telemetry import (
    EnterprisesKnown,
    FeedPaused,
    FeedWaited,
    HeldBack,
    NewEnterprises,
    Outcomes,
    Quarantined,
    Reading,
    Unacknowledged,
)
from sinks.telemetry import Outcome as RecordOutcome
from streams.ingest import token_key
from streams.ingest.alignment import Alignment
from streams.ingest.allowance import Allowance, Paced
from streams.ingest.end_offset_probe import NOTHING_MS
from streams.ingest.end_offsets import EndOffsetRequest
from streams.ingest.enterprises import EnterpriseReader, Enterprises
from streams.ingest.feed_progress import FeedProgressPublisher, FeedProgressReader
from streams.ingest.forwarding import NO_TIME_MS, Forwarder, Later, Next, Outcome, Refused, Rest
from streams.ingest.late_admission import admitted
from streams.ingest.model_requests import REQUESTS, ModelRequests
from streams.ingest.quarantine import BeyondQuota, BeyondRefused, Quarantine
from streams.ingest.ticks import Ticks
from streams.ingest.tokens import Tokens
from streams.seal import load_sealer
from streams.topics import check_topics
from streams.transport import Chunk, UnreadableBatch
from streams.worker.role import DETACHED, TP, Role, RoleContext

log = logging.getLogger(__name__)

CONTROL = TP(topics.CONTROL, 0)
DRAIN_S = 8.0  # within the time that a rebalance leaves
RECORDS_AT_ONCE = 500  # then other tasks of the loop get a turn
NEVER_MS = 2**62  # after any event
EXCHANGE_S = 0.02  # between two looks at `feed.v1` while records come
RELEASE_S = 1.0  # of letting held feeds go on; then a rebalance, a stop and the worker's own looks get their turn
_OUTCOMES: Mapping[str, RecordOutcome] = {"forwarded": "applied", "folded": "receipt", "skipped": "skipped"}


@dataclass(slots=True)
class _Input:
    """One partition that is read. Times are event times in ms."""

    tp: TP
    validator: Validator
    bank_id: str | None
    aligned: bool
    allowance: Allowance | None  # of a bank
    position: int | None = None  # next offset to apply
    held: deque[Rest] = field(default_factory=deque)
    unreadable: UnreadableBatch | None = None  # what comes after what is held
    beyond_quota: BeyondQuota | BeyondRefused | None = None  # what is held begins with it; not yet settled
    waits: Paced | Literal["holds"] | None = None  # for which allowance, or until it is known where feeds are held
    waits_since_s: float = 0.0
    day_end_ms: int = NOTHING_MS  # of the day of the newest event
    newest_ms: int | None = None  # event time of the newest event


class Ingest(Role):
    """The ingest role; see the module."""

    name = "ingest"

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._aligned = (*(topics.bank_events(bank.bank_id) for bank in settings.banks), topics.GATEWAY)
        self.topics = (*self._aligned, topics.DESK, topics.CONTROL, topics.MODEL_REQUEST)
        self._context = DETACHED
        self._settings, self._clock = settings, clock
        keys = token_key.load(settings.ingest)
        log.info("tokens begin with %s, opened by the key %s", keys.token_key_id, keys.key_id)
        sealer = load_sealer(settings.seal.public_key_file)
        self._forwarder = Forwarder(Tokens(keys.secret), sealer, compiled=settings.kafka.parser == "compiled")
        self._alignment = Alignment(settings.ingest.align_ms_max, lambda tp: self._context.position(tp))
        self._question = EndOffsetRequest(lambda tps: self._context.end_offsets(tps))
        self._quarantine = Quarantine(settings, sealer)
        self._model_requests = ModelRequests(settings, clock)
        self._enterprises = Enterprises(settings.ingest)
        self._new_enterprises: Counter[TP] = Counter()
        self._waited_s: defaultdict[tuple[TP, str], float] = defaultdict(float)  # for an allowance
        self._rewinds: dict[TP, int] = {}  # offsets where feeds go on, until the worker asks
        self._ticks: Ticks | None = None  # where this worker writes them
        self._inputs: dict[TP, _Input] = {}
        self._outbox: MarkedOutbox | None = None
        self._ticked_s = self._exchanged_s = -1.0
        self._let_go: Counter[TP] = Counter()  # held records whose feed went to another worker
        self._is_assigned = False  # between being given partitions and giving them back

    @property
    def counts(self) -> Counter[tuple[str, int, Outcome]]:
        """Records by (topic, partition, outcome)."""
        return self._forwarder.counts

    async def start(self, context: RoleContext) -> None:
        """Check the topics and connect. The kernels are compiled, or loaded, before that.

        Raise SettingsError where a topic is missing or not as `config/topics.toml` has it.
        """
        self._context = context
        await asyncio.to_thread(self._forwarder.warm)
        written = (topics.EVENTS, topics.DEAD_LETTERS, topics.QUARANTINE, topics.FEED, topics.ENTERPRISE)
        needed = (*self.topics, *written, topics.MODEL, topics.MODEL_REPORT)
        await asyncio.to_thread(check_topics, self._settings, needed)
        kafka, client = self._settings.kafka, client_settings(self._settings.kafka)
        self._outbox = MarkedOutbox(kafka.bootstrap, aiokafka_settings(kafka), linger_ms=LINGER_MS_MAX)
        self._publisher = FeedProgressPublisher(self._outbox, self._alignment.step_ms, self._clock)
        self._progress_reader = await asyncio.to_thread(FeedProgressReader, kafka.bootstrap, client)
        self._enterprise_reader = EnterpriseReader(self._enterprises, kafka.bootstrap, client)
        await asyncio.to_thread(self._enterprise_reader.catch_up)
        self._publisher.ask()

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return the offsets to start from, the group's committed ones.

        Take over the ticks where `control.v1` is assigned.
        """
        await self._leave_ticks()
        await asyncio.to_thread(self._enterprise_reader.catch_up)  # what earlier owners of the feeds have brought
        if CONTROL in tps:
            self._ticks = await Ticks.taken_over(self._settings, self._out, self._publisher, self._alignment)
        for tp, one in self._inputs.items():
            self._let_go[tp] += sum(map(len, one.held))
        self._inputs = {tp: self._input(tp) for tp in sorted(tps - {REQUESTS})}
        own = {tp for tp, one in self._inputs.items() if one.aligned}
        self._alignment.begin(own, {TP(topic, 0) for topic in self._aligned} - own)
        self._alignment.is_closed = CONTROL in tps
        self._publisher.begin(own)
        self._quarantine.begin()
        if waiting := self._model_requests.held:
            self._let_go[REQUESTS] += waiting
        self._model_requests.begin()
        self._rewinds = {}
        self._is_assigned = True
        if tps:
            log.info("this worker reads %s", ", ".join(sorted(tp.topic for tp in tps)))
        return {}

    async def revoked(self, tps: set[TP]) -> None:
        """Wait until everything is acknowledged, and publish that."""
        self._question.drop()
        await asyncio.to_thread(self._out.drain, DRAIN_S)
        self._publisher.republish()
        for _ in range(2):  # progress that waited, then the last
            self._publish_progress()
            await asyncio.to_thread(self._out.drain, DRAIN_S)
        await self._leave_ticks()
        self._is_assigned = False

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Forward, fold or dead-letter each record, or keep the chunk while its feed is too far ahead."""
        if tp == REQUESTS:
            self._model_requests.take(chunk)
            return
        one = self._inputs[tp]
        if one.held:
            one.held.append(Rest(chunk))
        else:
            await self._run(one, Rest(chunk))
        if self._clock() - self._exchanged_s >= EXCHANGE_S:
            await self._exchange_progress()
        if self.paused:
            await self._release()

    async def unreadable(self, tp: TP, batch: UnreadableBatch) -> None:
        """Quarantine a batch of a feed or of learn. Raise the UnreadableBatch where it is of an operators' topic."""
        if tp == REQUESTS:
            self._model_requests.unreadable(batch)
            return
        one = self._inputs[tp]
        if not one.aligned:
            raise batch
        one.unreadable = batch
        self._settle()

    def rewinds(self) -> Mapping[TP, int]:
        """Return the feeds that an operator has resumed or moved on, and the offsets where they go on."""
        rewinds, self._rewinds = self._rewinds, {}
        return {**rewinds, **self._model_requests.rewinds()}

    def flush_after_fetch(self) -> None:
        """Send what waits in the outbox."""
        self._out.flush_now()

    @property
    def paused(self) -> frozenset[TP]:
        """Feeds that are too far ahead of the others, or held until an operator decides; requests while some wait."""
        waiting = {tp for tp, one in self._inputs.items() if one.held or one.unreadable is not None}
        if self._model_requests.is_paused:
            waiting.add(REQUESTS)
        return self._quarantine.paused.union(waiting)

    def low_offset(self, tp: TP) -> int | None:
        """Return the offset before which all is acknowledged; for a feed, its progress in `feed.v1` too."""
        if tp == REQUESTS:
            return self._model_requests.low_offset(self._out)
        one = self._inputs.get(tp)
        if one is None or one.position is None:
            return None
        if one.aligned:
            return self._publisher.published_offset(tp)
        lowest = self._out.lowest_open(tp)
        return one.position if lowest is None else min(lowest, one.position)

    async def tick(self) -> None:
        """Process acknowledgements, let held feeds go on, and write a tick where one is due."""
        self._out.poll()
        if not self._is_assigned:
            return
        await self._exchange_progress()
        self._end_waits()
        await self._release()
        self._settle()
        self._model_requests.settle(self._out, self._quarantine)
        now_s = self._clock()
        if self._ticks and now_s - self._ticked_s >= self._settings.ingest.tick_interval_ms / 1000:
            await self._ticks.advance()
            self._ticks.publish_health()
            self._ticked_s = now_s

    async def stop(self) -> None:
        """Wait for what is under way, then close."""
        self._question.drop()
        await self._leave_ticks()
        if self._outbox is not None:
            outbox, self._outbox = self._outbox, None
            await asyncio.to_thread(outbox.drain, DRAIN_S)
            await asyncio.to_thread(self._progress_reader.close)
            await asyncio.to_thread(self._enterprise_reader.close)
            await self._quarantine.close()
            await self._model_requests.close()

    def readings(self) -> Iterator[Reading]:
        """Yield counts, lags, and the number of unacknowledged outputs."""
        for (topic, partition, what), records in self.counts.items():
            outcome = _OUTCOMES.get(what, "dead_lettered")
            reason = what if outcome == "dead_lettered" else ""
            yield Outcomes(topic=topic, partition=partition, outcome=outcome, reason=reason, records=records)
        for what, records in self._model_requests.counts.items():
            outcome = _OUTCOMES.get(what, "dead_lettered")
            reason = what if outcome == "dead_lettered" else ""
            yield Outcomes(topic=REQUESTS.topic, partition=0, outcome=outcome, reason=reason, records=records)
        for tp, records in self._let_go.items():
            yield Outcomes(topic=tp.topic, partition=tp.partition, outcome="let_go", records=records)
        for tp, one in self._inputs.items():
            yield HeldBack(topic=tp.topic, partition=tp.partition, records=sum(map(len, one.held)))
        yield HeldBack(topic=REQUESTS.topic, partition=REQUESTS.partition, records=self._model_requests.held)
        for tp, enterprises in self._new_enterprises.items():
            yield NewEnterprises(topic=tp.topic, partition=tp.partition, enterprises=enterprises)
        for (tp, reason), seconds in self._waited_s.items():
            yield FeedWaited(topic=tp.topic, partition=tp.partition, reason=reason, seconds=seconds)
        yield EnterprisesKnown(enterprises=len(self._enterprises))
        for (topic, partition, reason), batches in self._quarantine.counts.items():
            yield Quarantined(topic=topic, partition=partition, reason=reason, batches=batches)
        paused = self._quarantine.paused
        for tp, one in self._inputs.items():
            if one.aligned:
                yield FeedPaused(topic=tp.topic, partition=tp.partition, paused=tp in paused)
        if self._ticks is not None:
            yield from self._ticks.readings()
        if self._outbox is not None:
            yield Unacknowledged(outputs=self._outbox.sent_count - self._outbox.acknowledged_count)

    @property
    def _out(self) -> MarkedOutbox:
        if self._outbox is None:
            raise RuntimeError("ingest is not started")
        return self._outbox

    async def _leave_ticks(self) -> None:
        if self._ticks is not None:
            ticks, self._ticks = self._ticks, None
            await ticks.close()

    def _input(self, tp: TP) -> _Input:
        source = source_of(tp.topic)
        validator = Validator(
            source=source,
            forbidden=self._forwarder.forbidden,
            future_tolerance_ms=self._settings.ingest.future_tolerance_ms,
        )
        return _Input(
            tp=tp,
            validator=validator,
            bank_id=source.bank_id,
            aligned=source.writer in ("bank", "gateway"),
            allowance=None if source.bank_id is None else Allowance(self._settings.ingest, self._clock()),
        )

    async def _exchange_progress(self) -> None:
        """Poll the progress of the others' feeds and the end offsets of all.

        Publish the progress of this worker's feeds.
        """
        self._enterprise_reader.poll()
        polled = self._progress_reader.poll()
        reports = [one for one in polled if isinstance(one, FeedProgress)]
        for progress in reports:
            self._alignment.update(progress)
        if any(isinstance(one, FeedQuestion) for one in polled):
            self._publisher.republish()
        if (answer := self._question.answer()) is not None:
            self._alignment.answered(*answer)
        self._question.ask(*self._alignment.to_ask())
        self._publish_progress()
        if self._ticks:
            self._ticks.update(reports, self._progress_reader.offset)
            await self._ticks.close_days()
        self._exchanged_s = self._clock()

    def _publish_progress(self) -> None:
        paused = self._quarantine.paused
        for tp, one in self._inputs.items():
            if not one.aligned:
                continue
            front = self._alignment.front(tp)
            progress = FeedProgress(
                topic=tp.topic,
                partition=tp.partition,
                generation=self._context.generation(),
                position=front.position,
                unread=front.unread,
                front_ms=front.time_ms,
                last_event_time=one.newest_ms,
                paused=tp in paused,
            )
            self._publisher.publish(tp, progress)

    async def _release(self) -> None:
        """Let held feeds go on, the oldest first, as far as they may, and no longer than other tasks can wait."""
        if self._alignment.is_closed:
            position, end = self._context.position(CONTROL)
            self._alignment.is_closed = end is None or position < end
        until_s = self._clock() + RELEASE_S
        while (tp := self._alignment.release()) is not None:
            one = self._inputs[tp]
            while one.held and await self._run(one, one.held.popleft()):
                pass
            if (now_s := self._clock()) - self._exchanged_s >= EXCHANGE_S:
                await self._exchange_progress()
            if now_s >= until_s:
                break

    def _settle(self) -> None:
        """Pause feeds that are held until an operator decides, and let those go on of which that is decided."""
        for tp, one in self._inputs.items():
            if one.beyond_quota is not None:
                self._settle_quota(one, one.beyond_quota)
            if one.unreadable is not None and not one.held:
                batch, one.unreadable = one.unreadable, None
                one.position = batch.offset
                self._alignment.pause(tp, batch.offset)
                self._quarantine.pause(tp, batch)
        for tp, after in self._quarantine.settle(self._out).items():
            one = self._inputs[tp]
            if after.reason == BeyondRefused.reason and one.allowance is not None:
                one.allowance.grant()
            self._go_on(one, after.offset)

    def _settle_quota(self, one: _Input, at: BeyondQuota | BeyondRefused) -> None:
        """Let a feed go on where operators have granted more than it has brought, else pause it."""
        assert one.bank_id is not None
        may_go_on = False
        if isinstance(at, BeyondQuota):
            granted = self._quarantine.granted(one.tp.topic, at.day)
            if granted is None:
                return
            may_go_on = self._enterprises.grant(one.bank_id, at.day, granted)
        one.beyond_quota = None
        if may_go_on:
            self._alignment.resume(one.tp, at.offset, held=True)
        else:
            self._alignment.pause(one.tp, at.offset)
            self._quarantine.pause(one.tp, at)

    def _go_on(self, one: _Input, offset: int) -> None:
        """Let a paused feed go on at an offset, with what is held of it or, beyond that, by a rewind."""
        one.position, held = offset, sum(map(len, one.held))
        while one.held and one.held[0].chunk.next_offset <= offset:
            one.held.popleft()
        if one.held:
            one.held[0].skip_to(offset)
        else:
            one.unreadable, self._rewinds[one.tp] = None, offset
        if skipped := held - sum(map(len, one.held)):
            self._forwarder.count(one.tp, "skipped", skipped)
        self._alignment.resume(one.tp, offset, held=bool(one.held))

    def _is_spent(self, one: _Input) -> bool:
        """Return whether a feed has spent its allowance of records or bytes; then it waits."""
        spent = None if one.allowance is None else one.allowance.spent(self._clock())
        if spent is not None:
            log.warning("feed %s[%d] waits: it has spent its %s of an hour", *one.tp, spent)
            one.waits, one.waits_since_s = spent, self._clock()
        return spent is not None

    def _end_waits(self) -> None:
        """Let feeds go on that wait for nothing any more."""
        now_s = self._clock()
        for tp, one in self._inputs.items():
            if one.waits is None or one.allowance is None:
                continue
            self._waited_s[tp, one.waits] += now_s - one.waits_since_s
            one.waits_since_s = now_s
            if one.waits == "holds":
                is_over = self._quarantine.has_read()
            else:
                is_over = one.allowance.has_refilled(now_s)
                if is_over:
                    log.warning("feed %s[%d] goes on: a minute's worth of its %s is there", *tp, one.waits)
            if is_over:
                one.waits = None
                self._alignment.resume(tp, one.held[0].offset(one.held[0].first), held=True)

    async def _run(self, one: _Input, rest: Rest) -> bool:
        """Apply the rest of a chunk.

        Return False where records of it are now held, before any that were held already.
        """
        limit_ms = self._alignment.run(one.tp, rest.offset(rest.first)) if one.aligned else None
        while rest:
            is_applied = True
            if not self._is_spent(one):
                first = rest.first
                found = self._forward(one, rest, min(one.day_end_ms - 1, NEVER_MS if limit_ms is None else limit_ms))
                is_applied = found is None or await self._apply_one(one, rest, found, limit_ms)
                if one.allowance is not None:
                    one.allowance.take(rest.first - first, rest.payload_bytes(first, rest.first))
            has_to_wait = one.waits is not None or one.beyond_quota is not None
            if has_to_wait:
                self._alignment.wait(one.tp, rest.offset(rest.first))
            if has_to_wait or not is_applied:
                one.held.appendleft(rest)
                return False
            if rest.first % RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
        one.position = rest.chunk.next_offset
        if one.aligned:
            self._alignment.done(one.tp, rest.chunk.next_offset, more=bool(one.held))
            if self._ticks:
                await self._ticks.close_days()
        return True

    def _forward(self, one: _Input, rest: Rest, last_ms: int) -> Next | None:
        """Forward or dead-letter records in order, events up to `last_ms`; return the first that needs more, else None.

        It also returns None where other tasks of the loop are to have their turn. Nothing waits in here.
        """
        until = rest.first + RECORDS_AT_ONCE - rest.first % RECORDS_AT_ONCE
        run, after = self._forwarder.run(one.validator, rest, until, last_ms)
        if run.refused and (count := self._refusable(one, rest, run.refused)) < len(run.refused):
            run, after = self._forwarder.run(one.validator, rest, rest.index(run.refused[count].offset), last_ms)
        if run.records and (count := self._admit_new(one, rest, run.records, run.offsets)) < len(run.records):
            run, after = self._forwarder.run(one.validator, rest, rest.index(run.offsets[count]), last_ms)
        if run.until > rest.first:
            first, last = rest.offsets[rest.first], rest.offsets[run.until - 1]
            if run.refused:
                self._forwarder.dead_letter(self._out, one.tp, run.refused, first)
                if one.allowance is not None:
                    one.allowance.refuse(refused.letter for refused in run.refused)
            if run.records:
                if one.aligned:
                    self._alignment.reach_all(one.tp, run.offsets, run.times_ms)
                if one.bank_id is not None:
                    self._note(one, one.bank_id, max(run.times_ms))
                self._forwarder.send(self._out, one.tp, run.records, (first, last))
            one.position, rest.first = last + 1, run.until
        return after

    async def _apply_one(self, one: _Input, rest: Rest, found: Next, limit_ms: int | None) -> bool:
        """Apply the next record, which needs more than forwarding.

        Return False where it has to wait for other feeds.
        """
        i, offset = rest.first, rest.offsets[rest.first]
        outcome: Next | Rejected = found
        if isinstance(found, Control) and found.action == "admit":
            outcome = await self._admit(one.tp, offset, found)
        if isinstance(outcome, Rejected):
            self._forwarder.dead_letter(self._out, one.tp, [self._forwarder.refused(rest.chunk, i, outcome)], offset)
        elif isinstance(outcome, Control):
            await self._write_control(one.tp, offset, outcome)
        else:
            time_ms = outcome.time_ms if isinstance(outcome, Later) else _end_ms(outcome)
            if limit_ms is not None and time_ms > limit_ms:
                one.position = offset
                self._alignment.hold(one.tp, offset, time_ms)
                return False
            if not await self._accept(one, rest, outcome, time_ms):
                return False
        one.position, rest.first = offset + 1, i + 1
        return True

    async def _accept(self, one: _Input, rest: Rest, found: Later | Receipt, time_ms: int) -> bool:
        """Fold a receipt or forward an event. Return False where that is of an enterprise beyond the quota."""
        offset = rest.offset(rest.first)
        new_day = one.aligned and self._reach(one, offset, time_ms)
        if isinstance(found, Receipt):
            day = day_of_text(found.day)
            self._publisher.receipt(one.tp, day)
            if self._ticks:
                await self._ticks.receipt(found.bank_id, day)
            self._forwarder.count(one.tp, "folded")
            return True
        if new_day and self._ticks:
            # closes the days before it, for every enterprise, before its first event is applied
            await self._ticks.close_days()
        if not self._admit_new(one, rest, found.record, [offset]):
            return False
        if one.bank_id is not None:
            self._note(one, one.bank_id, time_ms)
        self._forwarder.send(self._out, one.tp, found.record, (offset, offset))
        return True

    def _admit_new(self, one: _Input, rest: Rest, records: Records, offsets: Sequence[int]) -> int:
        """Publish the enterprises that the next records bring; return the number of records within the quota.

        The day is that of the feed's newest event. Nothing is committed past them before they are acknowledged.
        """
        day = day_of(one.day_end_ms - 1)
        count, new, beyond = self._enterprises.admit(one.bank_id, day, records)
        if new:
            mark = rest.offset(rest.first)
            self._out.send_run(topics.ENTERPRISE, new, lane=one.tp, marks=(mark, mark))
            self._new_enterprises[one.tp] += len(new)
        if beyond is not None and one.bank_id is not None:
            brought = self._enterprises.brought(one.bank_id, beyond)
            raw = rest.chunk.value(rest.index(offsets[count])) or b""
            one.beyond_quota = BeyondQuota(offset=offsets[count], day=beyond, brought=brought, raw=raw)
            one.waits = None  # for what comes after that record
        return count

    def _refusable(self, one: _Input, rest: Rest, refused: Sequence[Refused]) -> int:
        """Return how many of the next dead letters a feed may bring; it is held before the one after them.

        It waits before the first until it is known where feeds are held.
        """
        letters = (each.letter for each in refused)
        count = None if one.allowance is None else one.allowance.refusable(letters, self._clock())
        if count is None:
            return len(refused)
        if not self._quarantine.has_read():
            one.waits, one.waits_since_s = "holds", self._clock()
            return 0
        count = self._quarantine.refusable(one.tp, [each.offset for each in refused[:count]])
        if count < len(refused):
            offset, an_hour = refused[count].offset, self._settings.ingest.feed_refused_per_hour_max
            raw = rest.chunk.value(rest.index(offset)) or b""
            one.beyond_quota = BeyondRefused(offset=offset, an_hour=an_hour, raw=raw)
        return count

    async def _write_control(self, tp: TP, offset: int, control: Control) -> None:
        assert self._ticks is not None  # it comes with control.v1
        await self._ticks.write([LogRecord(event=control, origin=(*tp, offset))])
        self._forwarder.count(tp, "forwarded")

    def _note(self, one: _Input, bank_id: str, time_ms: int) -> None:
        """Note the event time of a bank's event that goes to the log."""
        if time_ms == NO_TIME_MS:
            return
        one.newest_ms = max(time_ms, one.newest_ms or time_ms)
        if self._ticks:
            self._ticks.event(bank_id, time_ms)

    async def _admit(self, tp: TP, offset: int, control: Control) -> Control | Rejected:
        """Append the late record that a control record admits to the log again. Return Rejected where there is none."""
        kafka = self._settings.kafka
        record = await asyncio.to_thread(admitted, kafka.bootstrap, client_settings(kafka), control.artefact_id or "")
        if isinstance(record, Rejected):
            return record
        self._forwarder.append(self._out, tp, offset, record)
        return control

    def _reach(self, one: _Input, offset: int, time_ms: int) -> bool:
        """Advance an input to an event; return whether that is on a new business day."""
        self._alignment.reach(one.tp, offset, time_ms)
        if time_ms < one.day_end_ms:
            return False
        one.day_end_ms = day_start_ms(day_of(time_ms) + 1)
        return True


def _end_ms(receipt: Receipt) -> int:
    """Return the event time of a receipt, in ms: the end of its day."""
    return day_start_ms(day_of_text(receipt.day) + 1)
