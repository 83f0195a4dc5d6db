"""The end of a process that does not stop in time: it says what it waits for, and exits."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any


def set_stop_deadline(name: str, after_s: float, loops: Sequence[asyncio.AbstractEventLoop]) -> threading.Timer:
    """Start a timer that ends this process with exit code 1 after `after_s` seconds, unless it is cancelled.

    `loops`: those of whose tasks it then says where they wait.
    """
    timer = threading.Timer(after_s, _give_up, [name, after_s, loops])
    timer.daemon = True
    timer.start()
    return timer


def _give_up(name: str, after_s: float, loops: Sequence[asyncio.AbstractEventLoop]) -> None:
    try:
        tasks = [task for loop in loops for task in asyncio.all_tasks(loop)]
        lines = [f"{name}: did not stop in {after_s:g} s, ends itself. Its tasks wait at:", *map(_waits_at, tasks)]
        print("\n  ".join(lines), file=sys.stderr, flush=True)
        faulthandler.dump_traceback(file=sys.stderr)
    finally:
        os._exit(1)


def _waits_at(task: asyncio.Task[Any]) -> str:
    """Return the calls under way in a task, outermost first, and the future that the innermost waits for."""
    calls: list[str] = []
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        calls.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        awaited = awaited.cr_await
    return f"{task.get_name()}: {' > '.join(calls)} > {awaited!r}"
