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
