"""Locks on files: each ends with its process, and its file names the process that holds it."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import IO

SAY_S = 10.0
_PID_DIGITS_MAX = 10


class LockHeld(Exception):
    """Another process holds the lock. `holder`: its process id, "unknown" where that is just being written."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by process {holder}")
        self.holder = holder


def hold(path: Path) -> IO[str]:
    """Hold the lock of a file, created where it is missing, until the handle is closed or the process ends.

    Raise LockHeld, with the holder's process id, where another process has it.
    """
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise LockHeld(path, _holder(path)) from None
    _sign(handle)
    return handle


def wait(path: Path, say: Callable[[str], None]) -> IO[str]:
    """Hold the lock of a file as `hold`, once whoever holds it lets go.

    Where that takes longer than SAY_S, `say` is called once, in another thread, with the holder's process id.
    """
    try:
        return hold(path)
    except LockHeld:
        pass
    handle = _open(path)
    timer = Timer(SAY_S, lambda: say(_holder(path)))
    timer.daemon = True
    timer.start()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except BaseException:
        handle.close()
        raise
    finally:
        timer.cancel()
    _sign(handle)
    return handle


def _holder(path: Path) -> str:
    return path.read_text(errors="replace").strip() or "unknown"


def _open(path: Path) -> IO[str]:
    return open(path, "r+", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))


def _sign(handle: IO[str]) -> None:
    """Write the holder over the last one: to truncate the file takes a disk milliseconds, at each kernel of a start."""
    os.pwrite(handle.fileno(), f"{os.getpid():<{_PID_DIGITS_MAX}}\n".encode(), 0)
