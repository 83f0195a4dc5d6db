"""Difficulty of simulated provinces: AUC of models trained on the engine's indicators.

`python -m benchmarks.hardness --seeds 2 3 --enterprises 5000` simulates each and judges it as `xinliu backtest` does;
the figures go to benchmarks/results/hardness.json, from which `make docs` writes the table of docs/simulator.md. `make
bench B=warning` holds the same figure to its bounds at full size. Needs the extra `evaluate`.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT
from replay.backtest.report import Figure, Report
from replay.backtest.run import Options, backtest
from replay.log_file import LogFile
from replay.province.log import write_log
from replay.province.parameters import read_toml
from replay.province.population import Population
from streams.score.version import engine_version

RESULT = ROOT / "benchmarks/results/hardness.json"
ENTERPRISES, SEEDS, RESAMPLES = 5_000, (2, 3), 200
RANKS = {"lightgbm_365": 365, "stumps_365": 365, "lightgbm_95": 95, "stumps_95": 95, "score": 95}  # and horizons, days


def main(argv: Sequence[str]) -> int:
    """Measure each seed, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hardness", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--enterprises", type=int, default=ENTERPRISES)
    parser.add_argument("--population", type=Path, help="other parameters (TOML)")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args(argv)
    default = Population(enterprises=args.enterprises)
    base = default if args.population is None else read_toml(args.population, default)
    worlds = [measured(dataclasses.replace(base, seed=seed)) for seed in args.seeds]
    document = {"engine_version": engine_version(), "worlds": worlds}
    args.result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def measured(population: Population) -> dict[str, Any]:
    """Return the figures of a world."""
    with tempfile.TemporaryDirectory(prefix="xinliu-hardness-") as folder:
        path = Path(folder) / "province.log"
        write_log(population, path, say=_log)
        truth = path.with_name(f"{path.name}.truth.parquet")
        report = backtest(LogFile(path), Options(truth=truth, resamples=RESAMPLES), _log)
    return {
        "seed": population.seed,
        "enterprises": population.enterprises,
        "parameters": population.parameters,
        "borrowers": report.counts.borrowers,
        "bad": report.counts.bad,
        "bad_rate_year": _figure(report.counts.bad_rate_year),
        **{rank: _auc(report, rank) for rank in RANKS},
        "scenarios": {
            one.group: {"bad": one.bad, "auc": one.auc.value}
            for one in report.separation
            if one.by == "scenario" and one.rank == "lightgbm_365"
        },
    }


def _auc(report: Report, rank: str) -> dict[str, Any] | None:
    for one in report.separation:
        if one.by == "all" and one.rank == rank and one.horizon_days == RANKS[rank]:
            return _figure(one.auc)
    return None


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
