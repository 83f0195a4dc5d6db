"""A checkpoint in a topic: named segments, and a head that lists those that belong together. One process may write it.

A checkpoint is one transaction: the segments that are new, then the head, which names every segment with its offset,
size and hash. So it costs in proportion to what is new, and is there whole or not at all. The transactional id names
the role, not the worker: to claim it fences whoever wrote before, also a worker that was paused and comes back. The
topic is compacted: a segment that is replaced or dropped goes in time.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sinks.log_reader import ReadTimeout, assigned_consumer, read
from sinks.retriable import RETRY_S, bounds

FORMAT = "xinliu.checkpoint/1"
RECORD_BYTES_MAX = 8_388_608  # of the topic (config/topics.toml)
TRANSACTION_S_MAX = 60.0
ANSWER_S = 30.0
_HEAD = b"head"
_PARTITION = 0
_LOOK_BACK = 8  # records, for the newest head: it is the last one, unless transactions after it were aborted
_GAP_MAX = 500  # records that are read and dropped rather than sought over
_DIGEST_BYTES = 16
_FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


class CheckpointFenced(Exception):
    """Another worker has claimed the checkpoint since."""


class CheckpointUnavailable(Exception):
    """Kafka refuses or does not answer. Whether the last commit was applied is known only after a new claim."""


class CheckpointDamaged(Exception):
    """Bytes of the checkpoint are not those that were written; the message names the record."""


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A segment of a checkpoint: the offset of its record, its size in bytes, and its hash."""

    offset: int
    size: int
    digest: str


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint without the bytes of its segments. number: 1 for the first one, and one more each time."""

    format: str = FORMAT
    number: int
    holder: str
    written_at_ms: int
    segments: dict[str, Segment]
    state: msgspec.Raw


def digest(body: bytes | memoryview) -> str:
    """Return the hash of a segment, as hex digits."""
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()


class CheckpointTopic:
    """The checkpoint of a role: read by anybody, written by who has claimed it."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        writer: str = "",
        holder: str = "",
        client: Mapping[str, Any] | None = None,
        step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Prepare.

        `writer`: the transactional id; `holder`: who this is, for people; `client`: settings of librdkafka; `step` is
        called with the name of each step before it, for tests that interrupt it.
        """
        self._bootstrap, self._topic, self._writer, self._holder = bootstrap, topic, writer, holder
        self._client = dict(client or {})
        self._step = step
        self._producer: Producer | None = None
        self.head: Head | None = None
        """The last one that was read or written here."""

    def claim(self) -> Head | None:
        """Fence the previous writer, and return the newest head; None where there is none.

        It may be called again. Raise CheckpointUnavailable and CheckpointDamaged.
        """
        self._producer = None
        with self._told():
            producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "transactional.id": self._writer,
                    "transaction.timeout.ms": int(TRANSACTION_S_MAX * 1_000),
                    "message.max.bytes": RECORD_BYTES_MAX,
                    "linger.ms": 0,
                    "log_level": 2,
                    **self._client,
                }
            )
            producer.init_transactions(ANSWER_S)
        self._producer = producer
        return self.read_head()

    def read_head(self) -> Head | None:
        """Return the newest head, None where there is none. Raise CheckpointUnavailable and CheckpointDamaged."""
        with self._told(), closing(assigned_consumer(self._bootstrap, self._client)) as consumer:
            low, end = bounds(consumer, self._topic, _PARTITION, ANSWER_S)
            back = _LOOK_BACK
            while low < end:
                begin = max(low, end - back)
                records = read(consumer, {(self._topic, _PARTITION): (begin, end)}, timeout_s=2 * ANSWER_S)
                heads = [record for record in records if record.key() == _HEAD]
                if heads:
                    self.head = self._decoded(heads[-1])
                    return self.head
                if begin == low:
                    break
                back *= _LOOK_BACK
        self.head = None
        return None

    def verify(self) -> None:
        """Raise CheckpointFenced where the newest head is not the one that was last read or written here.

        Raise CheckpointUnavailable where that one cannot be read within ANSWER_S. After either, only a new claim helps.
        """
        producer, mine, give_up_s = self._producer, self.head, time.monotonic() + ANSWER_S
        self._producer = None  # until the outcome is known
        newest = self.read_head()
        while mine is not None and (newest is None or newest.number < mine.number):  # Kafka is still ending its commit
            if time.monotonic() > give_up_s:
                raise CheckpointUnavailable(f"{self._topic}: checkpoint {mine.number} cannot be read {ANSWER_S:g} s on")
            time.sleep(RETRY_S)
            newest = self.read_head()
        if newest is None or mine is None or (newest.number, newest.holder) != (mine.number, mine.holder):
            raise CheckpointFenced(f"{self._topic}: another worker has written a checkpoint since")
        self._producer = producer

    def read(self, head: Head) -> Iterator[tuple[str, bytes]]:
        """Yield (name, bytes) of each segment of a head, in the order of their offsets.

        Raise CheckpointUnavailable, and CheckpointDamaged where one is missing or not what was written.
        """
        wanted = {segment.offset: (name, segment) for name, segment in head.segments.items()}
        with self._told(), closing(assigned_consumer(self._bootstrap, self._client)) as consumer:
            for begin, last in _spans(sorted(wanted)):
                for record in read(consumer, {(self._topic, _PARTITION): (begin, last + 1)}):
                    if (found := wanted.pop(record.offset(), None)) is not None:
                        yield found[0], self._verified(record, *found)
        for name, segment in wanted.values():
            raise CheckpointDamaged(f"{self._place(segment.offset)}: segment {name} of the checkpoint is gone")

    def commit(self, puts: Mapping[str, bytes], drops: frozenset[str], state: bytes) -> Head:
        """Write segments and drop others, with a state (JSON); return the head, once all of that is committed.

        Raise CheckpointFenced where another worker has claimed it since, and CheckpointUnavailable. After either, only
        a new claim helps.
        """
        producer, before = self._producer, self.head
        if producer is None:
            raise CheckpointFenced(f"{self._topic} is not claimed")
        self._producer = None  # until the outcome is known
        with self._told():
            self._step("segments")
            producer.begin_transaction()
            segments = {} if before is None else {n: s for n, s in before.segments.items() if n not in drops}
            segments |= self._sent(producer, puts)
            for name in drops:
                producer.produce(self._topic, None, name.encode(), partition=_PARTITION)
            head = Head(
                number=1 if before is None else before.number + 1,
                holder=self._holder,
                written_at_ms=time.time_ns() // 1_000_000,
                segments=segments,
                state=msgspec.Raw(state),
            )
            body = msgspec.json.encode(head)
            producer.produce(self._topic, digest(body).encode() + body, _HEAD, partition=_PARTITION)
            _flush(producer)
            self._step("commit")
            _commit(producer)
        self._producer, self.head = producer, head
        self._step("committed")
        return head

    def _sent(self, producer: Producer, puts: Mapping[str, bytes]) -> dict[str, Segment]:
        offsets: dict[str, int] = {}

        def delivered(name: str, error: KafkaError | None, message: Message) -> None:
            if error is None:
                offsets[name] = message.offset()

        for name, body in puts.items():
            producer.produce(
                self._topic, body, name.encode(), partition=_PARTITION,
                on_delivery=lambda error, message, name=name: delivered(name, error, message),
            )  # fmt: skip
            producer.poll(0)
        _flush(producer)
        if missing := puts.keys() - offsets.keys():
            raise CheckpointUnavailable(f"{self._topic}: segments were not acknowledged: {', '.join(sorted(missing))}")
        return {name: Segment(offsets[name], len(body), digest(body)) for name, body in puts.items()}

    def _decoded(self, record: Message) -> Head:
        value: bytes = record.value() or b""
        cut = 2 * _DIGEST_BYTES
        if digest(value[cut:]).encode() != value[:cut]:
            raise CheckpointDamaged(f"{self._place(record.offset())}: the checkpoint's head does not hash to its hash")
        head = msgspec.json.decode(value[cut:], type=Head)
        if head.format != FORMAT:
            raise CheckpointDamaged(f"{self._place(record.offset())}: format {head.format}, this engine reads {FORMAT}")
        return head

    def _verified(self, record: Message, name: str, segment: Segment) -> bytes:
        body: bytes = record.value() or b""
        if len(body) != segment.size or digest(body) != segment.digest:
            raise CheckpointDamaged(
                f"{self._place(segment.offset)}: segment {name} of the checkpoint has {len(body)} bytes that hash to "
                f"{digest(body)}, written were {segment.size} bytes of {segment.digest}"
            )
        return body

    def _place(self, offset: int) -> str:
        return f"{self._topic}[{_PARTITION}]@{offset}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            why = error.args[0]
            if why.code() in _FENCED or why.fatal():
                raise CheckpointFenced(
                    f"{self._topic}: another worker writes the checkpoint now: {why.str()}"
                ) from error
            raise CheckpointUnavailable(f"{self._topic}: {why.str()}") from error
        except ReadTimeout as error:
            raise CheckpointUnavailable(str(error)) from error


def _flush(producer: Producer) -> None:
    left = producer.flush(TRANSACTION_S_MAX)
    if left:
        raise CheckpointUnavailable(f"{left} records of a checkpoint were not acknowledged in {TRANSACTION_S_MAX:g} s")


def _commit(producer: Producer) -> None:
    give_up_s = time.monotonic() + TRANSACTION_S_MAX
    while True:
        try:
            producer.commit_transaction(TRANSACTION_S_MAX)
            return
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > give_up_s:
                raise


def _spans(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of runs of offsets with small gaps."""
    if not offsets:
        return
    first = last = offsets[0]
    for offset in offsets[1:]:
        if offset - last > _GAP_MAX:
            yield first, last
            first = offset
        last = offset
    yield first, last
