"""The banks of a live run, in a process of their own: sends at a steady rate, and looks when the engine has answered.

`python -m benchmarks.sender FOLDER`: FOLDER/sender-plan.json says what (`Plan`); FOLDER/sender.ready is there when the
records are made, FOLDER/go opens the gate, FOLDER/sender.json tells what came of it (`Told`).

Every bank is a connection of its own and waits for more records before it sends a batch, as 24 producers would. Which
records are in a batch follows from the plan, so batches are made before the gate opens: the banks share two cores with
what is measured.
"""

import asyncio
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
from aiokafka.conn import create_conn
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from confluent_kafka import Consumer, TopicPartition

from benchmarks import parts
from benchmarks.world import feed
from benchmarks.world.feed import Sent
from benchmarks.world.log import World
from domain import topics
from domain.outputs import Alert

LINGER_S = 0.1  # of each bank, as in bulk: of batches of one or two records, the broker would do little else
_BATCH_BYTES_MAX = 1_000_000
_ALL_REPLICAS, _ACKNOWLEDGED_MS_MAX = -1, 30_000
ANSWER_S_MAX = 120.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The workload. `alerts`: how many enterprises get bad news, evenly over the time.

    `warm_up_s`: as much again is sent before, at the same rate and without bad news, and does not count.
    """

    bootstrap: str
    world: World
    per_s: int
    seconds: float
    warm_up_s: float = 0.0
    alerts: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. `latency_ms`: from the broker's time of bad news to the reading of its alert."""

    sent: int
    wall_s: float
    end_lag_s: float
    alerts_asked: int
    latency_ms: list[float]


class Listener(threading.Thread):
    """Notes when an alert of each awaited event is first read."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="alerts", daemon=True)
        self.awaited: set[str] = set()
        self.appended_ms: dict[str, int] = {}  # by the broker's clock, which is ours
        self._read_ms: dict[str, float] = {}
        self._consumer = at_end(bootstrap, [(topics.ALERT_SUPERVISOR, 0)])
        self._ended = threading.Event()

    def run(self) -> None:
        decoder = msgspec.json.Decoder(Alert)
        while not self._ended.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error():
                continue
            now_ms = time.time() * 1_000
            for event_id in decoder.decode(message.value()).event_ids:
                if event_id in self.awaited:
                    self._read_ms.setdefault(event_id, now_ms)
        self._consumer.close()

    def stop(self) -> list[float]:
        """Return the latencies, in milliseconds."""
        self._ended.set()
        self.join()
        return [read_ms - self.appended_ms[event_id] for event_id, read_ms in self._read_ms.items()]


def at_end(bootstrap: str, places: list[tuple[str, int]]) -> Consumer:
    """Return a consumer of what comes from now on; it has its positions when this returns."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "sender", "enable.auto.commit": False})
    ends = [
        TopicPartition(
            topic, partition, consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
        )
        for topic, partition in places
    ]
    consumer.assign(ends)
    return consumer


def _builder() -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0,
        batch_size=_BATCH_BYTES_MAX,
    )  # fmt: skip


@dataclass(slots=True)
class Batch:
    """Consecutive records of a bank, which are sent `due_s` after the beginning. bad_news: event ids among them."""

    due_s: float
    builder: DefaultRecordBatchBuilder = field(default_factory=_builder)
    records: int = 0
    bad_news: list[str] = field(default_factory=list)


Batches = dict[str, list[Batch]]  # by topic


def batches_of(records: Iterable[tuple[float, Sent, list[str]]]) -> Batches:
    """Return each bank's batches of (made at, record, event id of bad news): a batch waits from its first one on."""
    found: Batches = defaultdict(list)
    for at_s, record, bad_news in records:
        of_bank = found[record.topic]
        if not of_bank or of_bank[-1].due_s <= at_s:
            of_bank.append(Batch(at_s + LINGER_S))
        batch = of_bank[-1]
        if batch.builder.append(batch.records, None, record.key, record.value, list(record.headers)) is None:
            raise ValueError(f"more than {_BATCH_BYTES_MAX} bytes for {record.topic} in {LINGER_S} s")
        batch.records += 1
        batch.bad_news += bad_news
    return found


class Banks:
    """Sends a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        records = int(plan.per_s * (plan.seconds + plan.warm_up_s))
        self._found = feed.transactions(plan.world, records + 1)
        if len(self._found.events) < records:
            raise ValueError(f"the world has {len(self._found.events)} transactions, {records} are to be sent")
        self._listener = Listener(plan.bootstrap)
        self._batches = batches_of(self._records(records))

    def run(self) -> Told:
        """Return all of it, and wait for the answers."""
        plan = self._plan
        self._listener.start()
        wall_s = asyncio.run(self._send(self._batches)) - plan.warm_up_s
        end_lag_s = self._end_lag_s()
        return Told(
            sent=int(plan.per_s * plan.seconds),
            wall_s=wall_s,
            end_lag_s=end_lag_s,
            alerts_asked=plan.alerts,
            latency_ms=self._listener.stop(),
        )

    def _records(self, total: int) -> Iterator[tuple[float, Sent, list[str]]]:
        """As `batches_of` wants them: so many at the plan's rate, and bad news behind some of those that count."""
        plan, profiles = self._plan, self._found.profiles
        steady = profiles[(profiles["onset_day"] == 2**30) & (profiles["borrows"] > 0)]
        before = int(plan.per_s * plan.warm_up_s)
        bad_every = (total - before) // plan.alerts if plan.alerts else total + 1
        for i, record in enumerate(islice(feed.feed(self._found), total)):
            yield i / plan.per_s, record, []
            told, rest = divmod(i + 1 - before, bad_every)
            if rest == 0 and 0 < told <= plan.alerts:
                event_id, record = feed.bad_news(steady[told - 1], int(self._found.events["arrival_ms"][i]))
                self._listener.awaited.add(event_id)
                yield i / plan.per_s, record, [event_id]

    async def _send(self, batches: Batches) -> float:
        """Each when it is due, or as soon as the broker has taken the bank's last; the seconds without the linger."""
        began_s = time.perf_counter()
        async with asyncio.TaskGroup() as banks:
            for topic, of_bank in batches.items():
                banks.create_task(self._send_of(topic, of_bank, began_s))
        return time.perf_counter() - began_s - LINGER_S

    async def _send_of(self, topic: str, of_bank: list[Batch], began_s: float) -> None:
        host, port = self._plan.bootstrap.split(":")
        connection = await create_conn(host, int(port), client_id=topic)
        for batch in of_bank:
            await asyncio.sleep(began_s + batch.due_s - time.perf_counter())
            places = [(topic, [(0, batch.builder.build())])]
            response = await connection.send(ProduceRequest(None, _ALL_REPLICAS, _ACKNOWLEDGED_MS_MAX, places))
            ((_, ((_, error, _, appended_ms, *_),)),) = response.topics
            if error:
                raise for_code(error)(topic)
            assert appended_ms > 0  # the broker's time: the topic's records have no other
            self._listener.appended_ms.update(dict.fromkeys(batch.bad_news, appended_ms))
        connection.close()

    def _end_lag_s(self) -> float:
        """Seconds until every partition has scored a transaction that is sent behind all others of its bank."""
        world = self._plan.world
        answers = at_end(self._plan.bootstrap, [(topics.SCORE, p) for p in range(world.partitions)])
        words = feed.first_words(int(self._found.events["arrival_ms"][-1]), world.partitions)
        waited = {record.key for record in words}
        began_s = time.perf_counter()
        asyncio.run(self._send(batches_of((0.0, record, []) for record in words)))
        while waited and time.perf_counter() - began_s < ANSWER_S_MAX:
            for message in answers.consume(1_000, 0.01):
                waited.discard(message.key())
        answers.close()
        return time.perf_counter() - began_s if not waited else float("inf")


def main(folder: Path) -> None:
    """Make the records, wait at the gate, send."""
    parts.pin()
    banks = Banks(msgspec.json.decode((folder / "sender-plan.json").read_bytes(), type=Plan))
    (folder / "sender.ready").write_text("0")
    while not (folder / "go").exists():
        time.sleep(0.01)
    (folder / "sender.json").write_bytes(msgspec.json.encode(banks.run()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
