"""A score worker as `xinliu worker score` runs it, which waits at a gate between loading its state and its first fetch.

`python -m benchmarks.score_worker SETTINGS FOLDER NAME [--stages]`: FOLDER/NAME.ready says how many partitions it has;
it goes on once FOLDER/go is there. With `--stages` it leaves FOLDER/NAME.stages, with `--profile` FOLDER/NAME.profile.
"""

import argparse
import asyncio
import cProfile
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.stages import Stages, instrument
from config.settings import Settings, load
from streams.role import TP
from streams.score.role import Score
from streams.worker import WorkerOptions, run_worker

_LOOK_S = 0.01


class GatedScore(Score):
    """The score role, whose first assignment returns when the gate is open."""

    def __init__(self, settings: Settings, folder: Path, name: str, stages: Stages | None) -> None:
        super().__init__(settings)
        self._stages, self._stages_file = stages, folder / f"{name}.stages"
        self._ready, self._go = folder / f"{name}.ready", folder / "go"

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Own, claim, load, then wait."""
        positions = await super().assigned(tps)
        self._ready.write_text(str(len(tps)))
        while not self._go.exists():
            await asyncio.sleep(_LOOK_S)
        if self._stages is not None:
            self._stages.restart()
        return positions

    async def revoked(self, tps: set[TP]) -> None:
        """Say where the time went, while all threads are still there; then as always."""
        if self._stages is not None:
            self._stages.write(self._stages_file)
        await super().revoked(tps)


def main() -> int:
    """Run the worker; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load(args.settings, {})
    kafka = settings.kafka
    options = WorkerOptions(session_timeout_s=kafka.session_timeout_s)
    stages = Stages() if args.stages else None
    role = GatedScore(settings, args.folder, args.name, stages)
    if stages is not None:
        instrument(stages)

    def work() -> int:
        return run_worker(role, broker=kafka.bootstrap, app_id=f"{kafka.group_prefix}score", options=options)

    if args.profile:
        profile = cProfile.Profile()
        code = profile.runcall(work)
        profile.dump_stats(args.folder / f"{args.name}.profile")
    else:
        code = work()
    return code


if __name__ == "__main__":
    sys.exit(main())
