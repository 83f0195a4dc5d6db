"""Latency from a bank's topic to the subscriber of an alert, at two rates; and the rate with bad input.

Only alerts count: those of borrowers with an overdue instalment, among ordinary transactions.
"""

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import awake, bad_input, live, parts, results
from benchmarks.results import Bound
from benchmarks.throughput import world_of
from benchmarks.world import warm
from benchmarks.world.log import World

RATES, SECONDS, WARM_UP_S, ALERTS = (1_000, 10_000), 60.0, 20.0, 3_000  # no midnight of its event time is in it
BOUNDS = {
    "alerts_at_1000_per_s": Bound(least=1_000),
    "alerts_at_10000_per_s": Bound(least=1_000),
    "p99_ms_at_1000_per_s": Bound(most=250),
    "p99_ms_at_10000_per_s": Bound(most=250),
    "bad_input_unexpected": Bound(most=0),
    "bad_input_to_clean_rate": Bound(least=0.8),
}
_print = Console(stderr=True).print


def run(argv: list[str]) -> int:
    """Measure; return 1 where a bound is missed or the tree is dirty. `--scale` shortens time and lowers rates."""
    args = results.arguments(__doc__, argv)
    parts.pin()
    world = world_of(args.scale)
    warm.warm_sums(world)
    figures: dict[str, Any] = {**awake.wake_ups()}
    with tempfile.TemporaryDirectory(prefix="xinliu-latency-") as name:
        for rate in RATES:
            figures |= _at(world, Path(name) / f"rate{rate}", rate, args.scale)
        figures |= bad_input.measure(world, Path(name) / "bad-input", args.scale)
    return results.report("latency", args, figures, BOUNDS)


def _at(world: World, folder: Path, rate: int, scale: float) -> dict[str, Any]:
    seconds = max(5.0, SECONDS * scale)
    result, _ = live.paced(
        world,
        folder,
        per_s=rate,
        seconds=seconds,
        warm_up_s=max(2.0, WARM_UP_S * scale),
        alerts=round(ALERTS * seconds / SECONDS),
    )
    found = sorted(result.latency_ms)
    _print(f"{rate:,} a second: {len(found)} alerts of {result.alerts_asked}, {percentile(found, 99)} ms in 99%")
    return {
        f"sent_per_s_at_{rate}_per_s": round(result.sent / result.wall_s),
        f"alerts_at_{rate}_per_s": len(found),
        f"p50_ms_at_{rate}_per_s": percentile(found, 50),
        f"p99_ms_at_{rate}_per_s": percentile(found, 99),
        f"max_ms_at_{rate}_per_s": percentile(found, 100),
    }


def percentile(ascending: list[float], percent: float) -> float | None:
    """Return the percentile by nearest rank, rounded to a tenth; None where there is no value."""
    if not ascending:
        return None
    rank = max(1, -(-len(ascending) * percent // 100))
    return round(ascending[int(rank) - 1], 1)
