"""Runs of many mutated inputs: processes with a bound on memory, which report their outcomes."""

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_ADDRESS_BYTES = 2 << 30  # beyond what a process has when the run begins: what is asked for, not only what is touched


def watched(count: int, check: Callable[[int], Sequence[str]], *, grown_bytes_max: int) -> dict[str, Any]:
    """Call `check(n)` for each n below `count`; return the count of each answer, the time, and the growth of memory."""
    address_bytes = _status_bytes("VmSize") + _ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (address_bytes, address_bytes))
    seen: Counter[str] = Counter()
    begin_s = time.process_time()
    grown = grown_bytes(lambda: seen.update(answer for n in range(count) for answer in check(n)))
    took_s = time.process_time() - begin_s
    assert grown <= grown_bytes_max, f"memory grew by {grown:,} bytes, at most {grown_bytes_max:,}"
    return {"count": count, "cpu_s": took_s, "grown_bytes": grown, "seen": seen}


def grown_bytes(step: Callable[[], object]) -> int:
    """By how much memory grows at most while `step` runs."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status_bytes("VmRSS")
    step()
    return _status_bytes("VmHWM") - before


def in_processes(module: str, seed: int, count: int, *more: str, timeout_s: float) -> dict[str, Any]:
    """Run `python -m module` with different seeds, one process a core; return their joint outcomes."""
    workers = os.cpu_count() or 1
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(seed + worker), str(count // workers), *more],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for worker in range(workers)
    ]
    until_s, found = time.monotonic() + timeout_s, []
    try:
        for process in processes:
            out, err = process.communicate(timeout=max(until_s - time.monotonic(), 1.0))
            assert process.returncode == 0, err[-3000:]
            found.append(json.loads(out))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    cpu_s = sum(one["cpu_s"] for one in found)
    seen: Counter[str] = sum((Counter(one["seen"]) for one in found), Counter())
    total = sum(one["count"] for one in found)
    return {
        "count": total,
        "a_cpu_second": round(total / cpu_s),
        "grown_mib": max(one["grown_bytes"] for one in found) >> 20,
        "seen": dict(seen.most_common()),
    }


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))
