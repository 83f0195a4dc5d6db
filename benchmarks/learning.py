"""The cost of learning: labels a second, events passed over, a restart, a month of labels, and a switch of model.

Champion and challengers learn examples with a planted effect, in process. A learn worker on a real broker then loads a
checkpoint of observations that wait for their label, and learns a month with all challengers on. Last, a partition of
score switches its model between two batches.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from confluent_kafka import TopicPartition
from rich.console import Console

from benchmarks import configuration, learning_data, parts, results
from benchmarks.drains import SESSION_TIMEOUT_S, BulkProducer
from benchmarks.learning_data import MONTH, examples
from benchmarks.replay import write_world
from benchmarks.results import ROOT, Bound
from benchmarks.world.log import HEADERS, PartitionLog, World
from benchmarks.world.population import Mix
from config.catalogue import indicators
from config.settings import KafkaSettings, LearnSettings, Settings
from detectors.learning.challengers import CHALLENGERS, Challengers
from detectors.learning.training import Trainer
from detectors.prior import prior_snapshot
from detectors.snapshot import Snapshot, content_id, decode
from domain import topics
from domain.events import Control, LogEvent, LogRecord
from embedded import Child, Kafka
from replay.log_file import LogFile
from sinks.artefacts import publish
from sinks.checkpoint_topic import CheckpointTopic
from sinks.kafka import Outbox
from sinks.log_reader import member_consumer
from sinks.retriable import until_answered
from streams.artefacts import snapshot_of
from streams.learn.checkpoint import Memory
from streams.learn.learner import Learner
from streams.learn.passing import telling
from streams.learn.role import Learn
from streams.score.partition import Partition
from streams.topics import create_topics
from streams.transport.chunk import chunk_of
from streams.worker.role import TP
from streams.worker.worker import WorkerOptions

LABELS, CHALLENGER_LABELS, CHALLENGER_MONTHS = 100_000, 20_000, 10
HELD, MATURING, ENTERPRISES, PARTITIONS = 1_000_000, 100_000, 250_000, 8
PASSED_ENTERPRISES, PASSED_DAYS, PASSED_ROUNDS = 400, 730, 5
SWITCHES, BATCH_RECORDS = 7, Settings().score.batch_records_max
BOUNDS = {
    "champion_labels_per_s": Bound(least=2_000),
    "passed_over_per_s": Bound(least=300_000),
    "restart_s": Bound(most=10.0),
    "month_labels": Bound(least=90_000),  # the others are bad already, or nobody saw their horizon
    "month_stall_s": Bound(most=WorkerOptions().heartbeat_interval_s),  # no heartbeat is skipped
    "month_rebalances": Bound(most=0),
    "switch_to_batch": Bound(most=1.0),
}
_LOAD_S_MAX, _LEARN_S_MAX = 300.0, 7_200.0
_print = Console(stderr=True).print


def run(argv: list[str]) -> int:
    """Measure everything; return 1 where a bound is missed or the tree is dirty."""
    args = results.arguments(__doc__, argv)
    parts.pin()
    scale = args.scale
    trained, figures = _champion(round(LABELS * scale))
    figures |= _challengers(round(CHALLENGER_LABELS * scale))
    with tempfile.TemporaryDirectory(prefix="xinliu-learning-") as name:
        folder = Path(name)
        figures |= _passing(folder, scale)
        with Kafka(folder / "kafka", heap=parts.HEAP) as kafka:
            settings = Settings(
                kafka=KafkaSettings(
                    bootstrap=kafka.address, log_partitions=PARTITIONS, session_timeout_s=SESSION_TIMEOUT_S
                ),
                banks=configuration.banks(),
            )
            create_topics(settings)
            figures |= _worker(settings, folder, scale)
            figures |= _switch(settings, trained, scale)
    return results.report("learning", args, figures, BOUNDS)


# Labels


def _champion(labels: int) -> tuple[Snapshot, dict[str, Any]]:
    """Return the champion of so many labels, and their number a second in a refit."""
    trainer = Trainer(prior_snapshot(), {name: row.group for name, row in indicators().items()})
    trainer.fit(examples(min(labels, 1_000), seed=1))  # compiles the kernels
    retained = examples(labels, seed=2)
    began_s = time.perf_counter()
    trainer.fit(retained)
    seconds = time.perf_counter() - began_s
    _print(f"champion: {labels:,} labels in {seconds:.1f} s")
    made = trainer.snapshot(content_id(prior_snapshot().encode()), {f"{topics.EVENTS}:0": 1})
    return made, {
        "champion_labels": labels,
        "champion_labels_per_s": round(labels / seconds),
        "champion_fit_s": round(seconds, 2),
    }


def _challengers(labels: int) -> dict[str, Any]:
    """Return labels a second of each challenger: it is asked about each month, then it learns it."""
    months = [examples(labels // CHALLENGER_MONTHS, seed=month) for month in range(CHALLENGER_MONTHS)]
    figures: dict[str, Any] = {"challenger_labels": sum(map(len, months))}
    for name in CHALLENGERS:
        warm = Challengers([name])
        for month in months[:2]:
            warm.learn(month[:200])
            warm.month(month[:20])
        model, began_s = Challengers([name]), time.perf_counter()
        for month in months:
            model.month(month)
            model.learn(month)
        figures[f"{name}_labels_per_s"] = round(figures["challenger_labels"] / (time.perf_counter() - began_s))
        _print(f"{name}: {figures[f'{name}_labels_per_s']:,} labels/s")
    return figures


# Reading


def _passing(folder: Path, scale: float) -> dict[str, Any]:
    """Return how many events a second of a core the role passes over, and reads in all."""
    world = World(
        seed=20_260_917, enterprises=max(8, round(PASSED_ENTERPRISES * scale)), partitions=1, warm_days=PASSED_DAYS,
        dense_days_before=0, timed_days=1, mix=Mix(rate_min=1.2, rate_max=2.2),
    )  # fmt: skip
    path = folder / "events.log"
    write_world(world, path)
    chunks = list(LogFile(path).chunks(0))
    events, told = sum(map(len, chunks)), sum(len(telling(chunk)) for chunk in chunks)
    passed_s, read_s = [], []
    for _ in range(PASSED_ROUNDS):
        began_s = time.thread_time()
        for chunk in chunks:
            telling(chunk)
        passed_s.append(time.thread_time() - began_s)
        role, memory = Learn(Settings()), Memory(learner=Learner(LearnSettings(), range(1)))
        began_s = time.thread_time()
        for chunk in chunks:
            asyncio.run(role._take_in(memory, TP(topics.EVENTS, 0), chunk))
        read_s.append(time.thread_time() - began_s)
    return {
        "passed_events": events,
        "passed_told": told,
        "passed_over_per_s": round((events - told) / median(passed_s)),
        "read_events_per_s": round(events / median(read_s)),
    }


# A worker


def _worker(settings: Settings, folder: Path, scale: float) -> dict[str, Any]:
    """Return what a restart from a checkpoint costs, and then a month of learning."""
    sizes = {
        "held": round(HELD * scale),
        "maturing": round(MATURING * scale),
        "enterprises": round(ENTERPRISES * scale),
    }
    _print(f"writing a checkpoint of {sizes['held']:,} observations")
    checkpoint = _write_checkpoint(settings, sizes)
    path, loaded, learned = folder / "learn.toml", folder / "loaded.json", folder / "learned.json"
    configuration.write(settings, path)
    argv = [sys.executable, "-m", "benchmarks.learning_worker", str(path), str(folder)]
    worker = Child("learn", argv, log=folder / "learn.log", env=dict(os.environ), cwd=ROOT)
    launched_s = time.monotonic()
    try:
        worker.launch().wait_ready(loaded.exists, _LOAD_S_MAX)
        _append(settings, learning_data.closing_tick())
        _print("loaded; learning a month")
        worker.wait_ready(learned.exists, _LEARN_S_MAX)
    finally:
        worker.stop()
    start, month = json.loads(loaded.read_text()), json.loads(learned.read_text())
    return {
        **checkpoint,
        "restart_s": round(start["at_s"] - launched_s, 2),
        "restart_after_claim_s": round(start["at_s"] - start["assigned_at_s"][-1], 2),
        "restart_cpu_s": round(start["cpu_s"], 2),
        "restart_stall_s": round(start["latest_s"]["load"][0], 3),
        "restart_memory_bytes": start["memory_bytes"],
        "month_labels": month["summary"]["labels"],
        "month_bad": month["summary"]["labels_bad"],
        "month_snapshots": month["summary"]["snapshots"],
        "month_s": round(month["learned_s"], 1),
        "month_cpu_s": round(month["learned_cpu_s"], 1),
        "month_stall_s": round(month["latest_s"]["learn"][0], 3),
        "month_stalls_s": [round(late_s, 3) for late_s in month["latest_s"]["learn"]],
        "month_late_p99_s": round(month["late_p99_s"]["learn"], 4),
        "month_rebalances": len(month["assigned_at_s"]) - len(start["assigned_at_s"]),
        "month_memory_bytes": month["memory_bytes"],
    }


def _write_checkpoint(settings: Settings, sizes: dict[str, int]) -> dict[str, Any]:
    """Write the checkpoint, and the log before it; score has applied the tick that is to come."""
    _append(settings, learning_data.opening_tick())
    store = CheckpointTopic(settings.kafka.bootstrap, topics.LEARN, writer=f"{settings.kafka.group_prefix}learn")
    store.claim()
    draft = learning_data.memory(settings.learn, PARTITIONS, **sizes).take(settings.learn, "")
    began_s = time.perf_counter()
    store.commit(draft.puts, draft.drops, draft.state)
    seconds = time.perf_counter() - began_s
    group = f"{settings.kafka.group_prefix}score"
    end = learning_data.BEFORE_OFFSET + 1
    offsets = [TopicPartition(topics.EVENTS, p, end) for p in range(PARTITIONS)]
    with closing(member_consumer(settings.kafka.bootstrap, group)) as member:
        until_answered(lambda: member.commit(offsets=offsets, asynchronous=False), 60.0)
    return {
        "held": sizes["held"],
        "enterprises": sizes["enterprises"],
        "checkpoint_bytes": draft.size,
        "checkpoint_s": round(seconds, 2),
        "month": MONTH,
    }


def _append(settings: Settings, event: LogEvent) -> None:
    """Append an event to each partition of the log."""
    writer = BulkProducer(settings.kafka.bootstrap)
    for partition in range(PARTITIONS):
        writer.write(topics.EVENTS, msgspec.json.encode(LogRecord(event=event)), partition=partition)
    writer.flush()


# A switch


def _switch(settings: Settings, trained: Snapshot, scale: float) -> dict[str, Any]:
    """Return what a control record that activates a model costs a partition, against a batch of records.

    The prior and the trained model take turns, so that each switch moves scores. The first partition of a worker to
    come to a model fetches its bytes from Kafka, the others have them at hand. What a switch costs the batch after it,
    whose scores are all new, is counted too.
    """
    bootstrap = settings.kafka.bootstrap
    bodies = [
        msgspec.structs.replace(model, trained_labels_count=n, intercept_micro=model.intercept_micro + n).encode()
        for model in (prior_snapshot(), trained)
        for n in range(SWITCHES)
    ]
    with _outbox(bootstrap) as outbox:
        ids = [publish(outbox, topics.MODEL, body) for body in bodies]
    decoded = dict(zip(ids[SWITCHES:], bodies[SWITCHES:], strict=True))
    spent: dict[str, list[float]] = {"first_switch": [], "switch": [], "batch": [], "after": []}

    def model_of(model_id: str) -> Snapshot:
        if model_id in decoded:
            return decode(decoded[model_id], model_id)
        return snapshot_of(bootstrap, {}, model_id)

    world = World(seed=3, enterprises=max(20, round(2_500 * scale)), partitions=1, warm_days=60, timed_days=5)
    partition, offset = Partition(0, model_of), 0
    activations = [(name, one) for pair in zip(ids, ids[SWITCHES:], strict=False) for name, one in _named(pair)]
    records, kind = 0, "batch"
    for whole in PartitionLog(world, 0).chunks(timed=True):
        for chunk in whole.pieces(BATCH_RECORDS):
            values = [(None, row.value, HEADERS, 0) for row in chunk.rows(range(len(chunk)))]
            seconds = _applied(partition, offset, values)
            offset += len(values)
            if len(values) < BATCH_RECORDS * 3 // 4 and scale >= 1.0:
                continue  # the last ones before a tick
            spent[kind].append(seconds)
            records += len(values) if kind == "batch" else 0
            switches = kind == "batch" and activations and len(spent["batch"]) > 1
            kind = "after" if switches else "batch"
            if switches:
                name, model_id = activations.pop(0)
                spent[name].append(_applied(partition, offset, [_activation(model_id)]))
                offset += 1
                if partition.model_id != model_id:
                    raise RuntimeError(f"model {model_id} did not come into force")
    of = {name: median(times) for name, times in spent.items() if times}
    stall_s = of["switch"] + max(0.0, of["after"] - of["batch"])
    return {
        "switches": len(spent["switch"]),
        "batch_records": round(records / len(spent["batch"])),
        "batch_ms": round(1e3 * of["batch"], 2),
        "switch_ms": round(1e3 * of["switch"], 2),
        "batch_after_ms": round(1e3 * of["after"], 2),
        "switch_to_batch": round(stall_s / of["batch"], 3),
        "first_switch_ms": round(1e3 * of["first_switch"], 2),
    }


def _named(pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    yield "first_switch", pair[0]
    yield "switch", pair[1]


def _applied(partition: Partition, offset: int, records: list[Any]) -> float:
    """Return the seconds that records take, with all their outputs."""
    chunk = chunk_of(topics.EVENTS, 0, offset, records)
    began_s = time.perf_counter()
    for _ in partition.apply(chunk):
        continue
    return time.perf_counter() - began_s


def _activation(model_id: str) -> Any:
    control = Control(
        control_id=model_id, action="activate", artefact="model", artefact_id=model_id, by="bench", reason="none"
    )
    return None, msgspec.json.encode(LogRecord(event=control)), HEADERS, 0


@contextmanager
def _outbox(bootstrap: str) -> Iterator[Outbox]:
    outbox = Outbox(bootstrap)
    yield outbox
    outbox.drain(30.0)
