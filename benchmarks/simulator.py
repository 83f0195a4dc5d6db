"""Speed of `xinliu simulate --out`: a province into a file, in a process of its own from start to end."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import results
from benchmarks.results import Bound
from replay.log_file import LogFile

ENTERPRISES, MONTHS, SEED = 20_000, 24, 1
BOUNDS = {
    "records_per_s": Bound(least=60_000),
    "seconds": Bound(most=360),
    "memory_bytes": Bound(most=4 << 30),
}


def run(argv: list[str]) -> int:
    """Measure and write the result; return 1 where a bound is missed."""
    args = results.arguments(__doc__, argv)
    enterprises = max(100, int(ENTERPRISES * args.scale))
    with tempfile.TemporaryDirectory(prefix="xinliu-bench-") as temporary:
        warm = Path(temporary) / "warm.log"
        _simulate(warm, 100, 1)  # the kernels are compiled before the clock starts
        figures = _simulate(Path(temporary) / "province.log", enterprises, MONTHS)
    bounds = BOUNDS if args.scale == 1.0 else {}
    return results.report("simulator", args, figures, bounds)


def _simulate(path: Path, enterprises: int, months: int) -> Mapping[str, Any]:
    options = ["--enterprises", str(enterprises), "--months", str(months), "--seed", str(SEED)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    argv = [sys.executable, "-m", "cli.main", "simulate", "--out", str(path), *options]
    subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)
    seconds, after = perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    records = sum(LogFile(path).record_counts().values())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "enterprises": enterprises,
        "months": months,
        "seed": SEED,
        "records": records,
        "seconds": round(seconds, 1),
        "records_per_s": round(records / seconds),
        "cpu_s": round(cpu_s, 1),
        "memory_bytes": after.ru_maxrss * 1024,
        "file_bytes": path.stat().st_size,
    }
