"""A lock on a file has one holder, by its process id, and ends with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from config import file_lock

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from config.file_lock import hold
handle = hold(Path(sys.argv[1]))
print(flush=True)
time.sleep(600)
"""


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock of `path`, until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            yield holder
        finally:
            holder.kill()


def test_a_lock_has_one_holder_and_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        held(path) as holder,
        pytest.raises(file_lock.LockHeld, match=f"{path} is held by process {holder.pid}") as why,
    ):
        file_lock.hold(path)
    assert why.value.holder == str(holder.pid)
    with file_lock.hold(path):
        assert path.read_text().split() == [str(os.getpid())]
    file_lock.hold(path).close()


def test_a_waiting_process_names_the_holder_of_the_lock_and_goes_on_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "SAY_S", 0.3)
    path, said, taken = tmp_path / "lock", Queue[str](), Queue[str]()

    def take() -> None:
        file_lock.wait(path, said.put).close()
        taken.put("taken")

    with held(path) as holder:
        waiting = Thread(target=take)
        waiting.start()
        assert said.get(timeout=30) == str(holder.pid)
        assert taken.empty()
    assert taken.get(timeout=30) == "taken"
    waiting.join()
    file_lock.wait(path, said.put).close()
    assert said.empty(), "what is free is taken without a word"


def test_a_holder_that_has_not_yet_signed_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock.hold(path), path.open("w"), pytest.raises(file_lock.LockHeld, match="process unknown"):
        file_lock.hold(path)
