import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedded import Child, ChildFailed
from tests.processes import is_gone, take_sigint

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)

# The thread that starts the child ends before the parent is killed: the death signal must be the process's.
PARENT = """
import sys, threading, time
from pathlib import Path
from embedded import Child
child = Child("sleeper", ["sleep", "600"], log=Path(sys.argv[1]))
def start():
    child.launch().wait_ready(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\\n")
starter = threading.Thread(target=start)
starter.start()
starter.join()
time.sleep(0.3)
print(child.pid if child.running else "dead", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_killed_parent_leaves_no_child(tmp_path: Path, eventually: Callable[..., None]) -> None:
    argv = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = parent.stdout.readline().strip()
        parent.send_signal(signal.SIGKILL)
    assert said.isdigit(), f"the child ended with its thread: {said}"
    pid = int(said)
    eventually(lambda: is_gone(pid), 5.0, f"the end of process {pid}")


def test_a_child_that_ends_before_it_is_ready_fails_with_the_tail_of_its_log(tmp_path: Path) -> None:
    child = Child("broken", [sys.executable, "-c", "raise SystemExit('no such bank')"], log=tmp_path / "log")
    with pytest.raises(ChildFailed, match=r"broken ended \(status 1\), not ready yet(?s:.*)no such bank"):
        child.launch().wait_ready(lambda: False)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    child = Child("absent", ["/nowhere/server"], log=tmp_path / "log")
    with pytest.raises(ChildFailed, match="/nowhere/server"):
        child.launch().wait_ready(lambda: False)


def test_a_child_that_is_never_ready_is_killed_at_the_deadline(tmp_path: Path) -> None:
    child = Child("slow", ["sleep", "600"], log=tmp_path / "log").launch()
    with pytest.raises(ChildFailed, match=r"slow was not ready within 0\.2 s"):
        child.wait_ready(lambda: False, deadline_s=0.2)
    assert child.returncode == -signal.SIGKILL


def test_a_child_that_ignores_sigterm_is_killed_after_its_deadline(tmp_path: Path) -> None:
    child = Child("stubborn", [sys.executable, "-c", STUBBORN], log=tmp_path / "log", stop_deadline_s=0.3).launch()
    child.wait_ready(lambda: "up" in child.log_tail())
    assert child.stop() == -signal.SIGKILL


def test_a_paused_child_stops_by_sigterm(tmp_path: Path, eventually: Callable[..., None]) -> None:
    child = Child("paused", ["sleep", "600"], log=tmp_path / "log").launch()
    child.wait_ready(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n")
    child.signal(signal.SIGSTOP)
    eventually(lambda: "\nState:\tT" in Path(f"/proc/{child.pid}/status").read_text())
    assert child.stop() == -signal.SIGTERM


def test_ctrl_c_at_our_terminal_does_not_reach_a_child(tmp_path: Path) -> None:
    with Child("apart", ["sleep", "600"], log=tmp_path / "log").launch() as child:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_sigint_reaches_a_child_also_where_a_shell_has_it_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        take_sigint()
        with Child("told", ["sleep", "600"], log=tmp_path / "log").launch() as child:
            child.signal(signal.SIGINT)
            assert child.wait(deadline_s=10.0) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_child_takes_environment_and_folder(tmp_path: Path) -> None:
    script = "import os; print(os.environ['BANK'], os.getcwd())"
    argv, log = [sys.executable, "-c", script], tmp_path / "log"
    child = Child("told", argv, log=log, env={**os.environ, "BANK": "B01"}, cwd=tmp_path)
    assert child.launch().wait(deadline_s=10.0) == 0
    assert child.log_tail() == f"B01 {tmp_path}"
