"""A learn worker that is watched: when its memory was loaded, and how long its event loop stood still.

`python -m benchmarks.learning_worker SETTINGS FOLDER` writes FOLDER/loaded.json and FOLDER/learned.json, and goes on
until it is told to stop.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.drains import rss_peak_bytes
from config.settings import Settings, load
from streams.learn.role import Learn
from streams.learn.threads import end_process
from streams.transport import TransportOptions
from streams.worker.process import settle
from streams.worker.role import TP, RoleContext
from streams.worker.roles import FETCH_GAPS_MS
from streams.worker.worker import WorkerOptions, run_worker

_BEAT_S = 0.002


class Watched(Learn):
    """The learn role; a task beside it notes how late its own turns come."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings)
        self._folder, self._late_s = folder, defaultdict[str, list[float]](list)
        self._assigned_at_s: list[float] = []
        self._learned_s = self._learned_cpu_s = 0.0

    async def start(self, context: RoleContext) -> None:
        """Start, and watch from here on."""
        await super().start(context)
        self._watch = asyncio.create_task(self._beat())

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Note when partitions come: the second time is a rebalance."""
        self._assigned_at_s.append(time.monotonic())
        return await super().assigned(tps)

    async def _learn_month(self, memory: Any, month: int) -> None:
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        await super()._learn_month(memory, month)
        self._learned_s, self._learned_cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s

    async def _beat(self) -> None:
        """Note forever how late this task's turns come, by what runs in a thread meanwhile."""
        written: set[str] = set()
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(_BEAT_S)
            late_s = time.monotonic() - began_s - _BEAT_S
            doing = "load" if self._memory is None else "learn"
            self._late_s[doing].append(late_s)
            learner = None if self._memory is None else self._memory.learner
            for name, is_there in {
                "loaded": learner is not None,
                "learned": learner is not None and learner.counts["months"] > 0 and not self.is_busy,
            }.items():
                if is_there and name not in written:
                    written.add(name)
                    self._write(name)

    def _write(self, name: str) -> None:
        path = self._folder / f"{name}.json"
        path.with_suffix(".new").write_text(json.dumps(self._figures()))
        path.with_suffix(".new").rename(path)

    def _figures(self) -> dict[str, Any]:
        late_s = {doing: sorted(each) for doing, each in self._late_s.items()}
        return {
            "at_s": time.monotonic(),
            "cpu_s": time.process_time(),
            "assigned_at_s": self._assigned_at_s,
            "generation": self._context.generation(),
            "memory_bytes": rss_peak_bytes(os.getpid()),
            "summary": self.summary(),
            "learned_s": self._learned_s,
            "learned_cpu_s": self._learned_cpu_s,
            "turns": {doing: len(each) for doing, each in late_s.items()},
            "latest_s": {doing: each[-5:][::-1] for doing, each in late_s.items()},
            "late_p99_s": {doing: each[len(each) * 99 // 100] for doing, each in late_s.items()},
        }


def main() -> int:
    """Run the worker and return its exit code."""
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings, folder = load(Path(sys.argv[1]), {}), Path(sys.argv[2])
    kafka = settings.kafka
    options = WorkerOptions(
        session_timeout_s=kafka.session_timeout_s, transport=TransportOptions(fetch_gap_ms=FETCH_GAPS_MS["learn"])
    )
    role = Watched(settings, folder)
    settle()
    return end_process(run_worker(role, broker=kafka.bootstrap, app_id=f"{kafka.group_prefix}learn", options=options))


if __name__ == "__main__":
    sys.exit(main())
