"""A worker whose role never returns from a revocation: `python -m … BROKER TOPIC FILE STOP_S`."""

import asyncio
import sys
from pathlib import Path

from streams.worker.role import TP
from streams.worker.worker import run_worker
from tests.streams.recording import Recording, quick_options


class NeverStops(Recording):
    name = "stubborn"

    async def revoked(self, _tps: set[TP]) -> None:
        await asyncio.Event().wait()


if __name__ == "__main__":
    broker, topic, path, stop_s = sys.argv[1:]
    role = NeverStops(Path(path), (topic,), say=True)
    sys.exit(run_worker(role, broker=broker, app_id=topic, options=quick_options(stop_s=float(stop_s))))
