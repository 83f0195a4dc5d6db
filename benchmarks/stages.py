"""CPU time of a worker by thread and stage.

Only for a run of its own (`--stages`): the clock is read around every stage, which costs about a microsecond each time.
The time of a stage excludes the stages that it calls. Time of a thread outside of all stages counts under the thread's
name.
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


class _Clock(threading.local):
    """The open stages of one thread, and its CPU time at the last change."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.since = time.thread_time()


class Stages:
    """CPU seconds and calls by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._clock = _Clock()
        self._threads_before: dict[str, float] = {}

    def restart(self) -> None:
        """Reset all counts; to be called outside of all stages."""
        self.seconds.clear()
        self.calls.clear()
        self._clock.since = time.thread_time()
        self._threads_before = _python_threads_s()

    def enter(self, stage: str) -> None:
        """Charge this thread's time to `stage` from here on."""
        self._charge()
        self.calls[stage] += 1
        self._clock.open.append(stage)

    def leave(self) -> None:
        """Charge this thread's time to the enclosing stage again."""
        self._charge()
        self._clock.open.pop()

    def wrapped(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call` as a function whose time is charged to `stage`."""

        @functools.wraps(call)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.enter(stage)
            try:
                return call(*args, **kwargs)
            finally:
                self.leave()

        return counted

    def wrapped_iterator(self, stage: str, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Return a generator function whose time between values is charged to `stage`."""

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

    def write(self, path: Path) -> None:
        """Write seconds and calls by stage, and CPU seconds of every running thread by its name, as JSON."""
        self._charge()
        before = self._threads_before
        threads = {name: seconds - before.get(name, 0.0) for name, seconds in _python_threads_s().items()}
        document = {"stages_s": dict(self.seconds), "calls": dict(self.calls), "threads_s": threads}
        path.write_text(json.dumps(document, indent=1))

    def _charge(self) -> None:
        clock, now = self._clock, time.thread_time()
        stage = clock.open[-1] if clock.open else f"rest of {threading.current_thread().name}"
        self.seconds[stage] += now - clock.since
        clock.since = now


def threads_s(pid: int | str = "self", names: Mapping[int, str] | None = None) -> dict[str, float]:
    """Return CPU seconds of a process's threads by name; `names` replaces names, by thread id."""
    found: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (names or {}).get(int(task.name)) or (task / "comm").read_text().strip()
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended meanwhile
        found[name] += (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
    return dict(found)


def read(path: Path) -> dict[str, Any]:
    """Return the document written by `Stages.write`."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def instrument(stages: Stages) -> None:
    """Wrap the score role's stages of this process."""
    from features import row_cache
    from sinks import kafka, redis_store
    from streams.score import partition, rows
    from streams.score.partition import Partition
    from streams.transport import driver

    parsers: Any = driver.PARSERS
    parsers["compiled"] = stages.wrapped("parse", parsers["compiled"])
    partition.decode = stages.wrapped_iterator("decode", partition.decode)
    partition.apply_records = stages.wrapped("kernel", partition.apply_records)
    partition.close_days = stages.wrapped("closes", partition.close_days)
    row_cache.RowCache.begin_run = stages.wrapped("slots", row_cache.RowCache.begin_run)  # type: ignore[method-assign]
    rows.Writer.outgoing = stages.wrapped("rows", rows.Writer.outgoing)  # type: ignore[method-assign]
    outbox: Any = kafka.Outbox
    for name in ("send", "send_batch", "drain", "poll"):
        setattr(outbox, name, stages.wrapped("produce" if "send" in name else name, getattr(outbox, name)))
    Partition.take = stages.wrapped("pack", Partition.take)  # type: ignore[method-assign]
    Partition.make_room = stages.wrapped("make_room", Partition.make_room)  # type: ignore[method-assign]
    store: Any = redis_store.PartitionStore
    store.write = stages.wrapped("redis", store.write)
    store.read = stages.wrapped("load", store.read)


def _python_threads_s() -> dict[str, float]:
    names = {thread.native_id: thread.name for thread in threading.enumerate() if thread.native_id is not None}
    return threads_s(names=names)
