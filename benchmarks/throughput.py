"""How many transactions a second go through `score`, and what the yardsticks make of the same records."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks import parts
from benchmarks.stages import threads_s
from benchmarks.world import warm
from benchmarks.world.log import HEADERS, PartitionLog, World
from benchmarks.world.population import BANKS, bank_id, enterprise_id
from config.settings import Bank, KafkaSettings, RedisSettings, ScoreSettings, Settings
from domain import topics
from replay.offsets import Offsets
from streams.embedded import Child, Kafka, RedisServer, eventually
from streams.topics import create_topics

ROOT = Path(__file__).resolve().parent.parent
SESSION_TIMEOUT_S = 30.0
FLUSH_MS = 5_000
_LOOK_S = 0.02
_DRAIN_S_MAX = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What stands in the log: ends of its partitions, and how many of the records are transactions."""

    ends: tuple[int, ...]
    transactions: int
    bytes: int


def settings_of(bootstrap: str, redis_url: str, partitions: int, group: str) -> Settings:
    """Settings of the measured worker."""
    return Settings(
        kafka=KafkaSettings(
            bootstrap=bootstrap, log_partitions=partitions, session_timeout_s=SESSION_TIMEOUT_S, group_prefix=group
        ),
        redis=RedisSettings(url=redis_url, timeout_s=30.0),
        score=ScoreSettings(flush_interval_ms=FLUSH_MS),
        banks=tuple(Bank(bank_id=bank_id(bank), name_zh=f"基准银行{bank}") for bank in range(BANKS)),
    )


def write_settings(settings: Settings, path: Path) -> None:
    """As TOML."""
    kafka, redis, score = settings.kafka, settings.redis, settings.score
    lines = [
        "[kafka]", f'bootstrap = "{kafka.bootstrap}"', f"log_partitions = {kafka.log_partitions}",
        f"session_timeout_s = {kafka.session_timeout_s}", f'group_prefix = "{kafka.group_prefix}"',
        "[redis]", f'url = "{redis.url}"', f"timeout_s = {redis.timeout_s}",
        "[score]", f"flush_interval_ms = {score.flush_interval_ms}",
    ]  # fmt: skip
    for bank in settings.banks:
        lines += ["[[banks]]", f'bank_id = "{bank.bank_id}"', f'name_zh = "{bank.name_zh}"']
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_log(world: World, bootstrap: str) -> Written:
    """The timed part, into `events.v1`."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap, "linger.ms": 20, "enable.idempotence": True,
            "queue.buffering.max.messages": 200_000, "message.max.bytes": 1_000_000,
        }
    )  # fmt: skip
    ends, transactions, size = [], 0, 0
    for partition in range(world.partitions):
        end = 0
        for key, value, is_transaction in _timed_records(world, partition):
            while True:
                try:
                    producer.produce(topics.EVENTS, value, key, partition=partition, headers=HEADERS)
                    break
                except BufferError:
                    producer.poll(0.1)
            end += 1
            transactions += is_transaction
            size += len(value)
        ends.append(end)
        producer.poll(0)
    if producer.flush(120):
        raise RuntimeError("the log could not be written")
    return Written(ends=tuple(ends), transactions=transactions, bytes=size)


def _timed_records(world: World, partition: int) -> Iterator[tuple[bytes | None, bytes, bool]]:
    yield None, warm.opening_record(world), False
    for block in PartitionLog(world, partition).blocks(timed=True):
        is_transaction = not isinstance(block.values, list)
        for i, owner in enumerate(block.owners.tolist()):
            yield (enterprise_id(owner).encode() if owner >= 0 else None), block.value(i), is_transaction


def drain(world: World, kafka: Kafka, written: Written, folder: Path, workers: int, *flags: str) -> dict[str, Any]:
    """Drain the log once with fresh warm state."""
    folder.mkdir()
    redis = warm.warm_redis(world, folder / "redis")
    settings = settings_of(kafka.address, redis.url, world.partitions, f"{folder.name}-")
    path = folder / "worker.toml"
    write_settings(settings, path)
    children = [_worker(path, folder, f"w{i}", flags) for i in range(workers)]
    try:
        for child in children:
            child.launch()
        eventually(lambda: _all_ready(children, folder), 300.0, "the workers have their partitions")
        shares = [int((folder / f"w{i}.ready").read_text()) for i in range(workers)]
        if sum(shares) != world.partitions:
            raise RuntimeError(f"the workers have {shares} of {world.partitions} partitions")
        processes = {"kafka": kafka.child, "redis": redis.child} | {child.name: child for child in children}
        before = {name: threads_s(child.pid) for name, child in processes.items()}
        (folder / "go").touch()
        began_s = time.perf_counter()
        _wait_committed(settings, written, children)
        wall_s = time.perf_counter() - began_s
        after = {name: threads_s(child.pid) for name, child in processes.items()}
    finally:
        for child in children:
            child.stop()
        redis.stop()
    cpu = {
        name: {thread: round(s - before[name].get(thread, 0.0), 2) for thread, s in threads.items()}
        for name, threads in after.items()
    }
    return {"wall_s": wall_s, "per_s": written.transactions / wall_s, "shares": shares, "cpu_s": cpu}


def _worker(settings: Path, folder: Path, name: str, flags: Sequence[str]) -> Child:
    argv = [sys.executable, "-m", "benchmarks.score_worker", str(settings), str(folder), name, *flags]
    return Child(name, argv, log=folder / f"{name}.log", env=dict(os.environ), cwd=ROOT)


def _all_ready(children: Sequence[Child], folder: Path) -> bool:
    for child in children:
        if not child.running:
            raise RuntimeError(child.log_tail())
    return all((folder / f"{child.name}.ready").exists() for child in children)


def _wait_committed(settings: Settings, written: Written, children: Sequence[Child]) -> None:
    offsets = Offsets(settings.kafka)
    places = [(topics.EVENTS, partition) for partition in range(len(written.ends))]
    wanted = dict(zip(places, written.ends, strict=True))
    until = time.monotonic() + _DRAIN_S_MAX
    while offsets.committed("score", places) != wanted:
        for child in children:
            if not child.running:
                raise RuntimeError(child.log_tail())
        if time.monotonic() > until:
            raise TimeoutError(f"not drained in {_DRAIN_S_MAX:g} s: {offsets.committed('score', places)}")
        time.sleep(_LOOK_S)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--flags", nargs="*", default=[])
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    parts.pin()
    partitions = max(2, round(64 * args.scale))
    world = World(seed=1, enterprises=round(50_000 * args.scale), partitions=partitions)
    with tempfile.TemporaryDirectory(prefix="xinliu-throughput-") as name:
        folder = Path(name)
        with parts.kafka(folder / "kafka") as kafka:
            create_topics(settings_of(kafka.address, "redis://x", partitions, "x-"))
            t = time.perf_counter()
            written = write_log(world, kafka.address)
            print(written, time.perf_counter() - t)
            result = drain(world, kafka, written, folder / "drain0", args.workers, *(f"--{flag}" for flag in args.flags))
            if args.keep:
                shutil.rmtree(args.keep, ignore_errors=True)
                shutil.copytree(folder / "drain0", args.keep, ignore=shutil.ignore_patterns("redis"))
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
