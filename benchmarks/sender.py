"""The banks of a live run, in a process of their own: sends at a steady rate, and looks when the engine has answered.

`python -m benchmarks.sender FOLDER`: FOLDER/sender-plan.json says what (`Plan`); FOLDER/sender.ready is there when the
records are made, FOLDER/go opens the gate, FOLDER/sender.json tells what came of it (`Told`).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, Message, Producer, TopicPartition

from benchmarks import parts
from benchmarks.world import feed
from benchmarks.world.feed import Sent
from benchmarks.world.log import HEADERS, World
from domain import topics
from domain.outputs import Alert

_TURN_S = 0.005
_LINGER_MS = 100  # of each bank, as in bulk: of batches of one or two records, the broker would do little else
ANSWER_S_MAX = 120.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. `alerts`: how many enterprises get bad news, evenly over the time.

    `warm_up_s`: as much again is sent before, at the same rate and without bad news, and does not count.
    """

    bootstrap: str
    world: World
    per_s: int
    seconds: float
    warm_up_s: float = 0.0
    alerts: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `latency_ms`: from the broker's time of bad news to the reading of its alert."""

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
        """The latencies, in milliseconds."""
        self._ended.set()
        self.join()
        return [read_ms - self.appended_ms[event_id] for event_id, read_ms in self._read_ms.items()]


def at_end(bootstrap: str, places: list[tuple[str, int]]) -> Consumer:
    """A consumer of what comes from now on; it has its positions when this returns."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "sender", "enable.auto.commit": False})
    ends = [
        TopicPartition(
            topic, partition, consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
        )
        for topic, partition in places
    ]
    consumer.assign(ends)
    return consumer


class Banks:
    """Sends a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        records = int(plan.per_s * (plan.seconds + plan.warm_up_s))
        self._found = feed.transactions(plan.world, records + 1)
        if len(self._found.events) < records:
            raise ValueError(f"the world has {len(self._found.events)} transactions, {records} are to be sent")
        self._producer = Producer(
            {
                "bootstrap.servers": plan.bootstrap, "linger.ms": _LINGER_MS, "acks": "all", "log_level": 2,
                "queue.buffering.max.messages": 1_000_000,
            }
        )  # fmt: skip
        self._steady = self._found.profiles[self._found.profiles["onset_day"] == 2**30]
        self._listener = Listener(plan.bootstrap)

    def run(self) -> Told:
        """All of it, and wait for the answers."""
        plan = self._plan
        self._listener.start()
        records = feed.feed(self._found)
        self._pace(records, int(plan.per_s * plan.warm_up_s), 0)
        wall_s = self._pace(records, int(plan.per_s * plan.seconds), plan.alerts)
        end_lag_s = self._end_lag_s()
        return Told(
            sent=int(plan.per_s * plan.seconds),
            wall_s=wall_s,
            end_lag_s=end_lag_s,
            alerts_asked=plan.alerts,
            latency_ms=self._listener.stop(),
        )

    def _pace(self, records: Iterator[Sent], total: int, alerts: int) -> float:
        """Send so many at the plan's rate; the seconds that it took."""
        bad_every = total // alerts if alerts else total + 1
        sent, began_s = 0, time.perf_counter()
        while sent < total:
            due = min(total, int((time.perf_counter() - began_s) * self._plan.per_s) + 1)
            for record in islice(records, due - sent):
                self._send(record)
                sent += 1
                if sent % bad_every == 0 and sent // bad_every <= alerts:
                    self._send_bad(self._steady[sent // bad_every - 1], sent)
            self._producer.poll(0)
            time.sleep(_TURN_S)
        return time.perf_counter() - began_s

    def _send(self, record: Sent, on_delivery: Callable[[Any, Message], None] | None = None) -> None:
        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, headers=HEADERS, on_delivery=on_delivery)
                return
            except BufferError:  # the broker takes less than the plan's rate, and so will be said
                self._producer.poll(0.1)

    def _send_bad(self, profile: np.void, sent: int) -> None:
        before = int(self._plan.per_s * self._plan.warm_up_s)
        event_ms = int(self._found.events["arrival_ms"][before + sent - 1])
        event_id, record = feed.bad_news(profile, event_ms)
        self._listener.awaited.add(event_id)
        self._send(record, lambda _error, message: self._appended(event_id, message))

    def _appended(self, event_id: str, message: Message) -> None:
        kind, self._listener.appended_ms[event_id] = message.timestamp()
        assert kind == TIMESTAMP_LOG_APPEND_TIME

    def _end_lag_s(self) -> float:
        """Seconds until every partition has scored a transaction that is sent behind all others of its bank."""
        world = self._plan.world
        answers = at_end(self._plan.bootstrap, [(topics.SCORE, p) for p in range(world.partitions)])
        words = feed.first_words(int(self._found.events["arrival_ms"][-1]), world.partitions)
        waited = {record.key for record in words}
        began_s = time.perf_counter()
        for record in words:
            self._send(record)
        while waited and time.perf_counter() - began_s < ANSWER_S_MAX:
            self._producer.poll(0)
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
