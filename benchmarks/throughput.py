"""Transactions a second through `score`, beside yardsticks on the same records.

Three loads: a backlog of three days with warm state; the same with score records at closes only; live from banks'
topics through ingest. Kafka, Redis and workers share two cores.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from rich.console import Console

from benchmarks import drains, live, parts, results
from benchmarks.drains import Drained, Log
from benchmarks.results import Bound
from benchmarks.world import warm
from benchmarks.world.log import World
from benchmarks.world.state_sums import state_sums
from benchmarks.yardsticks.bare_loop import ALERTS
from detectors.rules.artefact import Emission, packaged
from domain import topics
from embedded import Kafka
from sinks.artefacts import publish
from sinks.kafka import Outbox
from streams.topics import create_topics

SEED, ENTERPRISES, PARTITIONS, RUNS = 20_260_917, 50_000, 64, 3
STOCK_RECORDS, STOCK_TOPIC = 100_000, "yardstick.records"
YARDSTICK_S_MAX = 900.0
LIVE_FLOOR_PER_S, LIVE_LEAST_PER_S, LIVE_STEP, LIVE_SECONDS, LIVE_LAG_S_MAX = 50_000, 1_000, 1.25, 60.0, 1.0
BOUNDS = {
    "drain_per_s": Bound(least=150_000),
    "drain_to_bare_loop": Bound(least=1.5),
    "lean_per_s": Bound(least=250_000),
    "live_per_s": Bound(least=50_000),
    "non_null_core_share": Bound(least=0.7),
    "score_rows_per_txn": Bound(least=0.3),
    "alerts": Bound(least=1_000),
    "closes": Bound(least=150_000),
    "late": Bound(least=1),
    "duplicates": Bound(least=1),
    "value_bytes_least": Bound(least=380),
}
# A score record for each tenth of a point: thirty times as fine as the default, so that output is a load.
FINE, LEAN = Emission(mode="move", step_milli=100), Emission(mode="close")
_print = Console(stderr=True).print


def run(argv: list[str]) -> int:
    """Measure everything; return 1 where a bound is missed or the tree is dirty."""
    args = results.arguments(__doc__, argv)
    parts.pin()
    world = world_of(args.scale)
    with tempfile.TemporaryDirectory(prefix="xinliu-throughput-") as name:
        figures = _measure(world, Path(name), args.scale)
    return results.report("throughput", args, figures, BOUNDS, world=_world_fields(world))


def world_of(scale: float) -> World:
    """Return the world of the benchmarks, or a part of it."""
    return World(seed=SEED, enterprises=round(ENTERPRISES * scale), partitions=max(2, round(PARTITIONS * scale)))


def _measure(world: World, folder: Path, scale: float) -> dict[str, Any]:
    warm.warm_sums(world)  # built before anything is timed
    with parts.kafka(folder / "kafka") as kafka:
        create_topics(drains.settings_of(kafka.address, "", world.partitions, "x-"))
        _print("writing the timed log")
        log = drains.write_timed_log(world, kafka.address)
        figures = _log_figures(log) | _yardsticks(world, kafka, log, folder, scale)
        fine, lean = (_publish_rules(kafka, emission) for emission in (FINE, LEAN))
        # The broker's JIT compiler warms up in the first drain, which has a figure of its own.
        (first, _), *drained = [_drain(world, kafka, log, folder / f"drain{i}", fine) for i in range(1 + RUNS)]
        figures["drain_per_s_first_of_its_broker"] = round(log.transactions / first.wall_s)
        figures |= _drain_figures(world, log, [one for one, _ in drained], drained[0][1])
        figures |= _lean_figures(log, [_drain(world, kafka, log, folder / f"lean{i}", lean)[0] for i in range(RUNS)])
        staged, _ = _drain(world, kafka, log, folder / "stages", fine, "--stages")
        figures |= {"stages": _stages(staged, log)}
    figures |= _live(world, folder, scale, log.transactions)
    figures["drain_to_bare_loop"] = round(figures["drain_per_s"] / figures["bare_loop_per_s"], 2)
    return figures


def _live(world: World, folder: Path, scale: float, transactions: int) -> dict[str, Any]:
    """Return the highest rate that holds, found by steps of a quarter from the floor on."""
    seconds = max(5.0, LIVE_SECONDS * scale)
    tried: dict[int, bool] = {}
    tries: list[dict[str, Any]] = []
    rate = LIVE_FLOOR_PER_S
    while rate not in tried and LIVE_LEAST_PER_S <= rate <= 0.99 * transactions / seconds:
        result, cpu_s = live.paced(world, folder / f"live{rate}", per_s=rate, seconds=seconds)
        tried[rate] = result.sent / result.wall_s >= 0.99 * rate and result.end_lag_s < LIVE_LAG_S_MAX
        cpu_us = {name: round(seconds / result.sent * 1e6, 2) for name, seconds in cpu_s.items()}
        tries.append(
            {
                "per_s": rate,
                "sent_per_s": round(result.sent / result.wall_s),
                "end_lag_s": round(result.end_lag_s, 3),
                "cpu_us_per_txn": cpu_us,
            }
        )
        sent_per_s = result.sent / result.wall_s
        _print(f"live at {rate:,} a second: sent {sent_per_s:,.0f}, lag at the end {result.end_lag_s:.2f} s")
        rate = round(rate * LIVE_STEP if tried[rate] else rate / LIVE_STEP)
    held = [rate for rate, is_held in tried.items() if is_held]
    return {"live_per_s": max(held, default=0), "live_seconds": seconds, "live_tries": tries}


def _world_fields(world: World) -> dict[str, Any]:
    names = ("seed", "enterprises", "partitions", "warm_days", "dense_days_before", "timed_days")
    return {name: getattr(world, name) for name in names}


def _log_figures(log: Log) -> dict[str, Any]:
    return {
        "transactions": log.transactions,
        "value_bytes_mean": round(log.value_bytes / log.transactions),
        "value_bytes_least": log.value_bytes_least,
    }


def _publish_rules(kafka: Kafka, emission: Emission) -> str:
    """Publish the packaged signals with another emission; return the rules' id."""
    outbox = Outbox(kafka.address)
    rules_id = publish(outbox, topics.ARTEFACT, msgspec.structs.replace(packaged(), emission=emission).encode())
    outbox.close()
    return rules_id


def _drain(
    world: World, kafka: Kafka, log: Log, folder: Path, rules_id: str, *flags: str
) -> tuple[Drained, dict[str, int]]:
    """Return one drain from the warm state on, and the sums over the state after it."""
    with warm.warm_redis(world, folder / "redis") as redis:
        settings = drains.settings_of(kafka.address, redis.url, world.partitions, f"{folder.name}-")
        warm.activate_rules(settings, rules_id)
        drained = drains.drain(settings, redis, kafka, log, folder / "workers", *flags)
        _print(f"{folder.name}: {log.transactions / drained.wall_s:,.0f} transactions a second")
        return drained, state_sums(settings)


def _drain_figures(world: World, log: Log, runs: list[Drained], left: dict[str, int]) -> dict[str, Any]:
    middle = _middle(runs)
    before = warm.warm_sums(world)
    txns = log.transactions
    return {
        **_rates("drain_per_s", log, runs),
        "partitions_of_workers": middle.shares,
        "cpu_us_per_txn": _cpu_us(middle, log),
        "outputs": middle.outputs,
        "score_rows_per_txn": round(middle.outputs[topics.SCORE] / txns, 3),
        "alerts": middle.outputs[topics.ALERT_SUPERVISOR],
        "closes": left["closed_days"] - before["closed_days"],
        "applied": left["applied"] - before["applied"],
        "late": left["late"] - before["late"],
        "duplicates": left["duplicate"] - before["duplicate"],
        "non_null_core_share": round(left["non_null_cells"] / left["cells"], 3),
        "redis_keys": middle.redis_keys,
        "redis_bytes": middle.redis_bytes,
    }


def _lean_figures(log: Log, runs: list[Drained]) -> dict[str, Any]:
    middle = _middle(runs)
    return {
        **_rates("lean_per_s", log, runs),
        "lean_cpu_us_per_txn": _cpu_us(middle, log),
        "lean_score_rows_per_txn": round(middle.outputs[topics.SCORE] / log.transactions, 3),
    }


def _rates(name: str, log: Log, runs: list[Drained]) -> dict[str, Any]:
    rates = [log.transactions / one.wall_s for one in runs]
    return {name: round(median(rates)), f"{name}_runs": [round(rate) for rate in rates]}


def _middle(runs: list[Drained]) -> Drained:
    """Return the run with the median rate of an odd number of runs."""
    return sorted(runs, key=lambda one: one.wall_s)[len(runs) // 2]


def _cpu_us(drained: Drained, log: Log) -> dict[str, float]:
    """Return the CPU time of a transaction by process, in microseconds."""
    return {name: round(sum(of.values()) / log.transactions * 1e6, 2) for name, of in drained.cpu_s.items()}


def _stages(drained: Drained, log: Log) -> dict[str, Any]:
    """Return the CPU time of a transaction by stage, in microseconds, over all workers of a run with `--stages`."""
    total: dict[str, dict[str, float]] = {"stages_s": {}, "threads_s": {}}
    for worker in drained.stages:
        for kind, sums in total.items():
            for name, seconds in worker[kind].items():
                sums[name] = sums.get(name, 0.0) + seconds
    by_kind = {
        kind.removesuffix("_s") + "_us_per_txn": {
            name: round(seconds / log.transactions * 1e6, 3) for name, seconds in sorted(sums.items())
        }
        for kind, sums in total.items()
    }
    return by_kind | {"per_s": round(log.transactions / drained.wall_s)}


def _yardsticks(world: World, kafka: Kafka, log: Log, folder: Path, scale: float) -> dict[str, Any]:
    drains.make_topic(kafka.address, ALERTS, 4)
    bare = [_yardstick("bare_loop", kafka.address, topics.EVENTS, f"bare{i}", log.transactions) for i in range(RUNS)]
    records = round(STOCK_RECORDS * scale)
    _copy_first(kafka, world.partitions, records)
    with parts.redis(folder / "stock-redis") as redis:
        stock = _yardstick("stock_faust", kafka.address, STOCK_TOPIC, "stock", records, redis.url)
    return {
        "bare_loop_per_s": round(median(one["per_s"] for one in bare)),
        "bare_loop_per_s_runs": [round(one["per_s"]) for one in bare],
        "bare_loop_cpu_us_per_txn": round(median(one["cpu_s"] for one in bare) / log.transactions * 1e6, 2),
        "stock_faust_redis_river_per_s": round(stock["per_s"]),
        "stock_faust_redis_river_cpu_us_per_txn": round(stock["cpu_s"] / records * 1e6, 1),
    }


def _yardstick(name: str, bootstrap: str, topic: str, group: str, transactions: int, *more: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", f"benchmarks.yardsticks.{name}", bootstrap, topic, group, str(transactions), *more]
    done = subprocess.run(
        argv, cwd=results.ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=True, timeout=YARDSTICK_S_MAX
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result["per_s"] = result["transactions"] / result["wall_s"]
    _print(f"{name}: {result['per_s']:,.0f} transactions a second")
    return result


def _copy_first(kafka: Kafka, partitions: int, records: int) -> None:
    """Copy the first transactions of the log to the yardstick's topic."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    drains.make_topic(kafka.address, STOCK_TOPIC, 4)
    writer = drains.BulkProducer(kafka.address)
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": "copy", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topics.EVENTS, p, OFFSET_BEGINNING) for p in range(partitions)])
    copied = 0
    while copied < records:
        for message in consumer.consume(5_000, 1.0):
            if copied < records and message.value().startswith(b'{"event":{"type":"txn"'):
                writer.write(STOCK_TOPIC, message.value(), message.key())
                copied += 1
    consumer.close()
    writer.flush()
