"""Where a worker's CPU goes: time of the event loop's thread by stage, and of each other thread.

Only for a run of its own (`--stages`): the clock is read around every message, which costs about a microsecond each.
A stage's time is its own: what a stage calls and is a stage itself is taken off.
"""

import functools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Stages:
    """CPU seconds by stage, of the thread that made it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._thread = threading.get_ident()
        self._open: list[str] = []
        self._since = time.thread_time()
        self._threads = _python_threads_s()

    def restart(self) -> None:
        """Count from here on; called between stages."""
        self._charge()
        self.seconds.clear()
        self.calls.clear()
        self._threads = _python_threads_s()

    def enter(self, stage: str) -> None:
        """From here on time is this stage's."""
        self._charge()
        self.calls[stage] += 1
        self._open.append(stage)

    def leave(self) -> None:
        """Back to the stage before."""
        self._charge()
        self._open.pop()

    def wrapped(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, its time counted; where another thread calls it, nothing is."""

        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return call(*args, **kwargs)
            self.enter(stage)
            try:
                return call(*args, **kwargs)
            finally:
                self.leave()

        return counted

    def wrapped_iterator(self, stage: str, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A generator function, the time between its values counted."""

        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
            values = iter(call(*args, **kwargs))
            while True:
                self.enter(stage)
                try:
                    value = next(values)
                except StopIteration:
                    return
                finally:
                    self.leave()
                yield value

        return counted

    def _charge(self) -> None:
        now = time.thread_time()
        self.seconds[self._open[-1] if self._open else "loop"] += now - self._since
        self._since = now

    def write(self, path: Path) -> None:
        """As JSON, with the CPU seconds of every thread of the process by its name."""
        self._charge()
        threads = {name: s - self._threads.get(name, 0.0) for name, s in _python_threads_s().items()}
        document = {"stages_s": dict(self.seconds), "calls": dict(self.calls), "threads_s": threads}
        path.write_text(json.dumps(document, indent=1))


def threads_s(pid: int | str = "self", names: Mapping[int, str] | None = None) -> dict[str, float]:
    """CPU seconds of a process's threads, by name; `names` are better ones than the kernel's, by the thread's number."""
    found: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (names or {}).get(int(task.name)) or (task / "comm").read_text().strip()
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue  # ended meanwhile
        found[name] += (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
    return dict(found)


def _python_threads_s() -> dict[str, float]:
    names = {thread.native_id: thread.name for thread in threading.enumerate() if thread.native_id is not None}
    return threads_s(names=names)


def instrument(stages: Stages) -> None:
    """Put the clock around the score role's stages, in this process."""
    from features import redis_store
    from sinks import kafka
    from streams.score import partition, rows
    from streams.score.partition import Partition

    partition.decode = stages.wrapped_iterator("decode", partition.decode)
    partition.apply_records = stages.wrapped("kernel", partition.apply_records)
    partition.close_days = stages.wrapped("closes", partition.close_days)
    partition.table.slots_of = stages.wrapped("slots", partition.table.slots_of)  # type: ignore[attr-defined]
    rows.Writer.messages = stages.wrapped_iterator("rows", rows.Writer.messages)  # type: ignore[method-assign]
    kafka.Outbox.send = stages.wrapped("produce", kafka.Outbox.send)  # type: ignore[method-assign]
    kafka.Outbox.poll = stages.wrapped("poll", kafka.Outbox.poll)  # type: ignore[method-assign]
    Partition.values = stages.wrapped("pack", Partition.values)  # type: ignore[method-assign]
    Partition.make_room = stages.wrapped("make_room", Partition.make_room)  # type: ignore[method-assign]
    store = redis_store.PartitionStore
    store.write = stages.wrapped("redis", store.write)  # type: ignore[method-assign]
    store.read = stages.wrapped("load", store.read)  # type: ignore[method-assign]
