"""Determinism of one log of over 200,000 records under all combinations of batches, memory bounds, workers and kills.

In memory: batches, sizes of the output book, enterprises in memory, slices of a sweep. By worker processes: batches,
enterprises in memory, ms of a slice, workers; each dies by SIGKILL before every step of the commit protocol. All
outputs must be the same bytes. `make soak` runs it; the numbers go to `benchmarks/results/determinism.json`, each
part's with its commit and seed.
"""

import itertools
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine, parts, results
from embedded import Kafka
from replay.ledger import take_stock
from sinks.redis_store import connect
from streams.score.outbook import OUTPUTS_PER_EVALUATION_MAX
from streams.score.version import engine_version
from tests.determinism import log as logs
from tests.determinism import processes
from tests.determinism.processes import ProcessShape
from tests.determinism.runs import UNBOUNDED, Run, Shape
from tests.determinism.runs import run as run_in_memory

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "determinism.json"
LEAST = OUTPUTS_PER_EVALUATION_MAX + 1
BATCHES, BOOKS, SWEEPS = (1, 7, 4_000), (LEAST, LEAST + 133, 8_192), (1, 512)
RESIDENT = (30, UNBOUNDED)  # of a thousand
PARTITIONS, PROCESS_PARTITIONS = 2, 4
PROCESS_RESIDENT, SLICES_MS, WORKERS = (600, 500_000), (1, 1_000), (1, 2)
_held: dict[str, Any] = {}  # of a process of the pool


def run(argv: list[str]) -> int:
    """Print one line a run; return 1 where one differs from the run without kills. argv: names of PARTS, or all."""
    if set(argv) - set(PARTS):
        raise SystemExit(f"parts are {', '.join(PARTS)}, not {argv}")
    return max(_run(name) for name in argv or PARTS)


def _run(name: str) -> int:
    seed = random.SystemRandom().randrange(2**32)
    print(f"{name}: seed {seed}")
    log = logs.make(seed, **PARTS[name].log, desks=True)
    clean = run_in_memory(log)
    document = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": machine.commit(ROOT),
        "machine": machine.describe(),
        "engine_version": engine_version(),
        "seed": seed,
        "records": sum(len(part) for part in log.partitions),
        "put_in": dict(log.put_in),
        "outcomes": dict(clean.outcomes()),
        "alerts": dict(clean.outputs.alerts),
        "digest": clean.digest(),
    }
    rows: list[dict[str, Any]] = []
    for row in PARTS[name].runs(log, clean, seed):
        rows.append(row)
        _write(name, document, rows, complete=False)
    _write(name, document, rows, complete=True)
    if not machine.is_dirty(ROOT):
        results.remember(_figures(name, document, rows))
    return 0 if all(row["equal"] for row in rows) else 1


def _figures(name: str, document: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures that HISTORY keeps of a whole run."""
    unequal = sum(not row["equal"] for row in rows)
    return {
        "benchmark": f"determinism_{name}",
        "measured": document["date"],
        **{key: document[key] for key in ("commit", "engine_version", "machine", "records")},
        "bounds": {"runs_unequal": "<= 0"},
        "missed": ["runs_unequal"] if unequal else [],
        "runs": len(rows),
        "runs_unequal": unequal,
        "kills": sum(sum(row["kills"].values()) for row in rows),
        "outputs_repeated": sum(row["messages_repeated"] for row in rows),
        "alert_revisions": sum(document["alerts"].values()),
    }


def _write(name: str, document: dict[str, Any], rows: list[dict[str, Any]], *, complete: bool) -> None:
    """Write the results after each run, so that an interrupted soak keeps its numbers; `complete`: all runs are in."""
    parts = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts[name] = {**document, "complete": complete, "runs": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(parts, indent=1) + "\n")


def _in_memory(log: logs.Log, clean: Run, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row at the end of each run, with one run on each core."""
    runs = enumerate(itertools.product(BATCHES, BOOKS, RESIDENT, SWEEPS), start=seed)
    held = {"log": log, "clean": clean}
    # Forked: log and clean run are inherited, not pickled.
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), _held.update, (held,)) as pool:
        yield from pool.imap_unordered(_compared, runs)


def _compared(run: tuple[int, tuple[int, ...]]) -> dict[str, Any]:
    kill_seed, values = run
    shape = Shape(**dict(zip(("batch", "book_rows", "resident_max", "sweep"), values, strict=True)))
    began_s = time.perf_counter()
    got = run_in_memory(_held["log"], shape, kill_seed=kill_seed)
    return _row(got, _held["clean"], began_s, where="memory", **asdict(shape))


def _by_processes(log: logs.Log, clean: Run, seed: int) -> Iterator[dict[str, Any]]:
    for n, values in enumerate(itertools.product(BATCHES, PROCESS_RESIDENT, SLICES_MS, WORKERS)):
        shape = ProcessShape(
            **dict(zip(("batch", "resident_max", "slice_ms", "workers"), values, strict=True)),
            book_rows=BOOKS[n % 3],
        )
        steps = tuple(s for s in processes.STEPS if s != "evict" or shape.resident_max == PROCESS_RESIDENT[0])
        with tempfile.TemporaryDirectory(prefix="xinliu-determinism-") as name:
            folder = Path(name)
            with Kafka(folder / "kafka", heap="256m") as kafka, parts.redis(folder / "redis") as redis:
                began_s = time.perf_counter()
                settings = processes.settings_of(kafka.address, redis.url, PROCESS_PARTITIONS, "x", shape)
                plans = processes.plans_of(steps, shape.workers, seed + n)
                got = processes.run(settings, log, folder, shape, plans)
                row = _row(got, clean, began_s, where="processes", **asdict(shape))
                with connect(redis.url, 10.0) as client:
                    row["ledger_balanced"] = take_stock(settings, client).balanced
        row["every_step_killed"] = set(got.kills) == set(steps)
        row["equal"] = row["equal"] and row["ledger_balanced"] and row["every_step_killed"]
        yield {**row, "records_by_worker": dict(got.records)}


def _row(got: Run, clean: Run, began_s: float, **shape: Any) -> dict[str, Any]:
    row = {
        **shape,
        "kills": dict(got.kills),
        "messages_repeated": got.outputs.repeats,
        "equal": got.digest() == clean.digest() and got.outputs.sequences() == clean.outputs.sequences(),
        "wall_s": round(time.perf_counter() - began_s, 1),
    }
    print(row, flush=True)
    return row


class _Part(NamedTuple):
    log: dict[str, int]
    runs: Callable[[logs.Log, Run, int], Iterator[dict[str, Any]]]


PARTS = {
    "memory": _Part({"enterprises": 2_000, "partitions": PARTITIONS}, _in_memory),
    "processes": _Part({"enterprises": 2_000, "partitions": PROCESS_PARTITIONS}, _by_processes),
}
