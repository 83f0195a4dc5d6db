"""A worker that cannot stop: it ends itself at its deadline, and says what it waits for."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from embedded import Child


def test_a_worker_that_does_not_stop_in_time_ends_itself_and_says_where_it_waits(
    kafka: str, make_topic: Callable[..., str], tmp_path: Path, eventually: Callable[..., None]
) -> None:
    given = [kafka, make_topic("stubborn"), str(tmp_path / "base"), "0.5"]
    argv = [sys.executable, "-m", "tests.streams.worker.never_stops", *given]
    child = Child("stubborn", argv, log=tmp_path / "log", env=dict(os.environ)).launch()
    try:
        eventually(lambda: "assigned" in child.log_tail() or not child.running, 30, "the assignment")
        assert child.stop() == 1
        said = child.log_tail(400)
        assert "stubborn: did not stop in 0.5 s, ends itself" in said
        (place,) = [line for line in said.splitlines() if "NeverStops.revoked" in line]
        assert "Worker._serve" in place
        assert "GroupCoordinator._coordination_routine" in said, "of the thread that talks with Kafka too"
        assert "Current thread" in said
    finally:
        child.kill()
