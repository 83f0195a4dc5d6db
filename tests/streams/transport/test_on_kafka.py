"""The transport on a real broker: codecs, transactions, large records, back pressure; both parsers deliver the same."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import aiokafka.consumer.fetcher
import pytest
from confluent_kafka import Producer

from streams.transport import Chunk, aiokafka_seam
from streams.worker.role import TP, Role, RoleContext
from tests.streams.recording import quick_options, run_here

PARSERS = ["compiled", "reference"]


class Collecting(Role):
    """Keeps all chunks in memory."""

    name = "collecting"

    def __init__(self, *topics: str, apply_s: float = 0.0) -> None:
        self.topics, self._apply_s = topics, apply_s
        self.chunks: dict[TP, list[Chunk]] = {}
        self.lows: dict[TP, int] = {}
        self.records = 0

    async def start(self, _context: RoleContext) -> None: ...

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        return {}

    async def revoked(self, tps: set[TP]) -> None: ...

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        await asyncio.sleep(self._apply_s)
        self.chunks.setdefault(tp, []).append(chunk)
        self.lows[tp] = chunk.next_offset
        self.records += len(chunk)

    def low_offset(self, tp: TP) -> int | None:
        return self.lows.get(tp)

    async def tick(self) -> None: ...

    async def stop(self) -> None: ...

    def rows(self) -> list[tuple[Any, ...]]:
        return [
            (tp, int(chunk.offset[i]), chunk.key(i), chunk.value(i), chunk.headers(i), int(chunk.timestamp_ms[i]))
            for tp, chunks in sorted(self.chunks.items())
            for chunk in chunks
            for i in range(len(chunk))
        ]


@pytest.fixture
def produce(kafka: str) -> Callable[..., None]:
    def send(topic: str, values: Iterator[bytes | None] | list[bytes | None], **settings: Any) -> None:
        producer = Producer({"bootstrap.servers": kafka, "linger.ms": 5, "message.max.bytes": 8 << 20, **settings})
        for i, value in enumerate(values):
            headers = [("schema", b"1"), ("empty", None)] if i % 3 == 0 else None
            producer.produce(topic, value, b"k%d" % i if i % 2 else None, timestamp=1000 + i, headers=headers)
        assert producer.flush(30) == 0

    return send


def test_all_codecs_come_alike_through_both_parsers(
    kafka: str, make_topic: Callable[..., str], produce: Callable[..., None]
) -> None:
    topic, other = make_topic("codecs", partitions=2), make_topic("codecs")
    expected = 0
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        produce(
            topic,
            [b"%s %d" % (codec.encode(), i) * 20 if i % 7 else None for i in range(200)],
            **{"compression.type": codec},
        )
        produce(other, [codec.encode()] * 10, **{"compression.type": codec})
        expected += 210
    rows = {}
    for parser in PARSERS:
        role = Collecting(topic, other)
        options = quick_options({"parser": parser, "chunk_records_max": 70})
        assert (
            run_here(role, kafka, f"{topic}.{parser}", lambda role=role: role.records >= expected, options=options) == 0
        )
        rows[parser] = role.rows()
        assert max(len(chunk) for chunks in role.chunks.values() for chunk in chunks) <= 70
    assert len(rows["compiled"]) == expected
    assert {row[4] for row in rows["compiled"]} == {(), (("schema", b"1"), ("empty", None))}
    assert rows["compiled"] == rows["reference"]


@pytest.mark.parametrize("parser", PARSERS)
def test_only_committed_transactions_are_delivered(kafka: str, make_topic: Callable[..., str], parser: str) -> None:
    topic = make_topic("transactions")
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topic}.t", "linger.ms": 5})
    plain = Producer({"bootstrap.servers": kafka})
    producer.init_transactions(30)
    for round_number, commit in enumerate([True, False, False, True, False]):
        producer.begin_transaction()
        for i in range(50):
            producer.produce(topic, b"%s %d %d" % (b"yes" if commit else b"no", round_number, i))
        producer.flush(30)
        plain.produce(topic, b"plain %d" % round_number)
        assert plain.flush(30) == 0
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush(30)
    plain.produce(topic, b"behind the open transaction")
    assert plain.flush(30) == 0

    role = Collecting(topic)
    group = f"{topic}.{parser}"
    options = quick_options({"parser": parser})
    assert run_here(role, kafka, group, lambda: role.records >= 105, options=options) == 0
    values = [row[3] for row in role.rows()]
    assert len(values) == 105
    assert not [value for value in values if value.startswith((b"no", b"open", b"behind"))]
    assert sum(value.startswith(b"plain") for value in values) == 5

    producer.commit_transaction(30)
    later = Collecting(topic)
    assert run_here(later, kafka, group, lambda: later.records >= 2, options=options) == 0
    assert [row[3] for row in later.rows()] == [b"open", b"behind the open transaction"]
    # 5 markers of closed transactions, which nobody applies, are committed over
    assert later.rows()[0][1] == 5 * 52


def test_a_record_larger_than_the_fetch_is_delivered(
    kafka: str, make_topic: Callable[..., str], produce: Callable[..., None]
) -> None:
    topic = make_topic("large", **{"max.message.bytes": str(4 << 20)})
    sizes = [10, 3_000_000, 20, 1_000_000, 30]
    produce(topic, [bytes(size) for size in sizes])
    role = Collecting(topic)
    options = quick_options({"fetch_bytes": 1 << 16, "fetch_total_bytes": 1 << 16})
    assert run_here(role, kafka, topic, lambda: role.records >= 5, options=options) == 0
    assert [len(row[3]) for row in role.rows()] == sizes


def test_a_fetched_backlog_is_delivered_in_parts(
    kafka: str, make_topic: Callable[..., str], produce: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = make_topic("parts")
    values = [b"%05d" % i + bytes(1_000) for i in range(4_000)]
    produce(topic, values, **{"batch.size": 60_000})
    monkeypatch.setattr(aiokafka_seam, "PART_BYTES", 1 << 18)
    role = Collecting(topic)
    assert run_here(role, kafka, topic, lambda: role.records >= 4_000) == 0
    assert [row[3] for row in role.rows()] == values
    assert max(len(chunk) for chunk in role.chunks[TP(topic, 0)]) * 1_000 <= 1 << 18


def test_a_slow_role_holds_fetching_back(
    kafka: str, make_topic: Callable[..., str], produce: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = make_topic("slow")
    produce(topic, [b"x" * 1000] * 20_000, **{"batch.size": 60_000})
    role = Collecting(topic, apply_s=0.05)
    made = 0

    from streams.transport import batches, driver

    def counting(*arguments: Any, **more: Any) -> Chunk:
        nonlocal made
        made += 1
        return batches.parse(*arguments, **more)

    monkeypatch.setitem(driver.PARSERS, "compiled", counting)
    most_ahead = 0

    def done() -> bool:
        nonlocal most_ahead
        most_ahead = max(most_ahead, made - len(role.chunks.get(TP(topic, 0), [])))
        return role.records >= 20_000

    options = quick_options({"fetch_bytes": 1 << 18}, buffered_chunks_max=3)
    assert run_here(role, kafka, topic, done, options=options) == 0
    assert made > 30
    # three in the buffer, one being applied, one waiting for room, one on its way there
    assert most_ahead <= 6


class HoldingBack(Collecting):
    """Holds its first partition back from the first chunk on, until the second has `until` records."""

    def __init__(self, topic: str, until: int) -> None:
        super().__init__(topic)
        self._held, self._other, self._until = TP(topic, 0), TP(topic, 1), until

    @property
    def paused(self) -> frozenset[TP]:
        other = sum(map(len, self.chunks.get(self._other, [])))
        return frozenset({self._held} if self._held in self.chunks and other < self._until else ())


def test_a_partition_held_back_holds_up_no_other(kafka: str, make_topic: Callable[..., str]) -> None:
    topic = make_topic("held", partitions=2)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 0})
    role = HoldingBack(topic, until=40)
    sent = 0

    def done() -> bool:
        nonlocal sent
        if sent < 50:  # one after the other: each is a fetch of its own
            for partition in range(2):
                producer.produce(topic, b"%d" % sent, partition=partition)
            producer.flush()
            sent += 1
        return role.records == 100

    assert run_here(role, kafka, topic, done) == 0
    assert [row[3] for row in role.rows()] == [b"%d" % i for _ in range(2) for i in range(50)]


def test_records_do_not_wait_for_quiet_partitions(
    kafka: str, make_topic: Callable[..., str], produce: Callable[..., None]
) -> None:
    topic, quiet = make_topic("busy"), make_topic("quiet")
    produce(topic, [b"x"] * 20, **{"batch.num.messages": 1, "linger.ms": 0})
    role = Collecting(topic, quiet, apply_s=0.3)  # so long that aiokafka would ask for the quiet one alone
    options = quick_options(
        {"fetch_bytes": 1 << 16, "chunk_records_max": 1, "fetch_wait_ms_max": 3_600_000}, request_timeout_s=60.0
    )
    sent = False

    def done() -> bool:
        nonlocal sent
        if not sent and role.records >= 2:
            produce(topic, [b"y"] * 5)
            sent = True
        return role.records == 25

    assert run_here(role, kafka, topic, done, options=options) == 0


def test_fetches_keep_their_gap(
    kafka: str, make_topic: Callable[..., str], produce: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = make_topic("gap")
    send, sent_s = aiokafka.consumer.fetcher.Fetcher._proc_fetch_request, list[float]()

    async def noted(*arguments: Any) -> bool:
        sent_s.append(time.monotonic())
        return bool(await send(*arguments))

    monkeypatch.setattr(aiokafka.consumer.fetcher.Fetcher, "_proc_fetch_request", noted)
    role = Collecting(topic)
    count = 0

    def done() -> bool:
        nonlocal count
        produce(topic, [b"%d" % count])
        count += 1
        return role.records >= 30

    assert run_here(role, kafka, topic, done, options=quick_options({"fetch_gap_ms": (70, 70)})) == 0
    assert len(sent_s) > 3
    assert min(later - earlier for earlier, later in itertools.pairwise(sent_s)) >= 0.07


@pytest.mark.parametrize("parser", PARSERS)
def test_batches_that_unpack_to_much_come_one_after_the_other(
    kafka: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch, parser: str
) -> None:
    """All of one fetch would take 120 MB; no chunk takes more than the bound, nor do concurrent chunks."""
    mib = 1 << 20
    topic = make_topic("unpacked", partitions=3)
    producer = Producer({"bootstrap.servers": kafka, "compression.type": "zstd", "message.max.bytes": 8 * mib})
    for i in range(30):
        producer.produce(topic, b"%d" % i + bytes(4 * mib), partition=i % 3)
        assert producer.flush(30) == 0
    monkeypatch.setattr(aiokafka_seam, "ENOUGH_BYTES", 6 * mib)
    together: list[int] = []
    take_all = aiokafka_seam._take_all

    async def taken(*arguments: Any) -> Any:
        chunks = await take_all(*arguments)
        together.append(sum(chunk.nbytes for chunk in chunks.values()))
        return chunks

    monkeypatch.setattr(aiokafka_seam, "_take_all", taken)
    role = Collecting(topic)
    options = quick_options({"parser": parser, "unpacked_bytes_max": 10 * mib})
    assert run_here(role, kafka, f"{topic}.{parser}", lambda: role.records >= 30, options=options) == 0
    values = {tp.partition: [row[3] for row in role.rows() if row[0] == tp] for tp in role.chunks}
    assert {partition: [int(value[:2].rstrip(b"\0")) for value in found] for partition, found in values.items()} == {
        partition: list(range(partition, 30, 3)) for partition in range(3)
    }
    assert max(chunk.nbytes for chunks in role.chunks.values() for chunk in chunks) <= 10 * mib
    assert max(together) <= 6 * mib + 10 * mib


ASKED: Counter[int] = Counter()  # by chunk


class Counted(Chunk):
    """A chunk that counts how often it is asked for its length."""

    __slots__ = ()

    def __len__(self) -> int:
        ASKED[id(self)] += 1
        return len(self.offset)


def test_the_cost_of_a_fetch_is_linear_in_its_chunks(
    kafka: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch of 64 partitions sums no chunk again for each chunk that follows it."""
    topic = make_topic("wide", partitions=64)
    producer = Producer({"bootstrap.servers": kafka})
    for p in range(64):
        producer.produce(topic, b"v", partition=p)
    assert producer.flush(30) == 0
    together, asked = list[int](), list[int]()
    take_all = aiokafka_seam._take_all

    async def taken(fetcher: Any, partitions: set[Any], take: aiokafka_seam.Take) -> Any:
        def counted(*arguments: Any) -> Counted:
            chunk = take(*arguments)
            assert isinstance(chunk, Chunk)
            return Counted(**{field.name: getattr(chunk, field.name) for field in fields(chunk)})

        ASKED.clear()
        chunks = await take_all(fetcher, partitions, counted)
        together.append(len(chunks))
        asked.extend(ASKED.values())
        return chunks

    monkeypatch.setattr(aiokafka_seam, "_take_all", taken)
    role = Collecting(topic)
    assert run_here(role, kafka, topic, lambda: role.records >= 64) == 0
    assert max(together) >= 16
    assert max(asked) <= 2
