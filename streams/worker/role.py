"""The contract between a worker and the role that it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from faust.types import TP

from sinks.telemetry import Emit, Reading, discard_event
from streams.transport import Chunk, UnreadableBatch

__all__ = ["DETACHED", "TP", "Role", "RoleContext"]


def _at_start(_tp: TP) -> tuple[int, int | None]:
    return 0, None


async def _no_end_offsets(_tps: Iterable[TP]) -> Mapping[TP, int]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleContext:
    """Everything that a worker gives its role.

    emit: records an event for metrics.
    position: returns the next offset to deliver of a partition, and its end offset as of the last fetch, None before
    the first.
    end_offsets: asks the broker for the end offsets of partitions as of after the call; raises aiokafka's errors.
    generation: returns the generation of the consumer group, -1 before the first.
    """

    emit: Emit = discard_event
    position: Callable[[TP], tuple[int, int | None]] = _at_start
    end_offsets: Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]] = _no_end_offsets
    generation: Callable[[], int] = lambda: -1


DETACHED = RoleContext()  # a role in process, without broker and group


class Role(ABC):
    """One of ingest, score, learn, archive: applies the chunks of its topics' partitions.

    A worker calls the methods in one event loop, never two at a time. An exception from any of them stops the worker
    with exit code 1: a role never skips a record by failing. After a failure neither `revoked` nor a commit follows,
    only `stop`.
    """

    name: str  # its consumer group is the prefix and this
    topics: tuple[str, ...]  # subscribed to

    @abstractmethod
    async def start(self, context: RoleContext) -> None:
        """Connect and compile, before the worker joins its group."""

    @abstractmethod
    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """Claim exactly these partitions, load their state, and return the offsets to go on from.

        A partition that is left out goes on from the group's committed offset, or where there is none from the log's
        start. Heartbeats pause meanwhile: it must return well within the session timeout.
        """

    @abstractmethod
    async def revoked(self, tps: set[TP]) -> None:
        """Flush what may be flushed and forget the partitions. `low_offset` may still be called once after this."""

    @abstractmethod
    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Apply a chunk of at least one record, which begins exactly where the last one of the partition ended."""

    @abstractmethod
    def low_offset(self, tp: TP) -> int | None:
        """Return the lowest offset not yet applied, flushed and acknowledged, to commit; None commits nothing."""

    @abstractmethod
    async def tick(self) -> None:
        """Flush and poll; called about every `tick_interval_s`, also when nothing is consumed."""

    @abstractmethod
    async def stop(self) -> None:
        """Close what `start` opened."""

    # Optional

    def flush_after_fetch(self) -> None:  # noqa: B027
        """Send the outputs that waited for the rest of a fetch, all of which is applied now."""

    @property
    def paused(self) -> frozenset[TP]:
        """Partitions to fetch no more of for now; chunks already fetched still come. Read after `apply` and `tick`."""
        return frozenset()

    def rewinds(self) -> Mapping[TP, int]:
        """Return the partitions to seek and the offsets to seek to, each once. Read after `apply` and `tick`.

        Chunks fetched before the seek do not come any more. An offset outside the log stops the worker.
        """
        return {}

    async def unreadable(self, tp: TP, batch: UnreadableBatch) -> None:
        """Take in a batch that cannot be read, or raise it, which stops the worker.

        It comes in its place after the chunks before it. The partition brings nothing more until the role rewinds it.
        """
        raise batch

    def readings(self) -> Iterable[Reading]:
        """Return the current gauges, between two calls of other methods: it must be quick."""
        return ()
