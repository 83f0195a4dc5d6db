"""Drains a world's log through score workers, from the opening of their gate to the last committed offset."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks import configuration, stages
from benchmarks.results import ROOT
from benchmarks.world import warm
from benchmarks.world.log import HEADERS, PartitionLog, World
from benchmarks.world.population import enterprise_id
from config.settings import KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from embedded import Child, Kafka, RedisServer, eventually
from replay.offsets import Offsets, Place
from sinks.batch import Headers
from sinks.redis_store import connect

SESSION_TIMEOUT_S = 30.0
FLUSH_MS = 5_000
READY_S_MAX, DRAIN_S_MAX = 300.0, 900.0
_LOOK_S = 0.1


@dataclass(slots=True)
class Log:
    """The contents of a topic: end offsets by partition, transactions among the records, bytes of all values."""

    ends: list[int] = field(default_factory=list)
    transactions: int = 0
    value_bytes: int = 0
    value_bytes_least: int = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One drain: its duration, CPU time, outputs and memory."""

    wall_s: float
    shares: list[int]  # partitions of each worker
    cpu_s: dict[str, dict[str, float]]  # by process and thread
    outputs: dict[str, int]  # records by topic
    stages: list[dict[str, Any]]  # of each worker, where they were asked for
    rss_peak_bytes: dict[str, int]  # of each worker
    redis_keys: int
    redis_bytes: int
    redis_received_bytes: int


def settings_of(bootstrap: str, redis_url: str, partitions: int, group_prefix: str) -> Settings:
    """Return the settings of the measured workers."""
    return Settings(
        kafka=KafkaSettings(
            bootstrap=bootstrap, log_partitions=partitions, session_timeout_s=SESSION_TIMEOUT_S,
            group_prefix=group_prefix,
        ),
        redis=RedisSettings(url=redis_url, timeout_s=30.0),
        score=ScoreSettings(flush_interval_ms=FLUSH_MS),
        banks=configuration.banks(),
    )  # fmt: skip


def make_topic(bootstrap: str, name: str, partitions: int, **settings: str) -> None:
    """Create a topic that the engine does not know, for a yardstick."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # held: its futures end with it
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
        future.result()


class BulkProducer:
    """Writes records in bulk."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap, "linger.ms": 20, "enable.idempotence": True, "log_level": 2,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 200_000, "message.max.bytes": 1_000_000,
            }
        )  # fmt: skip

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers = HEADERS,
    ) -> None:
        """Queue one record."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition=partition, headers=list(headers))
                break
            except BufferError:
                self._producer.poll(0.1)

    def flush(self) -> None:
        """Wait until all records are written. Raise RuntimeError after 120 s."""
        if self._producer.flush(120):
            raise RuntimeError("the log could not be written")


def write_timed_log(world: World, bootstrap: str, opening: Sequence[bytes] = (), *, ticks: bool = True) -> Log:
    """Write the timed part to `events.v1`, behind the record that the warm state already holds, and `opening`."""
    writer, log = BulkProducer(bootstrap), Log()
    for partition in range(world.partitions):
        first = [warm.opening_record(world), *opening]
        for value in first:
            writer.write(topics.EVENTS, value, partition=partition)
        end = len(first)
        for block in PartitionLog(world, partition).blocks(timed=True):
            is_transaction = not isinstance(block.values, list)
            for i, owner in enumerate(block.owners.tolist()):
                if owner < 0 and not ticks:
                    continue
                value = block.value(i)
                writer.write(topics.EVENTS, value, enterprise_id(owner).encode() if owner >= 0 else None, partition)
                end += 1
                if is_transaction:
                    log.transactions += 1
                    log.value_bytes += len(value)
                    log.value_bytes_least = min(log.value_bytes_least, len(value))
        log.ends.append(end)
    writer.flush()
    return log


def append(bootstrap: str, log: Log, value: bytes) -> None:
    """Append one record to each partition."""
    writer = BulkProducer(bootstrap)
    for partition in range(len(log.ends)):
        writer.write(topics.EVENTS, value, partition=partition)
        log.ends[partition] += 1
    writer.flush()


def drain(
    settings: Settings, redis: RedisServer, kafka: Kafka, log: Log, folder: Path, *flags: str, workers: int = 2
) -> Drained:
    """Drain `events.v1` to its ends. Redis holds the warm state; `folder` is new, for the workers' files."""
    folder.mkdir(parents=True)
    configuration.write(settings, folder / "worker.toml")
    offsets = Offsets(settings.kafka)
    ends = {(topics.EVENTS, partition): end for partition, end in enumerate(log.ends)}
    children = [worker("score", folder, f"worker{i}", *flags) for i in range(workers)]
    try:
        for child in children:
            child.launch()
        shares = wait_ready(children, folder)
        if sum(shares) != len(log.ends):
            raise RuntimeError(f"the workers hold {shares} of {len(log.ends)} partitions: one of them came too late")
        processes = {"kafka": kafka.child, "redis": redis.child} | {child.name: child for child in children}
        cpu_before, outputs_before = _cpu_s(processes), output_counts(settings, offsets)
        received_before = _received_bytes(settings)
        (folder / "go").touch()
        began_s = time.perf_counter()
        wait_committed(offsets, "score", ends, children)
        wall_s = time.perf_counter() - began_s
        cpu_after = _cpu_s(processes)
        peaks = {child.name: rss_peak_bytes(child.pid) for child in children}
        received_bytes = _received_bytes(settings) - received_before
    finally:
        for child in children:
            child.stop()
    outputs = output_counts(settings, offsets)
    with redis_client(settings) as client:
        keys, held = client.dbsize(), client.info("memory")["used_memory"]
    return Drained(
        wall_s=wall_s,
        shares=shares,
        cpu_s={
            name: {thread: round(s - cpu_before[name].get(thread, 0.0), 2) for thread, s in threads.items()}
            for name, threads in cpu_after.items()
        },
        outputs={topic: count - outputs_before[topic] for topic, count in outputs.items()},
        stages=[stages.read(folder / f"{child.name}.stages") for child in children if "--stages" in flags],
        rss_peak_bytes=peaks,
        redis_keys=keys,
        redis_bytes=held,
        redis_received_bytes=received_bytes,
    )


def redis_client(settings: Settings) -> Any:
    """Return a client of the settings' Redis."""
    return connect(settings.redis.url, settings.redis.timeout_s)


def output_counts(settings: Settings, offsets: Offsets) -> dict[str, int]:
    """Return the records by output topic; the banks' alert topics count as one."""
    shared = (
        topics.SCORE, topics.INDICATOR, topics.ALERT_SUPERVISOR, topics.OBSERVATION, topics.LATE, topics.DEAD_LETTERS,
    )  # fmt: skip
    alerts = [topics.bank_alerts(bank.bank_id) for bank in settings.banks]
    ends = offsets.ends(offsets.partitions((*shared, *alerts)))
    counts = {topic: sum(end for (name, _), end in ends.items() if name == topic) for topic in shared}
    return counts | {"alert.<bank_id>.v1": sum(end for (name, _), end in ends.items() if name in alerts)}


def _received_bytes(settings: Settings) -> int:
    with redis_client(settings) as client:
        return int(client.info("stats")["total_net_input_bytes"])


def rss_peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmHWM:"))


def _cpu_s(processes: dict[str, Child]) -> dict[str, dict[str, float]]:
    return {name: stages.threads_s(child.pid) for name, child in processes.items() if child.pid is not None}


def worker(role: str, folder: Path, name: str, *flags: str) -> Child:
    """Return a gated worker over the settings in `folder`."""
    argv = [sys.executable, "-m", "benchmarks.worker", role, str(folder / "worker.toml"), str(folder), name, *flags]
    return Child(name, argv, log=folder / f"{name}.log", env=dict(os.environ), cwd=ROOT)


def wait_ready(children: Sequence[Child], folder: Path) -> list[int]:
    """Wait until all workers are at the gate; return the number of partitions of each."""
    ready_files = [folder / f"{child.name}.ready" for child in children]

    def all_ready() -> bool:
        check(children)
        return all(path.exists() and path.stat().st_size for path in ready_files)

    eventually(all_ready, READY_S_MAX, "the workers have their partitions")
    return [int(path.read_text()) for path in ready_files]


def check(children: Sequence[Child]) -> None:
    """Raise RuntimeError where one of the processes has ended."""
    for child in children:
        if not child.running:
            raise RuntimeError(f"{child.name} has ended; its log ends:\n{child.log_tail()}")


def wait_committed(offsets: Offsets, role: str, wanted: Mapping[Place, int], children: Sequence[Child]) -> None:
    """Wait until the role's group has committed these offsets, or more. Raise TimeoutError after DRAIN_S_MAX."""
    until = time.monotonic() + DRAIN_S_MAX
    while behind := _behind(offsets.committed(role, wanted), wanted):
        check(children)
        if time.monotonic() > until:
            raise TimeoutError(f"{role} has not committed in {DRAIN_S_MAX:g} s: {behind}")
        time.sleep(_LOOK_S)


def _behind(committed: Mapping[Place, int], wanted: Mapping[Place, int]) -> dict[Place, tuple[int, int]]:
    """Return (committed, wanted) of the places with less committed than wanted."""
    return {place: (committed.get(place, 0), end) for place, end in wanted.items() if committed.get(place, 0) < end}
