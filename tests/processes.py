"""Processes, as Linux shows them."""

from pathlib import Path


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, reaped or not."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
