"""Children that end are started again, with a delay that grows; one that cannot live ends it with its name and log."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded import Child, ChildFailed
from embedded.restarts import Restarts

# Writes its process id, and ends by itself where there is a number of seconds.
PROGRAM = """
import os, sys, time
print("up", os.getpid(), flush=True)
time.sleep(float(sys.argv[1]))
sys.exit("no such bank")
"""


def child(folder: Path, seconds: float) -> Child:
    return Child("worker score", [sys.executable, "-c", PROGRAM, str(seconds)], log=folder / "score.log").launch()


def looked(restarts: Restarts, what: str) -> Callable[[], bool]:
    return lambda: restarts.look() == what


def test_a_child_that_is_killed_runs_again_after_its_delay(tmp_path: Path, eventually: Callable[..., None]) -> None:
    with child(tmp_path, 600) as running:
        restarts = Restarts(running, delays_s=(0.3, 0.6))
        assert restarts.look() is None
        first = running.pid
        for delay_s in (0.3, 0.6):
            running.kill()
            began_s = time.monotonic()
            assert restarts.look() == "ended"
            assert running.cause == "signal 9, Killed"
            assert restarts.delay_s == delay_s
            eventually(looked(restarts, "started"), 5.0, "the restart")
            assert delay_s <= time.monotonic() - began_s < delay_s + 2.0
            assert running.running
        assert running.pid != first


def test_one_that_ends_again_and_again_fails_with_its_name_and_the_last_lines_of_its_log(tmp_path: Path) -> None:
    restarts = Restarts(child(tmp_path, 0.0), delays_s=(0.05, 0.1))
    seen: list[str] = []

    def until_it_fails() -> None:
        end_s = time.monotonic() + 30.0
        while time.monotonic() < end_s:
            seen.extend(filter(None, [restarts.look()]))
            time.sleep(0.01)

    with pytest.raises(ChildFailed) as failed:
        until_it_fails()
    assert seen == ["ended", "started", "ended", "started"]
    said = str(failed.value)
    assert said.startswith("worker score ended (status 1), 3 ends without a run of 60 s in between; ")
    assert said.endswith("no such bank")


def test_a_run_that_was_long_enough_begins_the_count_anew(tmp_path: Path, eventually: Callable[..., None]) -> None:
    with child(tmp_path, 0.3) as running:
        restarts = Restarts(running, delays_s=(0.01,), proven_s=0.2)
        for _ in range(4):
            eventually(looked(restarts, "ended"), 10.0, "an end")
            eventually(looked(restarts, "started"), 10.0, "a restart")
