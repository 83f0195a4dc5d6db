"""A role that records what it applied into SQLite by (partition, offset), run in this process or in one of its own.

Fenced, it does as `score` with Redis: rows and position in one transaction, which only the last claimer may write.
Not fenced, it goes by the group's committed offsets: at least once.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from streams.transport import Chunk, TransportOptions
from streams.worker.role import TP, Role, RoleContext
from streams.worker.worker import Worker, WorkerOptions, run_worker
from tests.patience import patience_s

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
  partition INTEGER, offset INTEGER, value BLOB, times INTEGER, PRIMARY KEY (partition, offset)
);
CREATE TABLE IF NOT EXISTS position (partition INTEGER PRIMARY KEY, epoch INTEGER, low INTEGER);
"""


class Recording(Role):
    name = "recording"

    def __init__(
        self,
        path: Path,
        topics: tuple[str, ...],
        *,
        fenced: bool = True,
        apply_s: float = 0.0,
        poison: str = "",
        say: bool = False,
    ) -> None:
        self.topics, self._fenced, self._apply_s, self._poison, self._say = (
            topics,
            fenced,
            apply_s,
            poison.encode(),
            say,
        )
        self._base = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.executescript(SCHEMA)
        self.held: dict[TP, int] = {}  # partition -> epoch
        self._low: dict[TP, int] = {}
        self._waiting: dict[TP, tuple[int, list[tuple[int, int, bytes | None]]]] = {}
        self.applied = 0

    async def start(self, _context: RoleContext) -> None:
        self.tell("start")

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        self._low, self._waiting, self.held = {}, {}, {}
        starts = {}
        with self._transaction():
            for tp in tps:
                row = self._base.execute(
                    "SELECT epoch, low FROM position WHERE partition = ?", [tp.partition]
                ).fetchone()
                epoch, low = row or (0, None)
                self.held[tp] = epoch + 1
                self._base.execute("INSERT OR REPLACE INTO position VALUES (?, ?, ?)", [tp.partition, epoch + 1, low])
                if self._fenced and low is not None:
                    starts[tp] = self._low[tp] = low
        self.tell("assigned", *sorted(tp.partition for tp in tps))
        return starts

    async def revoked(self, tps: set[TP]) -> None:
        await self.tick()
        self.tell("revoked", *sorted(tp.partition for tp in tps))
        for tp in tps:
            del self.held[tp]

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        self.tell("applying", tp.partition, int(chunk.offset[0]), len(chunk))
        await asyncio.sleep(self._apply_s)
        values = [chunk.value(i) for i in range(len(chunk))]
        if self._poison and self._poison in values:
            raise ValueError(f"poison at offset {chunk.offset[values.index(self._poison)]}")
        rows = [(tp.partition, int(chunk.offset[i]), value) for i, value in enumerate(values)]
        before = self._waiting.get(tp, (0, []))[1]
        self._waiting[tp] = (chunk.next_offset, before + rows)
        self.applied += len(chunk)

    def low_offset(self, tp: TP) -> int | None:
        return self._low.get(tp)

    async def tick(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for tp, (low, rows) in waiting.items():
            with self._transaction():
                (epoch,) = self._base.execute(
                    "SELECT epoch FROM position WHERE partition = ?", [tp.partition]
                ).fetchone()
                if self._fenced and epoch != self.held.get(tp):
                    self.tell("refused", tp.partition, rows[0][1], len(rows))
                    continue
                self._base.executemany(
                    "INSERT INTO record VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1", rows
                )
                self._base.execute(
                    "UPDATE position SET low = max(?, ifnull(low, 0)) WHERE partition = ?", [low, tp.partition]
                )
            self._low[tp] = low

    async def stop(self) -> None:
        self._base.close()
        self.tell("stopped")

    def tell(self, *words: Any) -> None:
        if self._say:
            print(*words, flush=True)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._base)


class _Transaction:
    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def __enter__(self) -> None:
        self._base.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_error: object) -> None:
        self._base.execute("ROLLBACK" if kind else "COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=30)
    base.executescript(SCHEMA)  # the file may be there before its tables are
    return base


def recorded(path: Path) -> dict[tuple[int, int], tuple[bytes, int]]:
    """(partition, offset) -> (value, how many times it was applied)."""
    with closing(_opened(path)) as base:
        return {(p, o): (v, n) for p, o, v, n in base.execute("SELECT partition, offset, value, times FROM record")}


def how_many(path: Path) -> int:
    """Return the number of records."""
    with closing(_opened(path)) as base:
        return int(base.execute("SELECT count(*) FROM record").fetchone()[0])


def lows(path: Path) -> dict[int, int]:
    """partition -> the lowest offset not yet recorded."""
    with closing(_opened(path)) as base:
        return {p: low for p, low in base.execute("SELECT partition, low FROM position") if low is not None}


def quick_options(transport: Mapping[str, Any] | None = None, **changes: Any) -> WorkerOptions:
    """Short sessions and frequent commits."""
    return WorkerOptions(
        transport=TransportOptions(**(transport or {})),
        **{
            "session_timeout_s": 4.0,
            "heartbeat_interval_s": 1.0,
            "rebalance_timeout_s": 10.0,
            "request_timeout_s": 10.0,
            "commit_interval_s": 0.2,
            "log_end_wait_s": 1.0,
            **changes,
        },
    )


def run_here(
    role: Any,
    broker: str,
    group: str,
    done: Callable[[], object],
    *,
    options: WorkerOptions | None = None,
    deadline_s: float = 30.0,
) -> int:
    """Run a worker in this process until `done`, then stop it; its exit code."""

    async def main() -> int:
        worker = Worker(role, broker=broker, app_id=group, options=options or quick_options())
        running = asyncio.create_task(worker.run())
        began_s = time.monotonic()
        while not (running.done() or done()):
            assert time.monotonic() - began_s < patience_s(deadline_s), "the run came to no end"
            await asyncio.sleep(0.02)
        worker.stop_soon()
        async with asyncio.timeout(patience_s(deadline_s)):
            return await running

    return asyncio.run(main())


def main(arguments: str) -> int:
    """Run as a process; the argument is a JSON object."""
    given = json.loads(arguments)
    role = Recording(Path(given["path"]), tuple(given["topics"]), say=True, **given.get("role", {}))
    options = quick_options(given.get("transport"), **given.get("options", {}))
    return run_worker(role, broker=given["broker"], app_id=given["group"], options=options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
