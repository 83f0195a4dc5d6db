"""Cores that stay awake while a latency is measured: Linux is asked for wake-ups without delay (PM QoS).

A halted core of a virtual machine is woken by its host. Where that takes a tenth of a millisecond, a latency over five
processes tells of the host, not of the engine. `/dev/cpu_dma_latency`, held open at 0, keeps idle cores polling, as
cyclictest and tuned's profile latency-performance do.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REQUEST = Path("/dev/cpu_dma_latency")
_ROUNDS = 5_000


@contextmanager
def cores_awake() -> Iterator[None]:
    """Keep idle cores from halting, where this user may ask for it (root). Elsewhere they halt, as `wake_ups` shows."""
    try:
        request = _REQUEST.open("wb", buffering=0)
    except OSError:
        yield
        return
    with request:
        request.write((0).to_bytes(4, "little"))
        yield


def wake_ups() -> dict[str, float]:
    """Return the time of a byte to another process and back, in µs: with cores that may halt, and kept from it."""
    asleep_us = _pipe_us()
    with cores_awake():
        return {"wake_ups_us_asleep": asleep_us, "wake_ups_us_awake": _pipe_us()}


def _pipe_us() -> float:
    there, here = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        for _ in range(_ROUNDS):
            os.read(there[0], 1)
            os.write(here[1], b".")
        os._exit(0)
    os.close(there[0])  # so that a child that has died is noticed
    os.close(here[1])
    begun = time.perf_counter()
    for _ in range(_ROUNDS):
        os.write(there[1], b".")
        os.read(here[0], 1)
    took_s = time.perf_counter() - begun
    os.waitpid(child, 0)
    os.close(there[1])
    os.close(here[0])
    return round(took_s / _ROUNDS * 1e6, 1)
