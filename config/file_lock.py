"""Locks on files: each ends with its process, and its file names the process that holds it."""

import fcntl
import os
from pathlib import Path
from typing import IO


class LockHeld(Exception):
    """Another process holds the lock. `holder`: its process id, "unknown" where that is just being written."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by process {holder}")
        self.holder = holder


def hold(path: Path) -> IO[str]:
    """Hold the lock of a file, which is made where there is none, until the handle is closed or we die. LockHeld."""
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise LockHeld(path, _holder(path)) from None
    _sign(handle)
    return handle


def _holder(path: Path) -> str:
    return path.read_text(errors="replace").strip() or "unknown"


def _sign(handle: IO[str]) -> None:
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
