"""Processes, as Linux shows them."""

import signal
from pathlib import Path


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, reaped or not."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def take_sigint() -> None:
    """Restore the handler of SIGINT where it is ignored: a shell starts background jobs so, and children inherit it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def children_of(pid: int, running: bytes = b"") -> list[int]:
    """Return the processes that any thread of a process has started, of which the command line has `running`."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            try:
                if running in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
            except FileNotFoundError:
                continue  # it has ended meanwhile
    return found


def replays_of(pid: int) -> list[int]:
    """Return the processes that replay partitions for a process."""
    return children_of(pid, b"spawn_main")
