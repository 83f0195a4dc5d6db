"""Faust's aiokafka transport, delivering chunks: one message a fetch, its value the chunks of all its partitions.

It differs from Faust's own driver in this: it reads committed records only; a missing or outdated offset is an error,
never a reset; the app's `listener` says where to start and what may be committed; Faust's arithmetic over single
acknowledged offsets is not used (it sticks at the first gap when only a batch's last offset is acknowledged).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

import aiokafka
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP, ConsumerMessage, Message

from config.limits import UNPACKED_BYTES_MAX
from streams.transport import aiokafka_seam, batches, reference
from streams.transport.aiokafka_seam import Unreadable
from streams.transport.chunk import Chunk
from streams.transport.errors import MissingTopic, UnreadableBatch
from streams.transport.one_member import OneMemberAssignor

PARSERS: Mapping[str, Callable[..., Chunk]] = {"compiled": batches.parse, "reference": reference.parse}
OFFSET_REQUEST_MS = 10_000
COMMIT_S_MAX = 5.0
TOPIC_ATTEMPTS = 10
Portion = list[tuple[TP, Chunk | Unreadable]]
"""The value of a message: what one fetch brought of its partitions, all of the same generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """Options of this transport, beside Faust's own settings.

    Raise ValueError, with the name, where one is out of bounds.
    """

    parser: Literal["compiled", "reference"] = "compiled"
    fetch_bytes: int = 16 << 20
    """A partition's share of a fetch. Must be above the broker's max.message.bytes. The more of a partition's backlog
    comes at once, the more happens to an enterprise while its state is at hand, and the less often it is flushed."""
    fetch_total_bytes: int = 24 << 20
    """All that a fetch may bring. malloc takes no more than 32 MB, with what asyncio adds, from memory that it kept."""
    fetch_wait_ms_max: int = 500
    fetch_gap_ms: tuple[int, int] = (0, 0)
    """From one fetch to the next, where few records come and where very many do. Records wait for it, and the more of
    them come at once, the less each costs."""
    unpacked_bytes_max: int = UNPACKED_BYTES_MAX
    """What a partition's records may take, unpacked and with their places: the parsers' bound on memory."""
    batch_bytes_max: int = UNPACKED_BYTES_MAX
    """What one batch may take in the same way; one that takes more cannot be read."""
    chunk_records_max: int = 65_536
    """A fetch with more records is delivered as several messages."""
    one_member: bool = False
    """One member of the group has all partitions, and the others stand by."""
    client: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of aiokafka.AIOKafkaConsumer: security_protocol, ssl_context, sasl_mechanism, …"""

    def __post_init__(self) -> None:
        if self.parser not in PARSERS:
            raise ValueError(f"parser = {self.parser!r} is none of {', '.join(PARSERS)}")
        if self.fetch_bytes < 1 << 16 or self.fetch_total_bytes < self.fetch_bytes:
            raise ValueError(
                f"fetch_bytes = {self.fetch_bytes} must be at least 65536 "
                f"and at most fetch_total_bytes = {self.fetch_total_bytes}"
            )
        if self.chunk_records_max < 1:
            raise ValueError(f"chunk_records_max = {self.chunk_records_max} must be at least 1")


class Listener(Protocol):
    """The app, as the consumer calls it. All of it is called in the app's event loop."""

    async def assigned(self, tps: set[TP], generation: int) -> None:
        """Take over these partitions, and no others; return once `positions` is known."""

    async def revoked(self, tps: set[TP]) -> None:
        """Finish with these partitions, which are about to be taken away; offsets may still be committed."""

    def positions(self) -> tuple[int, Mapping[TP, int]]:
        """Return the generation last assigned, and the next offset to deliver of each of its partitions."""

    def low_offset(self, tp: TP) -> int | None:
        """Return the offset that may be committed, the lowest one not yet applied; None where nothing may."""

    def failed(self, error: BaseException) -> None:
        """Stop the worker: reading has failed."""


class ConsumerThread(faust_driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in a thread of its own, so that heartbeats go on while the app's loop computes."""

    consumer: Consumer
    _sought = -1
    """The generation whose positions have been sought. Nothing is taken before: Faust may resume the flow too early."""
    _unreadable: frozenset[TP] = frozenset()
    """Partitions whose next batch cannot be read: nothing is taken of them until they are sought."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf, options = self.app.conf, self.consumer.options
        self._assignor = OneMemberAssignor if options.one_member else RoundRobinPartitionAssignor
        aiokafka_seam.use_raw_records()
        return aiokafka.AIOKafkaConsumer(
            **{
                "client_id": conf.broker_client_id,
                "group_id": conf.id,
                "group_instance_id": conf.consumer_group_instance_id,
                "bootstrap_servers": faust_driver.server_list(transport.url, transport.default_port),
                "partition_assignment_strategy": [self._assignor],
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "isolation_level": "read_committed",
                "check_crcs": True,
                "max_partition_fetch_bytes": options.fetch_bytes,
                "fetch_max_bytes": options.fetch_total_bytes,
                "fetch_max_wait_ms": options.fetch_wait_ms_max,
                "request_timeout_ms": int(conf.broker_request_timeout * 1000),
                "session_timeout_ms": int(conf.broker_session_timeout * 1000),
                "rebalance_timeout_ms": int(conf.broker_rebalance_timeout * 1000),
                "heartbeat_interval_ms": int(conf.broker_heartbeat_interval * 1000),
                "max_poll_interval_ms": int(conf.broker_max_poll_interval * 1000),
                "metadata_max_age_ms": conf.consumer_metadata_max_age_ms,
                "connections_max_idle_ms": conf.consumer_connections_max_idle_ms,
                **options.client,
            }
        )

    async def on_start(self) -> None:
        """Start the consumer."""
        await super().on_start()
        gap_ms, gap_ms_max = self.consumer.options.fetch_gap_ms
        self._pace = aiokafka_seam.Pace(gap_ms / 1_000, gap_ms_max / 1_000)
        aiokafka_seam.use_pace(self._ensure_consumer()._fetcher, self._pace)

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, Chunk | Unreadable]:
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            chunks = await aiokafka_seam.fetched_chunks(
                fetcher, active_partitions - self._unreadable, timeout or 0.0, self._may_take, self._parse
            )
        self._unreadable |= {TP(*tp) for tp, chunk in chunks.items() if isinstance(chunk, Unreadable)}
        self._pace.took(sum(map(len, chunks.values())))
        return {TP(*tp): chunk for tp, chunk in chunks.items()}

    async def on_thread_stop(self) -> None:
        """Stop aiokafka's consumer, also where the broker does not answer."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            # aiokafka cancels its own fetches that wait to be tried again, and then trips over them
            task = asyncio.current_task()
            if task is None or task.cancelling() or self._consumer is None:
                raise
            await self._consumer._client.close()

    def _may_take(self) -> bool:
        return bool(self.consumer.flow_active) and self._sought == self.app.consumer_generation_id

    async def seek_once(self, generation: int, positions: Mapping[TP, int]) -> None:
        """Seek to the positions of a new generation.

        Later calls for the same one do nothing, since chunks are under way.
        """
        await self.call_thread(self._seek_once, generation, positions)

    async def _seek_once(self, generation: int, positions: Mapping[TP, int]) -> None:
        if generation == self._sought or not positions:  # none: the worker stops before it could claim
            return
        consumer = self._ensure_consumer()
        for tp, offset in positions.items():
            consumer.seek(TopicPartition(*tp), offset)
        self._sought, self._unreadable = generation, frozenset()

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        """Seek to these positions within the same generation; what was fetched before is dropped."""
        await self.call_thread(self._rewind, positions)

    async def _rewind(self, positions: Mapping[TP, int]) -> None:
        for tp, offset in positions.items():
            with contextlib.suppress(IllegalStateError):  # taken away meanwhile
                self._ensure_consumer().seek(TopicPartition(*tp), offset)
        self._unreadable -= positions.keys()

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for these topics. Raise MissingTopic where the broker shows one of them not."""
        wanted = set(topics)
        for attempt in range(TOPIC_ATTEMPTS):
            missing = wanted - await self.call_thread(self._ensure_consumer().topics)
            if not missing:
                break
            if attempt == TOPIC_ATTEMPTS - 1:
                raise MissingTopic(missing)
            await asyncio.sleep(0.5)  # a topic made a moment ago
        await super().subscribe(wanted)

    def _parse(
        self, tp: TopicPartition, raw: memoryview, position: int, aborted: list[tuple[int, int]]
    ) -> Chunk | Unreadable:
        try:
            return PARSERS[self.consumer.options.parser](
                raw,
                topic=tp.topic,
                partition=tp.partition,
                start_offset=position,
                aborted=aborted,
                generation=self._sought,
                unpacked_bytes_max=self.consumer.options.unpacked_bytes_max,
                batch_bytes_max=self.consumer.options.batch_bytes_max,
            )
        except UnreadableBatch as batch:
            return Unreadable(batch, position, self._sought)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit offsets; return False where it failed and may be tried again.

        The next commit has the same or higher offsets.
        """
        consumer = self._ensure_consumer()
        wanted = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            async with asyncio.timeout(COMMIT_S_MAX):  # aiokafka would look for a coordinator until it is closed
                await consumer.commit(wanted)
        except TimeoutError:
            self.log.warning("offsets not committed in %g s, to be tried again", COMMIT_S_MAX)
            return False
        except (CommitFailedError, IllegalStateError) as error:
            self.log.info("offsets not committed, the group has moved on: %s", type(error).__name__)
            return False
        except KafkaError as error:
            if not error.retriable:
                raise
            self.log.warning("offsets not committed, to be tried again: %r", error)
            return False
        return True

    async def log_bounds(self, tps: set[TP]) -> tuple[Mapping[TP, int], Mapping[TP, int]]:
        """Return each partition's first offset, and its last stable offset."""
        return await self.call_thread(self._log_bounds, tps)

    async def _log_bounds(self, tps: set[TP]) -> tuple[Mapping[TP, int], Mapping[TP, int]]:
        fetcher = self._ensure_consumer()._fetcher
        begin = await fetcher.beginning_offsets([TopicPartition(*tp) for tp in tps], OFFSET_REQUEST_MS)
        return {TP(*tp): offset for tp, offset in begin.items()}, await self._log_ends(tps)

    async def log_ends(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return each partition's last stable offset, as of after this call."""
        return await self.call_thread(self._log_ends, tps)

    async def _log_ends(self, tps: set[TP]) -> Mapping[TP, int]:
        fetcher = self._ensure_consumer()._fetcher
        end = await fetcher.end_offsets([TopicPartition(*tp) for tp in tps], OFFSET_REQUEST_MS)
        return {TP(*tp): offset for tp, offset in end.items()}

    async def committed(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return the group's committed offsets; partitions without one are left out."""
        found = await self.call_thread(aiokafka_seam.committed_offsets, self._ensure_consumer(), tps)
        return {TP(*tp): offset for tp, offset in found.items()}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust would only log here; the worker itself watches progress and exits."""


class Consumer(faust_driver.Consumer):
    """Hands chunks to the app's streams, and asks its listener where to start and what to commit."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options: TransportOptions = getattr(self.app, "transport_options", TransportOptions())
        listener: Listener | None = getattr(self.app, "listener", None)
        if listener is None:
            raise ImproperlyConfigured(
                "the xinliu transport needs an app with a `listener` (streams.transport.driver.Listener)"
            )
        self.listener = listener

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the flow and clear the buffers, let the listener finish, commit the offsets that it has applied."""
        await super().on_partitions_revoked(revoked)
        await self.listener.revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let the listener take over and load before the flow resumes."""
        await self.listener.assigned(assigned, generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek to the listener's positions. Faust calls it before the flow resumes."""
        await self._thread.seek_once(*self.listener.positions())

    async def _drain_messages(self, fetcher: Any) -> None:
        """Deliver what is fetched until stopped; a full stream buffer holds the fetching back."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self.sleep(0)
                chunks, _ = await self._wait_next_records(1.0)
                found = cast(Mapping[TP, Chunk | Unreadable], chunks or {})
                for portion in _portions(found, self.options.chunk_records_max):
                    if not self.flow_active:
                        break  # a rebalance: the listener's positions are sought again after it
                    await self._deliver(portion)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
        except Exception as error:
            self.listener.failed(error)
            raise

    async def _deliver(self, portion: Portion) -> None:
        """Put a portion into the stream as one message.

        Each message costs Faust what applying a hundred records does.
        """
        tp, chunk = portion[0]
        # Faust drops, without a word, messages that are not of the current generation.
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            chunk.next_offset - 1,
            int(chunk.timestamp_ms[-1]) / 1000.0 if isinstance(chunk, Chunk) and len(chunk) else 0.0,
            0,
            [],
            b"",
            portion,
            None,
            0,
            0,
            tp,
            generation_id=chunk.generation,
        )
        await self.wait_first(self.callback(message), self.suspend_flow.wait())

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: a full stream buffer holds fetching back by itself, without Faust's pause of a second."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing, as `on_buffer_full`."""

    def ack(self, message: Message) -> bool:
        """Decide nothing: the offset that may be committed is the listener's lowest unapplied one."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _new_offset(self, tp: TP) -> int | None:
        return self.listener.low_offset(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        return [tp for tp in self.assignment() if topics is None or tp in topics or tp.topic in topics]

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit offsets. Faust counts them as committed also where that failed; here they are tried again."""
        assignment = self.assignment()
        wanted = {tp: offset for tp, offset in offsets.items() if tp in assignment}
        done = bool(wanted) and await self._commit(wanted)
        if done:
            self._committed_offset.update(wanted)
        return done

    async def committed(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return the group's committed offsets; partitions without one are left out."""
        return await self._thread.committed(tps)

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        """Seek to these positions within the same generation; chunks that are under way still come."""
        await self._thread.rewind(positions)

    async def log_bounds(self, tps: set[TP]) -> tuple[Mapping[TP, int], Mapping[TP, int]]:
        """Return each partition's first offset, and its last stable offset."""
        return await self._thread.log_bounds(tps)

    async def log_ends(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return each partition's last stable offset, as of after this call."""
        return await self._thread.log_ends(tps)

    @property
    def thread_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the thread that talks with Kafka."""
        return self._thread.thread_loop

    def log_end(self, tp: TP) -> int | None:
        """Return the last stable offset of a partition as its last fetch reported it; None before the first fetch."""
        found = self._thread._consumer
        return None if found is None else aiokafka_seam.log_end(found, tp)


def _portions(chunks: Mapping[TP, Chunk | Unreadable], records_max: int) -> Iterator[Portion]:
    """Yield the chunks in their order, in groups of at most `records_max` records."""
    portion: Portion = []
    records = 0
    for tp, chunk in chunks.items():
        for piece in chunk.pieces(records_max):
            if portion and records + len(piece) > records_max:
                yield portion
                portion, records = [], 0
            portion.append((tp, piece))
            records += len(piece)
    if portion:
        yield portion


class Transport(faust_driver.Transport):
    """`broker="xinliu://host:port"` in a Faust app that has a `listener`."""

    Consumer = Consumer
