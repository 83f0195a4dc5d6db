"""The machine and the versions behind a figure."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.parts import redis_binary
from embedded.kafka import java_binary
from embedded.redis import release_of

_PACKAGES = ("numpy", "numba", "faust-streaming", "aiokafka", "confluent-kafka", "redis", "river", "msgspec", "orjson")
_JARS = Path(__file__).resolve().parent.parent / "embedded" / "kafka.lock"


def describe() -> str:
    """Return cores, CPU model, memory and kernel, and the Redis server where it is not that of production.

    Like `2 cores, Intel Xeon …, 8 GiB, Linux 6.1`.
    """
    cores = len(os.sched_getaffinity(0))
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory_kib = re.search(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    memory_gib = round(int(memory_kib[1]) / 2**20) if memory_kib else 0
    kernel = ".".join(platform.release().split(".")[:2])
    release = release_of(redis_binary())
    bundled = "" if release.product == "Redis" else f", {release} in place of redis-server"
    return f"{cores} cores, {model[1] if model else platform.machine()}, {memory_gib} GiB, Linux {kernel}{bundled}"


def versions() -> dict[str, str]:
    """Return the versions of Python, the packages on the measured path, Kafka, Java and Redis."""
    java = subprocess.run([java_binary(), "-version"], capture_output=True, text=True, check=True).stderr
    kafka = re.search(r"kafka_2\.13:([\d.]+)", _JARS.read_text())
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "kafka": kafka[1] if kafka else "unknown",
        "java": java.splitlines()[0],
        "redis": str(release_of(redis_binary())),
    }


def commit(root: Path) -> str:
    """Return the short hash of HEAD in `root`, with `+` where files differ from it."""
    return _git(root, "rev-parse", "--short", "HEAD") + ("+" if is_dirty(root) else "")


def is_dirty(root: Path) -> bool:
    """Return whether files differ from the commit; the results themselves do not count."""
    return bool(_git(root, "status", "--porcelain", "--", ".", ":!benchmarks/results", ":!benchmarks/*.md"))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
