"""The state after a log, made by the real loop, written by the real store, and cached as Redis's own files.

The name of a cached state is a hash of everything behind it: world, engine version, layout, and the server that wrote
it. Its offsets begin anew: the timed log's first record, at offset 0, is the last tick of the warm part, which the
state already holds.
"""

import asyncio
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NoReturn

import msgspec

from benchmarks import parts
from benchmarks.world.log import PartitionLog, World, tick_after
from benchmarks.world.state_sums import partition_sums
from config.settings import RedisSettings, Settings
from domain.events import LogRecord
from embedded import RedisServer, eventually
from embedded.redis import release_of
from features.layout import LAYOUT_VERSION
from kernels.folders import cache_root
from sinks.redis_store import PartitionStore, connect
from streams.score.owned_partition import OwnedPartition
from streams.score.partition import PartitionState
from streams.score.version import engine_version
from streams.score.warmup import compile_kernels

_APPEND_ONLY = "appendonlydir"  # of Redis
_SUMS = "sums.json"
_SLICE_VALUES = 2_000
_EPOCH = 0  # of the state's writer: no worker's is less


def opening_record(world: World) -> bytes:
    """Return the record at offset 0 of each partition's timed log."""
    return msgspec.json.encode(LogRecord(event=tick_after(world.first_day + world.warm_days - 1)))


def warm_redis(world: World, directory: Path) -> RedisServer:
    """Return a Redis, to be started, that holds the state of `world` before its timed part. `directory` must be new."""
    shutil.copytree(_built(world) / _APPEND_ONLY, directory / _APPEND_ONLY)
    return parts.redis(directory)


def activate_rules(settings: Settings, rules_id: str) -> None:
    """Set these rules as active in the stored state of every partition, as a control record does."""
    with connect(settings.redis.url, settings.redis.timeout_s) as client:
        for partition in range(settings.kafka.log_partitions):
            store = PartitionStore(client, settings.redis.key_prefix, partition)
            state = msgspec.json.decode(store.claim(_EPOCH) or b"", type=PartitionState)
            store.write((), msgspec.json.encode(msgspec.structs.replace(state, rules_id=rules_id)))


def warm_sums(world: World) -> dict[str, int]:
    """Return the result of `state_sums` on that state."""
    sums: dict[str, int] = json.loads((_built(world) / _SUMS).read_text())
    return sums


def _built(world: World) -> Path:
    cached = _cached(world)
    if not cached.exists():
        _build(world, cached)
    return cached


def _cached(world: World) -> Path:
    what = f"{world} {engine_version()} {LAYOUT_VERSION} {release_of(parts.redis_binary())}"
    return cache_root() / "benchmarks" / f"warm-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _build(world: World, cached: Path) -> None:
    """Build the state in a temporary folder beside `cached`, and rename it when it is complete."""
    making = cached.with_name(f"{cached.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    with parts.redis(making) as server:
        sums = _build_all(world, server.url)
        client = connect(server.url, 60.0)
        client.bgrewriteaof()
        eventually(lambda: not _rewrites(client), 300.0, "Redis has rewritten its file")
    whole = making / "whole"
    whole.mkdir()
    (making / _APPEND_ONLY).rename(whole / _APPEND_ONLY)
    (whole / _SUMS).write_text(json.dumps(sums))
    whole.rename(cached)
    shutil.rmtree(making)


def _build_all(world: World, redis_url: str) -> dict[str, int]:
    """Build all partitions, one process a core; return the sums over all of them."""
    compile_kernels()  # once, for the processes that follow
    began_s = time.perf_counter()
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        building = [pool.submit(_build_partition, world, number, redis_url) for number in range(world.partitions)]
        total: Counter[str] = Counter()
        for done, future in enumerate(as_completed(building), 1):
            total.update(future.result())
            line = f"warm state: {done} of {world.partitions} partitions, {total['applied']:,} records applied"
            print(f"{line}, {time.perf_counter() - began_s:.0f} s", file=sys.stderr)
    return dict(total)


def _rewrites(client: object) -> bool:
    info = client.info("persistence")  # type: ignore[attr-defined]
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


def _build_partition(world: World, number: int, redis_url: str) -> dict[str, int]:
    prefix = RedisSettings().key_prefix
    store = PartitionStore(connect(redis_url, 60.0), prefix, number)
    owned = OwnedPartition(number, store, _nothing_published, _nothing_published, lambda _step, _partition: None)
    owned.own(_EPOCH, is_first=True)
    owned.bound(2**31 - 1)  # nobody makes room here
    owned.load()
    memory = owned.memory
    assert memory is not None
    for chunk in PartitionLog(world, number).chunks(timed=False):
        for _ in memory.apply(chunk):
            pass
    memory.state["applied_offset"][memory.residents.rows()] = 0
    memory._now = msgspec.structs.replace(memory.saved, low_offset=1)
    asyncio.run(owned.flush(_SLICE_VALUES))
    return partition_sums(memory)


def _nothing_published(content_id: str) -> NoReturn:
    raise LookupError(content_id)
