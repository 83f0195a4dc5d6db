"""What a figure was measured on: it is worth nothing without."""

import os
import platform
import re
import subprocess
from pathlib import Path


def describe() -> str:
    """`2 cores, Intel Xeon …, 8 GiB, Linux 6.1`."""
    cores = len(os.sched_getaffinity(0))
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory_kib = re.search(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    memory_gib = round(int(memory_kib[1]) / 2**20) if memory_kib else 0
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{cores} cores, {model[1] if model else platform.machine()}, {memory_gib} GiB, Linux {kernel}"


def commit(root: Path) -> str:
    """Short hash of what stands in `root`, with `+` where files differ from it."""
    return _git(root, "rev-parse", "--short", "HEAD") + ("+" if _git(root, "status", "--porcelain") else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
