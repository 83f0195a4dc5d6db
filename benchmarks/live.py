"""The engine behind banks' topics: Kafka, Redis with a warm state, one ingest and one score worker, and the banks."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks import configuration, drains, parts
from benchmarks.awake import cores_awake
from benchmarks.desk import Plan as DeskPlan
from benchmarks.results import ROOT
from benchmarks.sender import ANSWER_S_MAX, Plan, SenderResult
from benchmarks.stages import threads_s
from benchmarks.world import warm
from benchmarks.world.log import HEADERS, World
from benchmarks.world.population import BANKS
from config.settings import IngestSettings, SealSettings, Settings
from domain import topics
from embedded import Child, Kafka, RedisServer, eventually
from sinks.batch import Records
from sinks.kafka import Outbox
from streams.seal import key_files
from streams.topics import create_topics

ROLES = ("ingest", "score")
EXERCISE_S = 30.0  # of the broker, before anything is timed: otherwise its JIT compiler takes one core for a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Running servers with topics and warm state; workers are launched by `launched`."""

    settings: Settings
    kafka: Kafka
    redis: RedisServer
    folder: Path


@contextmanager
def engine(world: World, folder: Path) -> Iterator[Engine]:
    """Yield everything but the workers, in a new folder. The log begins with the tick that closed the last warm day."""
    folder.mkdir(parents=True)
    (folder / "token.key").write_text(secrets.token_hex(32))
    with parts.kafka(folder / "kafka") as kafka, warm.warm_redis(world, folder / "redis") as redis:
        settings = msgspec.structs.replace(
            drains.settings_of(kafka.address, redis.url, world.partitions, "live-"),
            ingest=IngestSettings(token_key_file=str(folder / "token.key")),
            seal=SealSettings(public_key_file=str(key_files(folder)["public_key_file"])),
        )
        create_topics(settings)
        asyncio.run(_exercise(kafka, world.partitions))
        writer = drains.BulkProducer(kafka.address)
        for partition in range(world.partitions):
            writer.write(topics.EVENTS, warm.opening_record(world), partition=partition)
        writer.flush()
        configuration.write(settings, folder / "worker.toml")
        yield Engine(settings=settings, kafka=kafka, redis=redis, folder=folder)


async def _exercise(kafka: Kafka, partitions: int) -> None:
    """Write, read and commit like banks and workers, so that the broker's JIT compiler is warm."""
    ours, theirs, address = "benchmark.exercise.ours", "benchmark.exercise.theirs", kafka.address
    drains.make_topic(address, ours, partitions)
    drains.make_topic(address, theirs, BANKS, **{"message.timestamp.type": "LogAppendTime"})
    key, value = b"91450100MA5EXAMPLE", msgspec.json.encode({f"field_{i}": i * 7919 for i in range(20)})
    some = Records.of([(key, value)] * 8)
    bank, outbox = AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=20), Outbox(address)
    ticks = AIOKafkaProducer(bootstrap_servers=address, transactional_id="benchmark.exercise")
    consumer = AIOKafkaConsumer(
        ours, theirs, bootstrap_servers=address, group_id="benchmark.exercise", auto_offset_reset="earliest",
        isolation_level="read_committed", enable_auto_commit=False,
    )  # fmt: skip
    for client in (bank, ticks, consumer):
        await client.start()
    until_s, second_s = time.monotonic() + EXERCISE_S, 0.0
    while time.monotonic() < until_s:
        for partition in range(BANKS):
            for _ in range(20):
                await bank.send(theirs, value, key, partition, headers=list(HEADERS))
        for partition in range(partitions):
            outbox.send_batch(ours, some, headers=HEADERS, partition=partition)
        if time.monotonic() - second_s > 1.0:
            second_s = time.monotonic()
            async with ticks.transaction():
                for partition in range(partitions):
                    await ticks.send(ours, value, partition=partition)
        await consumer.getmany(timeout_ms=5)
        await consumer.commit()
        if outbox.sent_count - outbox.acknowledged_count > 5_000:
            await asyncio.to_thread(outbox.drain)
    await asyncio.to_thread(outbox.drain)
    outbox.close()
    for client in (bank, ticks, consumer):
        await client.stop()


def cpu_s(child: Child) -> float:
    """Return the CPU seconds used by a process so far."""
    return sum(threads_s(child.pid).values())


@contextmanager
def launched(running: Engine) -> Iterator[list[Child]]:
    """Yield a gated worker of each role, after their assignment."""
    workers = [drains.worker(role, running.folder, role) for role in ROLES]
    try:
        for worker in workers:
            worker.launch()
        drains.wait_ready(workers, running.folder)
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def paced(
    world: World,
    folder: Path,
    *,
    per_s: int,
    seconds: float,
    warm_up_s: float = 0.0,
    alerts: int = 0,
    desk: Callable[[str], DeskPlan] | None = None,
) -> tuple[SenderResult, dict[str, float]]:
    """Send at a rate for some seconds; return the sender's result, and the CPU seconds of each process until then.

    The cores are kept awake. desk: what desks do meanwhile, by the address of Kafka; their result is then in `folder`
    too, as desk.json.
    """
    with engine(world, folder) as running, cores_awake():
        plan = Plan(
            bootstrap=running.kafka.address,
            world=world,
            per_s=per_s,
            seconds=seconds,
            warm_up_s=warm_up_s,
            alerts=alerts,
        )
        (folder / "sender-plan.json").write_bytes(msgspec.json.encode(plan))
        sender, desks = _beside("sender", folder), []
        if desk is not None:
            (folder / "desk-plan.json").write_bytes(msgspec.json.encode(desk(running.kafka.address)))
            desks.append(_beside("desk", folder))
        with launched(running) as workers, sender.launch(), ExitStack() as acting_too:
            for each in desks:
                acting_too.enter_context(each.launch())
            drains.wait_ready([sender, *desks], folder)
            servers = running.kafka.child, running.redis.child
            processes = {child.name: child for child in (*servers, *workers, sender, *desks)}
            before = {name: cpu_s(child) for name, child in processes.items()}
            (folder / "go").touch()
            result_files = [folder / f"{child.name}.json" for child in (sender, *desks)]

            def done() -> bool:
                drains.check(workers)
                used.update({name: cpu_s(child) - before[name] for name, child in processes.items() if child.running})
                return all(file.exists() for file in result_files) or not all(
                    child.running or file.exists() for child, file in zip((sender, *desks), result_files, strict=True)
                )

            used: dict[str, float] = {}
            eventually(
                done,
                (warm_up_s + seconds) * 3 + 2 * ANSWER_S_MAX,
                "the banks have sent all records and all alerts were read",
            )
            for child in (sender, *desks):
                if child.wait(30.0):
                    raise RuntimeError(f"the {child.name} has failed:\n{child.log_tail()}")
            return msgspec.json.decode(result_files[0].read_bytes(), type=SenderResult), used


def _beside(name: str, folder: Path) -> Child:
    """Return a process of benchmarks.NAME that works on a folder."""
    argv = [sys.executable, "-m", f"benchmarks.{name}", str(folder)]
    return Child(name, argv, log=folder / f"{name}.log", env=dict(os.environ), cwd=ROOT)
