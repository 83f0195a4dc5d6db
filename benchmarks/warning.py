"""Quality of warnings: the packaged rules and the score on three seeds of the simulated province and on a changed one.

Each world is simulated once, into the user's cache folder (some 4 GB each at full size), and replayed and judged as
`xinliu backtest` does. None of them is among the worlds on which the rules were chosen (config/tuned_on.toml). The
worlds are simulated again when the simulator changes. At full size docs/warning.md is written anew; `--enterprises
1000` takes some minutes and shows that it runs. `--data DIR` judges the data sets instead, each in the folder of its
name in DIR; `--learn` judges the score that learns (warning_score.py), on one more world that drifts.
"""

import argparse
import dataclasses
import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import results, warning_doc, warning_score
from detectors.rules.artefact import packaged_rules
from kernels.folders import cache_root
from kernels.sources import ROOT, closure, essence
from replay.backtest import datasets
from replay.backtest.markdown import is_plain
from replay.backtest.report import Report
from replay.backtest.run import Options, backtest
from replay.in_process import cores
from replay.log_file import LogFile
from replay.province.log import write_log
from replay.province.parameters import read_toml
from replay.province.population import Population

ENTERPRISES, MONTHS = 20_000, 24
SEEDS = (11, 12, 13)
CHANGED, CHANGED_SEED = Path(__file__).with_name("changed_world.toml"), 14
RANK = "lightgbm_365"  # its AUC should be that of published scores of small enterprises (docs/simulator.md)
BOUNDS = {
    "judging_s": results.Bound(most=20 * 60),
    "ceiling_auc_least": results.Bound(least=0.80),
    "ceiling_auc_most": results.Bound(most=0.92),
    "results": results.Bound(least=len(SEEDS) + 1),
}
STEPS = {
    "reading the log for facts": "facts", "replaying the log": "replay", "measuring the load on desks": "cases",
    "training the ceilings": "ceilings", "evaluating the ranks": "ranks",
    "timelines of the worst misses and false alarms": "timelines",
}  # fmt: skip


def run(argv: list[str]) -> int:
    """Judge, and write the result; return 1 where it takes too long, or a world's AUC is out of bounds."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--enterprises", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--learn", action="store_true")
    own, others = parser.parse_known_args(argv)
    options = (
        f"--enterprises N: of each world (default: {ENTERPRISES:,}, with --learn {warning_score.ENTERPRISES:,}); "
        "--data DIR: the data sets instead; --learn: the score that learns"
    )
    args = results.arguments(f"{__doc__}\n{options}", others)
    size = warning_score.ENTERPRISES if own.learn else ENTERPRISES
    enterprises = own.enterprises or size
    if own.data is not None:
        code = _data(own.data, args)
    elif own.learn:
        args.scale = enterprises / size
        return _learned(enterprises, args)
    else:
        args.scale = enterprises / size
        code = _provinces(enterprises, args)
    if args.scale == 1.0:
        warning_doc.write()
    return code


def _provinces(enterprises: int, args: argparse.Namespace) -> int:
    worlds = []
    for name, population in _worlds(enterprises):
        timer = _Timer(name)
        log, truth = _log_of(population, timer)
        worlds.append(_judged(name, log, Options(truth=truth), timer))
    aucs = [one["ceiling_auc_365"] for one in worlds if one["ceiling_auc_365"] is not None]
    figures = {
        "worlds": worlds,
        "judging_s": _judging_s(worlds),
        "ceiling_auc_least": min(aucs, default=None),
        "ceiling_auc_most": max(aucs, default=None),
        "results": sum(one["is_result"] for one in worlds),
        "memory_bytes": _memory_bytes(),
    }
    return results.report("warning", args, figures, BOUNDS)


def _learned(enterprises: int, args: argparse.Namespace) -> int:
    drifted = Population(
        seed=warning_score.DRIFT_SEED, enterprises=enterprises, months=MONTHS, drift=warning_score.DRIFT
    )
    named = (*_worlds(enterprises), ("drift", drifted))
    with ProcessPoolExecutor(cores()) as pool:  # a learner is one process: worlds go side by side
        return warning_score.report(list(pool.map(_learned_world, *zip(*named, strict=True))), args)


def _learned_world(name: str, population: Population) -> dict[str, Any]:
    timer, reports = _Timer(name), {}
    log, truth = _log_of(population, timer)
    for way in warning_score.WAYS:
        timer.log(f"{name}: {way}")
        reports[way] = backtest(LogFile(log), warning_score.options_of(way, truth), timer)
    timer.stop()
    return {"name": name, "seconds": timer.seconds, **warning_score.figures(reports)}


def _data(folder: Path, args: argparse.Namespace) -> int:
    judged = []
    for name in datasets.NAMES:
        timer = _Timer(name)
        with tempfile.TemporaryDirectory(prefix="xinliu-bench-") as temporary:
            log = Path(temporary) / "events.log"
            timer.step("log")
            labels = datasets.make(name, folder / name, log, timer.log)
            judged.append(_judged(name, log, Options(labels=labels), timer))
    figures = {
        "worlds": judged,
        "judging_s": _judging_s(judged),
        "results": sum(one["is_result"] for one in judged),
    }
    return results.report("warning_data", args, figures, {})


def _worlds(enterprises: int) -> Iterator[tuple[str, Population]]:
    size = {"enterprises": enterprises, "months": MONTHS}
    for seed in SEEDS:
        yield f"seed {seed}", Population(seed=seed, **size)
    yield "changed", dataclasses.replace(read_toml(CHANGED, Population()), seed=CHANGED_SEED, **size)


def _judged(name: str, log: Path, options: Options, timer: "_Timer") -> dict[str, Any]:
    report = backtest(LogFile(log), options, timer)
    timer.stop()
    return {"name": name, "seconds": timer.seconds, **_figures(report)}


def _log_of(population: Population, timer: "_Timer") -> tuple[Path, Path]:
    """Return the log and the truth of a population, from the cache folder or simulated now."""
    worlds, name = cache_root() / "worlds", f"{population.parameters}-{population.seed}"
    log = worlds / f"{name}-{simulator_digest()[:8]}.log"
    truth = log.with_name(f"{log.name}.truth.csv")
    if not (log.exists() and truth.exists()):
        for old in worlds.glob(f"*{name}-*.log*"):
            old.unlink()  # of another version of the simulator, or incomplete after a kill
        timer.step("simulation")
        write_log(population, log, say=timer.log)
    return log, truth


def simulator_digest() -> str:
    """Return the SHA-256 (hex) of the sources behind a simulated log: the simulator, the events, the calendar.

    The tables of rules and indicators, imported through the settings, change nothing in it.
    """
    total = hashlib.sha256()
    for name in simulator_sources():
        path = ROOT / name
        total.update(name.encode() + b"\0" + (essence(path) if path.suffix == ".py" else path.read_bytes()))
    return total.hexdigest()


def simulator_sources() -> list[str]:
    """Return the paths below ROOT of what a simulated log follows from."""
    rooms = ("replay/province/", "replay/workdays", "replay/gateway", "domain/", "config/workdays", "config/spring")
    names = sorted(path.relative_to(ROOT).as_posix() for path in closure(ROOT / "replay/province/log.py"))
    return [name for name in names if name.startswith(rooms)]


def _judging_s(worlds: list[dict[str, Any]]) -> int:
    return round(sum(sum(one["seconds"].values()) - one["seconds"].get("simulation", 0) for one in worlds))


def _memory_bytes() -> int:
    """Return the peak memory of this process, or of one child times the cores, whichever is more."""
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, cores() * child) * 1024


class _Timer:
    """Prints progress, and measures the seconds of each step."""

    def __init__(self, name: str) -> None:
        self.seconds: dict[str, int] = {}
        self._name, self._began_s, self._step = name, time.monotonic(), "reading"

    def __call__(self, text: str) -> None:
        """Print a line of a backtest's progress; some lines begin a step."""
        if text in STEPS:
            self.step(STEPS[text])
        self.log(text)

    def log(self, text: str) -> None:
        """Print a line."""
        print(f"{self._name} [{self._step}] {text}", file=sys.stderr, flush=True)

    def step(self, name: str) -> None:
        """Begin another step."""
        self.stop()
        self._step = name

    def stop(self) -> None:
        """End the current step."""
        now_s = time.monotonic()
        self.seconds[self._step] = self.seconds.get(self._step, 0) + round(now_s - self._began_s)
        self._began_s = now_s


def _figures(report: Report) -> dict[str, Any]:
    """Return the figures kept of a report: all but timelines, months, and each signal at each budget."""
    built = msgspec.to_builtins(report)
    provenance = built["provenance"]
    rank = _first(report.separation, lambda one: (one.rank, one.by, one.horizon_days) == (RANK, "all", 365))
    return {
        "is_result": provenance["is_result"],
        "judged_on": provenance["judged_on"],
        "tuned_on": provenance["tuned_on"],
        "parameters": built["parameters"],
        "counts": built["counts"],
        "load": [{key: value for key, value in load.items() if key != "by_month"} for load in built["load"]],
        "cases": built["cases"],
        "budgets": [one for one in built["budgets"] if is_plain(one["policy"])],
        "signals": [
            {key: value for key, value in one.items() if key not in ("alone", "without")}
            | {"alone_warned_60": one["alone"]["warned"]["60"], "alone_precision_183": one["alone"]["precision"]["183"]}
            for one in built["signals"]
        ],
        "separation": [one for one in built["separation"] if one["by"] == "all"],
        "groups": [one for one in built["groups"] if one["by"] == "scenario"],
        "calibration_ratio": _first(report.calibration, lambda one: one.by == "all" and one.ratio is not None, "ratio"),
        "silent": built["silent"],
        "quiet": _quiet(report),
        "ceiling_auc_365": None if rank is None else rank["auc"]["value"],
    }


def _quiet(report: Report) -> list[str]:
    """Return the signals in force that were computable and raised nothing."""
    raised = {one.signal for one in report.signals} | {signal for signal, _ in report.silent}
    return sorted({signal.row.id for signal in packaged_rules().evaluated} - raised)


def _first(rows: Any, wanted: Callable[[Any], bool], field: str | None = None) -> Any:
    found = next((one for one in rows if wanted(one)), None)
    return None if found is None else msgspec.to_builtins(found if field is None else getattr(found, field))
