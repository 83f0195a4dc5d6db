"""Child processes that never outlive us: their own session, a death signal from the kernel, a log that errors quote."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

LOG_BYTES_MAX = 16 * 1024 * 1024
POLL_S = 0.02

# Runs between fork and exec as a program of its own, because preexec_fn may deadlock where threads run.
# PR_SET_PDEATHSIG (1) survives exec; a parent that died before the call is seen by its pid.
_LAUNCH = """
import ctypes, os, sys
parent, signal = int(sys.argv[1]), int(sys.argv[2])
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)
try:
    os.execvp(sys.argv[3], sys.argv[3:])
except OSError as refusal:
    sys.exit(f"{sys.argv[3]}: {refusal}")
"""

# The kernel sends the death signal when the *thread* that forked ends, so one thread that ends with us does every fork.
_FORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="children")


class ChildFailed(RuntimeError):
    """A child process ended, or did not answer, when it should have; the message ends with the tail of its log."""


class PartMissing(RuntimeError):
    """A program or package that a part needs is not here; the message says what to install or to name."""


def eventually(condition: Callable[[], object], deadline_s: float = 10.0, what: str = "the condition") -> None:
    """Poll `condition` until it is true; TimeoutError naming `what` after `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come true within {deadline_s:g} s")
        time.sleep(POLL_S)


class Child:
    """One child process: started, waited for, stopped, killed or paused by us alone.

    It stands in a session of its own, so the terminal's Ctrl-C passes it by and our signals reach its children too;
    when we die the kernel sends it SIGKILL. `log` takes its output and errors, is appended to, and moves to `<log>.1`
    at a start that finds more than 16 MiB in it.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_deadline_s: float = 20.0,
    ) -> None:
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = log
        self.env = env
        self.cwd = cwd
        self.stop_deadline_s = stop_deadline_s
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> Self:
        """Start the process and return at once; RuntimeError if it runs already."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already, as process {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(f"{self.log}.1")
        self._process = _FORKER.submit(self._fork).result()
        return self

    def wait_ready(self, ready: Callable[[], bool], deadline_s: float = 60.0) -> Self:
        """Poll `ready` until true; ChildFailed if the process ends first or the deadline passes (then it is killed)."""
        end = time.monotonic() + deadline_s
        while not ready():
            if not self.running:
                raise ChildFailed(f"{self.name} ended ({self.cause}), not ready yet{self._quoted()}")
            if time.monotonic() > end:
                self.kill()
                raise ChildFailed(f"{self.name} was not ready within {deadline_s:g} s{self._quoted()}")
            time.sleep(POLL_S)
        return self

    def wait(self, deadline_s: float) -> int:
        """Return the exit status of a process that ends by itself.

        Raise ChildFailed where it does not within `deadline_s` seconds; it is then killed.
        """
        try:
            return self._started().wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ChildFailed(f"{self.name} did not end within {deadline_s:g} s{self._quoted()}") from None

    def stop(self) -> int | None:
        """Send SIGTERM, and SIGKILL after `stop_deadline_s`; return the exit status (None if it was never started)."""
        if self.running:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)  # a paused process takes SIGTERM only once it goes on
            try:
                self._started().wait(self.stop_deadline_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.returncode

    def kill(self) -> None:
        """SIGKILL to the process and its children, and wait until it is gone."""
        if self.running:
            self.signal(signal.SIGKILL)
            self._started().wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children (SIGSTOP and SIGCONT pause it and let it go on)."""
        os.killpg(self._started().pid, number)

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def cause(self) -> str:
        """Return how it ended: `status 3`, `signal 9, Killed`."""
        status = self.returncode
        return f"status {status}" if status is None or status >= 0 else f"signal {-status}, {signal.strsignal(-status)}"

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of its output."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - lines * 400))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _fork(self) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(signal.SIGKILL))]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*launcher, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
            )

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _quoted(self) -> str:
        return f"; {self.log} ends:\n{self.log_tail()}"
