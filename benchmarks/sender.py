"""The banks of a live run, in a process of their own: they send at a steady rate, and measure the alerts' latency.

`python -m benchmarks.sender FOLDER` reads the workload (`Plan`) from FOLDER/sender-plan.json, writes
FOLDER/sender.ready when the records are made, waits for FOLDER/go, and writes the result (`SenderResult`) to
FOLDER/sender.json.

Every bank has a connection of its own and a linger like 24 producers would. Batches follow from the plan alone, so they
are made before the gate opens: the banks share two cores with the measured engine.
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

LINGER_S = 0.1  # of each bank, as for bulk producers: batches of one or two records would saturate the broker
_BATCH_BYTES_MAX = 1_000_000
_ALL_REPLICAS, _ACKNOWLEDGED_MS_MAX = -1, 30_000
ANSWER_S_MAX = 120.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The workload. `alerts`: the number of enterprises with an alert, evenly over the time.

    `warm_up_s`: the same rate before the measured time, without alerts; it does not count.
    """

    bootstrap: str
    world: World
    per_s: int
    seconds: float
    warm_up_s: float = 0.0
    alerts: int = 0


class SenderResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `latency_ms`: from the broker's append time of bad news to the reading of its alert."""

    sent: int
    wall_s: float
    end_lag_s: float
    alerts_asked: int
    latency_ms: list[float]


class AlertReader(threading.Thread):
    """Records the time at which an alert of each awaited event is first read."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="alerts", daemon=True)
        self.awaited: set[str] = set()
        self.appended_ms: dict[str, int] = {}  # by the broker's clock, which is this host's
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
        """Stop reading; return the latencies in milliseconds."""
        self._ended.set()
        self.join()
        return [read_ms - self.appended_ms[event_id] for event_id, read_ms in self._read_ms.items()]


def at_end(bootstrap: str, places: list[tuple[str, int]]) -> Consumer:
    """Return a consumer that starts at the current ends of these partitions."""
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
    """Consecutive records of a bank, sent `due_s` after the beginning. bad_news: event ids among them."""

    due_s: float
    builder: DefaultRecordBatchBuilder = field(default_factory=_builder)
    records: int = 0
    bad_news: list[str] = field(default_factory=list)


Batches = dict[str, list[Batch]]  # by topic


def batches_of(records: Iterable[tuple[float, Sent, list[str]]]) -> Batches:
    """Return each bank's batches of (time, record, event ids of bad news): a batch lingers from its first record on."""
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
    """Sends the records of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        records = int(plan.per_s * (plan.seconds + plan.warm_up_s))
        self._found = feed.transactions(plan.world, records + 1)
        if len(self._found.events) < records:
            raise ValueError(f"the world has {len(self._found.events)} transactions, {records} are to be sent")
        self._alerts = AlertReader(plan.bootstrap)
        self._batches = batches_of(self._records(records))

    def run(self) -> SenderResult:
        """Send all records and wait for the answers; return the result."""
        plan = self._plan
        self._alerts.start()
        wall_s = asyncio.run(self._send(self._batches)) - plan.warm_up_s
        end_lag_s = self._end_lag_s()
        return SenderResult(
            sent=int(plan.per_s * plan.seconds),
            wall_s=wall_s,
            end_lag_s=end_lag_s,
            alerts_asked=plan.alerts,
            latency_ms=self._alerts.stop(),
        )

    def _records(self, total: int) -> Iterator[tuple[float, Sent, list[str]]]:
        """Yield (time, record, event ids) at the plan's rate, with bad news at even distances after the warm-up."""
        plan, profiles = self._plan, self._found.profiles
        steady = profiles[(profiles["onset_day"] == 2**30) & (profiles["borrows"] > 0)]
        before = int(plan.per_s * plan.warm_up_s)
        bad_every = (total - before) // plan.alerts if plan.alerts else total + 1
        for i, record in enumerate(islice(feed.feed(self._found), total)):
            yield i / plan.per_s, record, []
            number, rest = divmod(i + 1 - before, bad_every)
            if rest == 0 and 0 < number <= plan.alerts:
                event_id, record = feed.bad_news(steady[number - 1], int(self._found.events["arrival_ms"][i]))
                self._alerts.awaited.add(event_id)
                yield i / plan.per_s, record, [event_id]

    async def _send(self, batches: Batches) -> float:
        """Send each batch when it is due and the last one is acknowledged; return the seconds without the linger."""
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
            self._alerts.appended_ms.update(dict.fromkeys(batch.bad_news, appended_ms))
        connection.close()

    def _end_lag_s(self) -> float:
        """Return the seconds until every partition has scored a transaction sent behind all others."""
        world = self._plan.world
        answers = at_end(self._plan.bootstrap, [(topics.SCORE, p) for p in range(world.partitions)])
        probes = feed.probe_records(int(self._found.events["arrival_ms"][-1]), world.partitions)
        waited = {record.key for record in probes}
        began_s = time.perf_counter()
        asyncio.run(self._send(batches_of((0.0, record, []) for record in probes)))
        while waited and time.perf_counter() - began_s < ANSWER_S_MAX:
            for message in answers.consume(1_000, 0.01):
                waited.discard(message.key())
        answers.close()
        return time.perf_counter() - began_s if not waited else float("inf")


def main(folder: Path) -> None:
    """Make the records, wait at the gate, and send."""
    parts.pin()
    banks = Banks(msgspec.json.decode((folder / "sender-plan.json").read_bytes(), type=Plan))
    (folder / "sender.ready").write_text("0")
    while not (folder / "go").exists():
        time.sleep(0.01)
    (folder / "sender.json").write_bytes(msgspec.json.encode(banks.run()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
