"""Replay speed of a recorded log in process, in events a second, without Kafka and Redis.

The log has enterprises of a province's density over two years with a tick a day, as one file of packed record batches.
It is replayed with its outputs counted, and with all of them written, packed and plain. Rates a core are by the time
that processes spend replaying; their start counts only from start to end.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import results
from benchmarks.results import Bound
from benchmarks.world.log import PartitionLog, World
from benchmarks.world.population import BANKS, Mix, bank_id, enterprise_id
from config.settings import Bank
from domain import topics
from replay.in_process import cores
from replay.log_file import LogFile
from replay.log_replay import Replayed, replay_in_process
from replay.log_writer import LogWriter
from sinks.batch import Records

SEED, ENTERPRISES, PARTITIONS, DAYS, RUNS = 20_260_917, 2_500, 8, 730, 3  # 312 of a partition: as 20,000 on 64
MIX = Mix(rate_min=1.2, rate_max=2.2)
BOUNDS = {
    "counted_per_s_a_core": Bound(least=100_000),
    "written_per_s_a_core": Bound(least=60_000),
    "events": Bound(least=3_000_000),
    "alerts": Bound(least=5_000),
    "indicators": Bound(least=1_500_000),
    "late": Bound(least=1),
    "duplicates": Bound(least=1),
}


def run(argv: list[str]) -> int:
    """Measure everything; return 1 where a bound is missed or the tree is dirty."""
    args = results.arguments(__doc__, argv)
    world = World(
        seed=SEED, enterprises=round(ENTERPRISES * args.scale), partitions=PARTITIONS, warm_days=DAYS,
        dense_days_before=0, timed_days=1, mix=MIX,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="xinliu-replay-") as name:
        figures = _measure(world, Path(name))
    world_fields = {"seed": world.seed, "enterprises": world.enterprises, "partitions": PARTITIONS, "days": DAYS}
    return results.report("replay", args, figures, BOUNDS, world=world_fields)


def write_world(world: World, path: Path) -> None:
    """Write the warm days of a world as a recorded log."""
    banks = [Bank(bank_id=bank_id(i), name_zh=f"示例银行{i}") for i in range(BANKS)]
    with LogWriter(path, banks=banks, partitions=world.partitions) as writer:
        for partition in range(world.partitions):
            for block in PartitionLog(world, partition).blocks(timed=False):
                keys = [None if owner < 0 else enterprise_id(owner).encode() for owner in block.owners.tolist()]
                writer.append(Records.of([(key, block.value(i)) for i, key in enumerate(keys)]), partition)


def _measure(world: World, folder: Path) -> dict[str, Any]:
    path, began_s = folder / "events.log", time.perf_counter()
    write_world(world, path)
    figures: dict[str, Any] = {"written_s": round(time.perf_counter() - began_s, 1), "bytes": path.stat().st_size}
    log = LogFile(path)
    counted = [_replayed(log, digest=False) for _ in range(RUNS)]
    packed = [_replayed(log, outputs=folder / f"{i}.jsonl.lz4") for i in range(RUNS)]
    figures["outputs_bytes_packed"] = (folder / "0.jsonl.lz4").stat().st_size
    plain = _replayed(log, outputs=folder / "outputs.jsonl")
    figures["outputs_bytes"] = (folder / "outputs.jsonl").stat().st_size
    digests = {_digest_of(one) for one in (*packed, plain)}
    if len(digests) > 1 or {one.outputs == packed[0].outputs for one in counted} != {True}:
        raise RuntimeError(f"replays of one log differ: {digests}")
    for name, runs in (("counted", counted), ("written", packed), ("written_plain", [plain])):
        figures |= _rates(name, runs)
    return figures | _of_log(plain)


def _replayed(log: LogFile, *, digest: bool = True, outputs: Path | None = None) -> Replayed:
    found, _ = replay_in_process(log, print, digest=digest, outputs=outputs, processes=cores())
    if not found.balanced:
        raise RuntimeError(f"records are not accounted for: {found.outcomes}")
    return found


def _digest_of(found: Replayed) -> str:
    return f"{found.digest} {found.outputs} {found.outcomes}"


def _rates(name: str, runs: list[Replayed]) -> dict[str, Any]:
    """Return events a second of a core while it replays, and of all cores from start to end."""
    rates = [one.records / (one.busy_s or 1.0) for one in runs]
    return {
        f"{name}_per_s_a_core": round(median(rates)),
        f"{name}_per_s_a_core_runs": [round(rate) for rate in rates],
        f"{name}_per_s": round(median(one.records / one.wall_s for one in runs)),
        f"{name}_wall_s": [round(one.wall_s, 1) for one in runs],
    }


def _of_log(found: Replayed) -> dict[str, Any]:
    return {
        "processes": cores(),
        "events": found.records,
        "alerts": found.outputs[topics.ALERT_SUPERVISOR],
        "indicators": found.outputs[topics.INDICATOR],
        "outputs": sum(found.outputs.values()),
        "late": found.outcomes["late"],
        "duplicates": found.outcomes["duplicate"],
    }
