"""What a worker runs: a role, which applies the chunks of its topics' partitions and says how far it has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable

from faust.types import TP

from streams.transport import Chunk, UnreadableBatch

__all__ = ["TP", "HandsOver", "HoldsBack", "LooksAhead", "Pauses", "Quarantines", "Rewinds", "Role"]


class Role(Protocol):
    """One of ingest, score, learn, archive, …

    Its methods run in one event loop and never two at a time. An exception from any of them stops the worker with exit
    code 1: a role never skips a record by failing. After a failure neither `revoked` nor a commit follows, only `stop`.
    """

    @property
    def name(self) -> str:
        """The role's name: its group is the prefix and this."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What it reads."""

    async def start(self) -> None:
        """Connect and compile, before the worker joins its group."""

    async def assigned(self, tps: set[TP]) -> Mapping[TP, int]:
        """These partitions, and these only, are now ours: claim them, load their state, say from which offset to go on.

        A partition left out goes on from the group's committed offset, or where there is none from the log's start.
        Heartbeats pause meanwhile: it must return well within the session timeout.
        """

    async def revoked(self, tps: set[TP]) -> None:
        """Flush what may be flushed and forget the partitions. `low_offset` may still be asked once after this."""

    async def apply(self, tp: TP, chunk: Chunk) -> None:
        """Apply a chunk (of at least one record) that goes on exactly where the last one of the partition ended."""

    def low_offset(self, tp: TP) -> int | None:
        """The lowest offset not yet applied, flushed and acknowledged: all that may be committed. None: nothing."""

    async def tick(self) -> None:
        """Called about every `tick_interval_s`, also when nothing is consumed: flush, poll."""

    async def stop(self) -> None:
        """Close what `start` opened."""


@runtime_checkable
class Pauses(Protocol):
    """What a role has beside the methods of `Role` where it may want no more of some partitions for a while.

    The worker reads `paused` after each call of `apply` and `tick`: of these partitions it takes no more; a few chunks
    that are under way still come.
    """

    @property
    def paused(self) -> frozenset[TP]:
        """Partitions held back."""


@runtime_checkable
class HandsOver(Protocol):
    """A role whose outputs wait for more of what one fetch brought."""

    def hand_over(self) -> None:
        """All that a fetch brought is applied: outputs go now."""


@runtime_checkable
class LooksAhead(Protocol):
    """A role that asks how far it has read.

    The worker sets `progress` before `start`: the next offset to deliver of a partition, and the end of its log as the
    last fetch said it (None before the first).
    """

    progress: Callable[[TP], tuple[int, int | None]]


@runtime_checkable
class HoldsBack(Pauses, LooksAhead, Protocol):
    """A role that paces itself by how far it has read.

    The worker sets these too, `generation` before each `assigned`, `ends` before `start`. `generation`: of the group.
    `ends`: asks the broker for the ends of logs as they are after the call; aiokafka's errors.
    """

    generation: int
    ends: Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]]


@runtime_checkable
class Rewinds(Pauses, Protocol):
    """A role that pauses a partition and goes on from another offset: one that lost its memory from an earlier one."""

    def rewinds(self) -> Mapping[TP, int]:
        """Partitions to go on with, each from its offset; asked after each `apply` and `tick`, and each told once.

        Chunks that were under way before do not come any more. An offset outside the log stops the worker.
        """


@runtime_checkable
class Quarantines(Rewinds, Protocol):
    """A role that goes on where a batch of some partition cannot be read; of others the batch stops the worker."""

    async def unreadable(self, tp: TP, batch: UnreadableBatch) -> None:
        """Take note of the batch; nothing comes of the partition until the role rewinds it.

        It comes in its place behind the chunks before it. The role may raise it: then it stops the worker.
        """
