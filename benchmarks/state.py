"""Memory of a million enterprises: bytes in Redis with and without event ids, in the engine, and of a flush.

Twenty thousand distinct enterprises of a province's activity (README.md) go through the real loop for fourteen months;
their values are copied under new ids, each in the partition of its own key, until there are a million.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks import drains, parts, results
from benchmarks.drains import Drained, Log
from benchmarks.results import Bound
from benchmarks.world import population, warm
from benchmarks.world.log import World, partitions_of, tick_after
from benchmarks.world.population import Mix, enterprise_id
from benchmarks.world.state_sums import restored
from config.settings import Settings
from domain.events import LogRecord
from features.layout import ROW, id_table, id_text
from features.state import dedup
from features.values import Value
from sinks.redis_store import PartitionStore, connect, stored_values
from streams.score.partition import Partition
from streams.topics import create_topics

ENTERPRISES, DISTINCT, PARTITIONS, SEED = 1_000_000, 20_000, 64, 920_000
PROVINCE = Mix(dense_rate=24.0, dense_rate_sigma=1.5, early_rate_max=3.0, dormant_share=0.15)
SLICE_VALUES = 2_000
WORKERS, ROWS_BYTES = 2, 6.2e9  # the share of the engine's 10 GB for the rows of all workers
BOUNDS = {
    "engine_rss_bytes": Bound(most=10e9),
    "redis_bytes_an_enterprise_without_ids": Bound(most=4_096),
    "redis_bytes_an_enterprise_with_ids": Bound(most=8_192),
}
_print = Console(stderr=True).print


def run(argv: list[str]) -> int:
    """Measure; return 1 where a bound is missed or the tree is dirty."""
    args = results.arguments(__doc__, argv)
    parts.pin()
    world = World(
        seed=SEED,
        enterprises=round(DISTINCT * args.scale),
        partitions=max(2, round(PARTITIONS * args.scale)),
        dense_days_before=35,
        timed_days=1,
        mix=PROVINCE,
    )
    with tempfile.TemporaryDirectory(prefix="xinliu-state-") as name:
        figures = _measure(world, Path(name), ENTERPRISES // DISTINCT)
    return results.report("state", args, figures, BOUNDS)


def _measure(world: World, folder: Path, copies: int) -> dict[str, Any]:
    many = world.enterprises * copies
    with warm.warm_redis(world, folder / "redis") as redis, parts.kafka(folder / "kafka") as kafka:
        settings = _bounded(drains.settings_of(kafka.address, redis.url, world.partitions, "state-"))
        create_topics(settings)
        most = settings.score.enterprises_resident_max
        figures = {"enterprises": many, "distinct": world.enterprises, "resident_max_of_a_worker": most}
        figures |= _sizes(settings, world) | _without_ids(settings, world, folder / "bare-redis")
        _copy(settings, world, copies)
        with drains.redis_client(settings) as client:
            figures["redis_bytes_an_enterprise_with_ids"] = round(client.info("memory")["used_memory"] / many)
        log = drains.write_timed_log(world, kafka.address, ticks=False)
        day = drains.drain(settings, redis, kafka, log, folder / "day", workers=WORKERS)
        drains.append(kafka.address, log, _closing_tick(world))
        closing = drains.drain(settings, redis, kafka, log, folder / "close", workers=WORKERS)
    return figures | _engine(day, closing, log, many)


def _bounded(settings: Settings) -> Settings:
    """Return settings whose row cache leaves room for all else in memory."""
    most = int(ROWS_BYTES / WORKERS / ROW.itemsize)
    score = msgspec.structs.replace(settings.score, enterprises_resident_max=most)
    return msgspec.structs.replace(settings, score=score)


def _closing_tick(world: World) -> bytes:
    return msgspec.json.encode(LogRecord(event=tick_after(world.first_day + world.warm_days)))


def _values(settings: Settings) -> Iterator[tuple[int, str, Value]]:
    """Yield (partition, id, value) of all enterprises in Redis."""
    with connect(settings.redis.url, 60.0) as client:
        for partition in range(settings.kafka.log_partitions):
            for name, value in stored_values(client, settings.redis.key_prefix, partition):
                if value is None:
                    raise LookupError(f"{name} is listed and has no value")
                yield partition, name, value


def _sizes(settings: Settings, world: World) -> dict[str, Any]:
    """Return the sizes of the values' parts, and the hot part's mean over events: the bytes of a flush of one."""
    rate_of = dict(zip(*_rates(world), strict=True))
    names, hot, cold = [], [], []
    for _, name, value in _values(settings):
        names.append(name)
        hot.append(len(value.hot))
        cold.append(len(value.cold or b""))
    rates = np.array([rate_of[name] for name in names])
    sizes = {"hot": np.array(hot), "cold": np.array(cold), "total": np.array(hot) + np.array(cold)}
    return {
        "value_bytes": {
            name: {"mean": round(float(x.mean())), **{f"p{p}": round(float(np.percentile(x, p))) for p in (50, 95, 99)}}
            for name, x in sizes.items()
        },
        "transactions_a_day": {
            "mean": round(float(rates.mean()), 1),
            **{f"p{p}": round(float(np.percentile(rates, p)), 1) for p in (50, 95, 99)},
        },
        "flushed_bytes_an_event_alone": round(float((sizes["hot"] * rates).sum() / rates.sum())),
    }


def _rates(world: World) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the ids of the distinct enterprises, and their transactions a day at the end of the log, float64 (n,)."""
    numbers, last_day = np.arange(world.enterprises), world.warm_days + world.timed_days
    profiles = population.profiles(world.seed, numbers, last_day, world.mix)
    rates = np.where(profiles["silent_from"] < last_day, 0.0, profiles["dense_rate"].astype(np.float64))
    return [enterprise_id(int(number)) for number in numbers], rates


def _without_ids(settings: Settings, world: World, folder: Path) -> dict[str, Any]:
    """Return the memory of the distinct enterprises in a Redis of their own without event ids."""
    with parts.redis(folder) as redis, connect(redis.url, 60.0) as client:
        empty = client.info("memory")["used_memory"]
        for number in range(world.partitions):
            memory = restored(settings, number)
            forget_ids(memory)
            store = PartitionStore(client, settings.redis.key_prefix, number)
            store.claim(0)
            rows = memory.residents.rows()
            for first in range(0, len(rows), SLICE_VALUES):
                store.write(memory.values(rows[first : first + SLICE_VALUES]))
        held = client.info("memory")["used_memory"] - empty
    return {"redis_bytes_an_enterprise_without_ids": round(held / world.enterprises)}


def forget_ids(memory: Partition) -> None:
    """Remove all event ids from a partition's memory."""
    memory.residents.arena = dedup.empty(16)
    memory.state["id_head"] = memory.state["block_head"] = -1
    memory.state["id_count"] = memory.state["block_count"] = 0


def _copy(settings: Settings, world: World, copies: int) -> None:
    """Write each enterprise again under further ids, into the partition of each id."""
    n = world.enterprises
    place = partitions_of(range(n * copies), world.partitions)
    memories = [restored(settings, number) for number in range(world.partitions)]
    with connect(settings.redis.url, 60.0) as client:
        stores = [PartitionStore(client, settings.redis.key_prefix, number) for number in range(world.partitions)]
        for store in stores:
            store.claim(0)
        waiting: dict[int, list[tuple[str, Value]]] = defaultdict(list)
        for memory in memories:
            rows = memory.residents.rows()
            numbers = [int(id_text(words)[-10:]) for words in memory.state["id"][rows]]
            for copy in range(1, copies):
                others = [number + copy * n for number in numbers]
                memory.state["id"][rows] = id_table([enterprise_id(other).encode() for other in others])
                for other, (name, value) in zip(others, memory.values(rows), strict=True):
                    some = waiting[int(place[other])]
                    some.append((name, value))
                    if len(some) == SLICE_VALUES:
                        stores[int(place[other])].write(some)
                        some.clear()
        for number, some in waiting.items():
            stores[number].write(some)
    _print(f"{n * copies:,} enterprises in Redis")


def _engine(day: Drained, closing: Drained, log: Log, many: int) -> dict[str, Any]:
    per_event = day.redis_received_bytes / log.transactions
    per_close = closing.redis_received_bytes / many
    return {
        "engine_rss_bytes": max(sum(one.rss_peak_bytes.values()) for one in (day, closing)),
        "engine_rss_bytes_by_run": {"day": day.rss_peak_bytes, "close": closing.rss_peak_bytes},
        "transactions": log.transactions,
        "drained_per_s": round(log.transactions / day.wall_s),
        "closed_per_s": round(many / closing.wall_s),
        "flushed_bytes_an_event_draining": round(per_event),
        "flushed_bytes_a_close": round(per_close),
        "flushed_bytes_an_event_with_closes": round(per_event + per_close / PROVINCE.dense_rate),
        "redis_bytes_at_last": closing.redis_bytes,
    }
