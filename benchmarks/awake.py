"""Cores that stay awake while a latency is measured, as `idle=poll` on the kernel's command line would keep them.

A halted core of a virtual machine is woken by its host. Where that takes a tenth of a millisecond, a latency over five
processes tells of the host, not of the engine. A process of the class SCHED_IDLE on each core leaves none idle; it
gives way to any other process at once.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from embedded import Child

_ROOT = Path(__file__).resolve().parent.parent
_ROUNDS = 5_000


@contextmanager
def cores_awake(folder: Path) -> Iterator[None]:
    """Keep every core of this process busy with a process that gives way to all others. folder: of their logs."""
    with ExitStack() as all_of_them:
        for core in sorted(os.sched_getaffinity(0)):
            argv = [sys.executable, "-m", "benchmarks.awake", str(core)]
            name = f"awake-{core}"
            child = Child(name, argv, log=folder / f"{name}.log", cwd=_ROOT).launch()
            all_of_them.enter_context(child).wait_ready(
                lambda pid=child.pid: os.sched_getscheduler(pid) == os.SCHED_IDLE
            )
        yield


def wake_ups(folder: Path) -> dict[str, float]:
    """Return the time of a byte to another process and back, in µs, with cores that may sleep and with awake ones."""
    asleep_us = _pipe_us()
    with cores_awake(folder):
        return {"wake_ups_us_asleep": asleep_us, "wake_ups_us_awake": _pipe_us()}


def _pipe_us() -> float:
    there, here = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        for _ in range(_ROUNDS):
            os.read(there[0], 1)
            os.write(here[1], b".")
        os._exit(0)
    begun = time.perf_counter()
    for _ in range(_ROUNDS):
        os.write(there[1], b".")
        os.read(here[0], 1)
    took_s = time.perf_counter() - begun
    os.waitpid(child, 0)
    for end in (*there, *here):
        os.close(end)
    return round(took_s / _ROUNDS * 1e6, 1)


def _spin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


if __name__ == "__main__":
    _spin(int(sys.argv[1]))
