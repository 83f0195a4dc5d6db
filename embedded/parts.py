"""Kafka and Redis side by side under one state directory, which belongs to one process at a time."""

from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from config import file_lock
from embedded.jars import Progress, quiet
from embedded.kafka import Kafka
from embedded.redis import RedisServer


class StateDirectoryBusy(RuntimeError):
    """Another process runs its parts in this state directory."""


class Parts:
    """Starts Kafka and Redis together on entry, stops them in reverse on exit, a Ctrl-C in between included.

    Use `stack` for what shall stop before them: `parts.stack.enter_context(Child(…).launch())`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        java: Path | None = None,
        heap: str = "512m",
        redis_binary: Path | None = None,
        on_progress: Progress = quiet,
    ) -> None:
        self.directory = directory.resolve()
        self.kafka = Kafka(self.directory / "kafka", java=java, heap=heap, on_progress=on_progress)
        self.redis = RedisServer(self.directory / "redis", binary=redis_binary, on_progress=on_progress)
        self.stack = ExitStack()
        self._on_progress = on_progress

    def __enter__(self) -> Self:
        """StateDirectoryBusy if another process has the directory, StateUnreadable if another Redis wrote what this one
        cannot read; ChildFailed if a part does not start."""
        with ExitStack() as undo:
            undo.enter_context(hold(self.directory))
            undo.callback(self.redis.stop)
            undo.callback(self.kafka.stop)
            self.redis.launch()
            self.kafka.launch()  # Redis loads meanwhile
            self._on_progress(f"Redis answers at {self.redis.wait_ready()} ({self.redis.release})")
            self._on_progress(f"Kafka answers at {self.kafka.wait_ready()}")
            self.stack = undo.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stack.close()


def hold(directory: Path) -> IO[str]:
    """Take a state directory until the handle is closed or we die; StateDirectoryBusy names directory and holder."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return file_lock.hold(directory / "lock")
    except file_lock.LockHeld as held:
        text = f"{directory} is in use by process {held.holder}: stop that or take another"
        raise StateDirectoryBusy(text) from None
