"""The state that a log has left behind, made by the real loop and written by the real store; kept as Redis's own files.

A cached state is named by everything that it follows from: world, engine version, layout. Its offsets begin anew: the
timed log's first record, at offset 0, is the last tick of the warm part, and the state holds it already.
"""

import asyncio
import hashlib
import shutil
import sys
import time
from pathlib import Path

import msgspec

from benchmarks import parts
from benchmarks.world.log import PartitionLog, World, tick_after
from config.kernel_cache import cache_root, engine_version
from config.settings import RedisSettings
from detectors.snapshot import Snapshot
from domain.events import LogRecord
from features.layout import LAYOUT_VERSION
from features.redis_store import PartitionStore, connect
from streams.embedded import RedisServer, eventually
from streams.score.holding import Holding

_APPEND_ONLY = "appendonlydir"
_SLICE_VALUES = 2_000


def opening_record(world: World) -> bytes:
    """The record at offset 0 of each partition's timed log."""
    return msgspec.json.encode(LogRecord(event=tick_after(world.first_day + world.warm_days - 1)))


def warm_redis(world: World, directory: Path) -> RedisServer:
    """A started Redis that holds the state of `world` before its timed part. `directory` must be new."""
    cached = _cached(world)
    if not cached.exists():
        _build(world, cached)
    shutil.copytree(cached, directory / _APPEND_ONLY)
    server = parts.redis(directory)
    server.start()
    return server


def _cached(world: World) -> Path:
    what = f"{world} {engine_version()} {LAYOUT_VERSION}"
    return cache_root() / "benchmarks" / f"warm-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _build(world: World, cached: Path) -> None:
    """Build it in a folder beside, and move that in place when it is whole."""
    making = cached.with_name(f"{cached.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    server = parts.redis(making)
    with server:
        began_s = time.perf_counter()
        for number in range(world.partitions):
            records = asyncio.run(_build_partition(world, number, server))
            said = f"warm state: partition {number + 1} of {world.partitions}, {records:,} records in it"
            print(f"{said}, {time.perf_counter() - began_s:.0f} s", file=sys.stderr)
        client = connect(server.url, 60.0)
        client.bgrewriteaof()
        eventually(lambda: not _rewrites(client), 300.0, "Redis has rewritten its file")
    cached.parent.mkdir(parents=True, exist_ok=True)
    (making / _APPEND_ONLY).rename(cached)
    shutil.rmtree(making)


def _rewrites(client: object) -> bool:
    told = client.info("persistence")  # type: ignore[attr-defined]
    return bool(told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])


async def _build_partition(world: World, number: int, server: RedisServer) -> int:
    prefix = RedisSettings().key_prefix
    store = PartitionStore(connect(server.url, 60.0), prefix, number)
    holding = Holding(number, store, _no_model, lambda _step, _partition: None)
    holding.own(0, is_first=True)
    holding.load()
    memory = holding.memory
    assert memory is not None
    records = 0
    for chunk in PartitionLog(world, number).chunks(timed=False):
        for _ in memory.apply(chunk):
            pass
        records += len(chunk)
    memory.state["applied_offset"][: memory.used] = 0
    memory.saved = msgspec.structs.replace(memory.saved, low_offset=1)
    await holding.flush(_SLICE_VALUES)
    return records


def _no_model(model_id: str) -> Snapshot:
    raise LookupError(model_id)
