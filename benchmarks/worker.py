"""A worker like `xinliu worker ROLE` with a gate between its assignment and its first fetch.

`python -m benchmarks.worker ROLE SETTINGS FOLDER NAME` writes its number of partitions to FOLDER/NAME.ready, and waits
for FOLDER/go. With `--stages` it writes FOLDER/NAME.stages, with `--profile` FOLDER/NAME.profile.
"""

import argparse
import asyncio
import cProfile
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stages import Stages, instrument
from config.settings import load
from features.row_cache import LACKING_MAX
from streams.score.role import Score
from streams.transport import TransportOptions
from streams.worker.process import settle
from streams.worker.role import TP
from streams.worker.roles import FETCH_GAPS_MS, build
from streams.worker.worker import WorkerOptions, run_worker

_LOOK_S = 0.01


def gated(role: Any, folder: Path, name: str, stages: Stages | None) -> Any:
    """Return `role` with a gate after its first assignment; it writes its stages when its partitions are revoked."""
    assigned, revoked = role.assigned, role.revoked

    async def wait_at_gate(tps: set[TP]) -> Mapping[TP, int]:
        positions: Mapping[TP, int] = await assigned(tps)
        if isinstance(role, Score):
            load_state(role)
        (folder / f"{name}.ready").write_text(str(len(tps)))
        while not (folder / "go").exists():
            await asyncio.sleep(_LOOK_S)
        if stages is not None:
            stages.restart()
        return positions

    async def write_stages(tps: set[TP]) -> None:
        if stages is not None:
            stages.write(folder / f"{name}.stages")  # while all threads are still there
        await revoked(tps)

    role.assigned, role.revoked = wait_at_gate, write_stages
    return role


def load_state(score: Score) -> None:
    """Load as many enterprises from Redis as the row cache holds, so that the timed part starts with a warm cache."""
    for held in score._held.values():
        memory = held.memory
        assert memory is not None
        numbers = np.arange(min(memory.residents.known, memory.residents.resident_max), dtype=np.int32)
        for first in range(0, len(numbers), LACKING_MAX):
            for _ in memory._bring(numbers[first : first + LACKING_MAX]):
                raise RuntimeError("more enterprises than there is room for")


def main() -> int:
    """Run the worker and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role")
    parser.add_argument("settings", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load(args.settings, {})
    kafka = settings.kafka
    transport = TransportOptions(fetch_gap_ms=FETCH_GAPS_MS[args.role])
    options = WorkerOptions(session_timeout_s=kafka.session_timeout_s, transport=transport)
    stages = Stages() if args.stages else None
    if stages is not None:
        instrument(stages)
    role = gated(build(args.role, settings), args.folder, args.name, stages)
    settle()
    app_id = f"{kafka.group_prefix}{args.role}"
    if not args.profile:
        return run_worker(role, broker=kafka.bootstrap, app_id=app_id, options=options)
    profile = cProfile.Profile()
    code: int = profile.runcall(run_worker, role, broker=kafka.bootstrap, app_id=app_id, options=options)
    profile.dump_stats(args.folder / f"{args.name}.profile")
    return code


if __name__ == "__main__":
    sys.exit(main())
