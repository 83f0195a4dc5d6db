"""The common life of Kafka and Redis as child processes: start, wait, restart at the same address, stop, kill."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from embedded.children import Child, ChildFailed, eventually
from embedded.jars import Progress
from embedded.ports import free_port, port_is_free

# A process that is seen to be dead may still have threads on their way out, and with them its sockets.
_PORT_RETURNS_S = 5.0


class Server(ABC):
    """A server on loopback ports; what it holds, and its ports, live in `directory` and survive a restart."""

    name: ClassVar[str]

    def __init__(self, directory: Path, on_progress: Progress) -> None:
        self.directory = directory.resolve()
        self._on_progress = on_progress
        self._child: Child | None = None
        self._port = 0

    @property
    @abstractmethod
    def address(self) -> str:
        """The address for clients."""

    @abstractmethod
    def launch(self) -> Self:
        """Start without waiting for the server to answer."""

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether it serves clients now."""

    @property
    def child(self) -> Child:
        """The process, to pause or to signal it; RuntimeError before the first start."""
        if self._child is None:
            raise RuntimeError(f"{self.name} in {self.directory} was never started")
        return self._child

    def start(self) -> str:
        """Start it, wait until it answers, and return its address; ChildFailed quotes its log."""
        return self.launch().wait_ready()

    def wait_ready(self, deadline_s: float = 60.0) -> str:
        """Wait until it answers; return its address."""
        self.child.wait_ready(self._answers, deadline_s)
        return self.address

    def restart(self) -> str:
        """Start it again at the same address, stopped before or not; ChildFailed if the port was taken meanwhile."""
        self.child.stop()
        if not _returned((self._port,)):
            raise ChildFailed(f"{self.name} cannot return to {self.address}: the port was taken meanwhile")
        return self.start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after the deadline; nothing if it does not run."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.child.kill()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of its log."""
        return self.child.log_tail(lines)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _kept_or_free(self, kept: tuple[int, ...], count: int) -> tuple[int, ...]:
        """Return the ports of the last start if they are still free, else `count` others, which is said."""
        if kept and _returned(kept):
            return kept
        ports: tuple[int, ...] = ()
        while len(ports) < count:
            ports += (free_port(besides=ports),)
        if kept:
            self._on_progress(f"a port of {self.directory} is taken: {self.name} moves from {kept[0]} to {ports[0]}")
        return ports


def _returned(ports: tuple[int, ...]) -> bool:
    """Return whether ports that a server had are free again, with the time that its last threads may need."""
    try:
        eventually(lambda: all(map(port_is_free, ports)), _PORT_RETURNS_S, "free ports")
    except TimeoutError:
        return False
    return True
