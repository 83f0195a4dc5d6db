"""Actions on cases beside the stream: how many a second are applied, how soon, and whether alerts stay as soon.

The stream is that of the latency benchmark at its higher rate; desks act on the cases that its alerts open.
"""

import tempfile
from pathlib import Path

import msgspec

from benchmarks import awake, live, parts, results
from benchmarks.desk import DeskResult, Plan
from benchmarks.latency import ALERTS, RATES, SECONDS, WARM_UP_S, percentile
from benchmarks.results import Bound
from benchmarks.throughput import world_of
from benchmarks.world import warm

PER_S, ACTING_S, OPEN_CASES = 1_020, 40.0, 500  # from when so many cases are open
BOUNDS = {
    "actions_per_s": Bound(least=1_000),
    "actions_unanswered": Bound(most=0),
    "action_p99_ms": Bound(most=250),
    "alert_p99_ms": Bound(most=250),
    "alerts": Bound(least=1_000),
}


def run(argv: list[str]) -> int:
    """Measure; return 1 where a bound is missed or the tree is dirty. `--scale` shortens time and lowers rates."""
    args = results.arguments(__doc__, argv)
    parts.pin()
    world, rate, seconds = world_of(args.scale), max(RATES), max(5.0, SECONDS * args.scale)
    warm.warm_sums(world)
    with tempfile.TemporaryDirectory(prefix="xinliu-case-actions-") as name:
        folder = Path(name) / "run"
        result, _ = live.paced(
            world,
            folder,
            per_s=round(rate * min(1.0, args.scale * 10)),
            seconds=seconds,
            warm_up_s=max(2.0, WARM_UP_S * args.scale),
            alerts=round(ALERTS * seconds / SECONDS),
            desk=lambda bootstrap: Plan(
                bootstrap=bootstrap,
                per_s=round(PER_S * min(1.0, args.scale * 10)),
                seconds=ACTING_S * seconds / SECONDS,
                open_cases=round(OPEN_CASES * seconds / SECONDS),
            ),
        )
        desk = msgspec.json.decode((folder / "desk.json").read_bytes(), type=DeskResult)
    actions, alerts = sorted(desk.latency_ms), sorted(result.latency_ms)
    figures = {
        **awake.wake_ups(),
        "transactions_per_s": round(result.sent / result.wall_s),
        "actions": desk.sent,
        "actions_per_s": round(len(actions) / desk.seconds),
        "actions_unanswered": desk.sent - len(actions),
        "action_p50_ms": percentile(actions, 50),
        "action_p99_ms": percentile(actions, 99),
        "alerts": len(alerts),
        "alert_p50_ms": percentile(alerts, 50),
        "alert_p99_ms": percentile(alerts, 99),
    }
    return results.report("case_actions", args, figures, BOUNDS)
