"""The online feature store: one partition's values in Redis, behind a fence.

Keys (hash-tagged by partition, so that Redis Cluster keeps a partition together), with the prefix x:
  x:{p}:h:<enterprise_id>  the enterprise's value (features/layout.py)
  x:{p}:i                  the set of enterprise ids that have one
  x:{p}:e                  the fence, "<epoch> <flush number>"
  x:{p}:p                  the partition's state (JSON, streams/score/partition.py), as of its low offset

Every transaction watches the fence and moves its number, so that of two that think they own a partition one fails with
Fenced. The epoch is the offset of an ownership record in Kafka: it survives a Redis that lost its tail.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from features.layout import unpack

_LOAD_VALUES_MAX = 1_000


class Fenced(Exception):
    """The partition's fence is not ours: another worker owns it, or Redis is not the one that we wrote to."""


class StoreUnavailable(Exception):
    """Redis refuses or does not answer: the partition pauses, nothing is committed."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Who may write: the epoch of the owner, and the number of its last transaction."""

    epoch: int
    number: int

    def encode(self) -> bytes:
        """As it stands in Redis."""
        return f"{self.epoch} {self.number}".encode()


def connect(url: str, timeout_s: float) -> Any:
    """A client that raises rather than waits for ever; it never retries, since a transaction must know its fate."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )


class PartitionStore:
    """The values of one partition, for its owner."""

    def __init__(self, client: Any, prefix: str, partition: int) -> None:
        self._client = client
        self._base = f"{prefix}:{{{partition}}}"
        self._partition = partition
        self._fence: Fence | None = None
        self._number_tried = 0

    def claim(self, epoch: int) -> bytes | None:
        """Take the partition over a smaller epoch or our own; returns the partition's state, None where it has none."""
        fence_key = f"{self._base}:e"
        with _reported(), self._client.pipeline() as pipe:
            pipe.watch(fence_key)
            held = _fence(pipe.get(fence_key))
            if held is not None and held.epoch > epoch:
                raise Fenced(f"partition {self._partition} is owned under epoch {held.epoch}, ours is {epoch}")
            self._number_tried = max(self._number_tried, held.number if held and held.epoch == epoch else 0) + 1
            claimed = Fence(epoch, self._number_tried)
            pipe.multi()
            pipe.set(fence_key, claimed.encode())
            pipe.get(f"{self._base}:p")
            state: bytes | None = self._execute(pipe)[-1]
        self._fence = claimed
        return state

    def load(self) -> Iterator[tuple[str, bytes]]:
        """All values, each batch read together with the fence: Fenced where it is no longer ours."""
        with _reported():
            names = sorted(self._client.smembers(f"{self._base}:i"))
            for first in range(0, len(names), _LOAD_VALUES_MAX):
                some = names[first : first + _LOAD_VALUES_MAX]
                keys = [f"{self._base}:h:".encode() + name for name in some]
                fence, *values = self._client.mget([f"{self._base}:e", *keys])
                self._require(_fence(fence))
                for name, value in zip(some, values, strict=True):
                    if value is None:
                        raise StoreUnavailable(
                            f"partition {self._partition}: {name.decode()} is listed but has no value"
                        )
                    yield name.decode(), value

    def write(self, values: Sequence[tuple[str, bytes]], state: bytes | None = None) -> None:
        """Write values, and the partition's state where given, in one transaction that moves the flush number."""
        fence_key = f"{self._base}:e"
        with _reported(), self._client.pipeline() as pipe:
            pipe.watch(fence_key)
            held = self._require(_fence(pipe.get(fence_key)))
            self._number_tried = max(self._number_tried, held.number) + 1
            moved = Fence(held.epoch, self._number_tried)
            pipe.multi()
            pipe.set(fence_key, moved.encode())
            if values:
                pipe.mset({f"{self._base}:h:{name}": value for name, value in values})
                pipe.sadd(f"{self._base}:i", *(name for name, _ in values))
            if state is not None:
                pipe.set(f"{self._base}:p", state)
            self._execute(pipe)
        self._fence = moved

    def check(self) -> None:
        """Look whether the fence is still ours; an idle owner does so once a flush interval."""
        with _reported():
            self._require(_fence(self._client.get(f"{self._base}:e")))

    def _require(self, held: Fence | None) -> Fence:
        if held is None or held != self._fence:
            raise Fenced(f"partition {self._partition}: the fence is {held}, ours is {self._fence}")
        return held

    def _execute(self, pipe: Any) -> list[Any]:
        try:
            replies: list[Any] = pipe.execute()
        except redis.WatchError as error:
            self._fence = None
            raise Fenced(f"partition {self._partition}: the fence moved during a transaction") from error
        except redis.RedisError:
            self._fence = None  # done or not done: unknown, so nothing that we hold may be trusted
            raise
        return replies


def outcome_totals(client: Any, prefix: str, partitions: int) -> dict[str, int]:
    """Records of enterprises by outcome, summed over all values: applied, duplicate, conflict, late."""
    totals = dict.fromkeys(("applied", "duplicate", "conflict", "late"), 0)
    for partition in range(partitions):
        base = f"{prefix}:{{{partition}}}"
        names = sorted(client.smembers(f"{base}:i"))
        for first in range(0, len(names), _LOAD_VALUES_MAX):
            some = names[first : first + _LOAD_VALUES_MAX]
            values = client.mget([f"{base}:h:".encode() + name for name in some])
            for name, value in zip(some, values, strict=True):
                fields, _ = unpack(name.decode(), value)
                for outcome in totals:
                    totals[outcome] += int(fields[f"{outcome}_count"])
    return totals


def partition_state(client: Any, prefix: str, partition: int) -> bytes | None:
    """The stored state of a partition (JSON), for readers."""
    value: bytes | None = client.get(f"{prefix}:{{{partition}}}:p")
    return value


def _fence(value: bytes | None) -> Fence | None:
    if value is None:
        return None
    epoch, number = value.split()
    return Fence(int(epoch), int(number))


class _reported:
    """Redis errors as StoreUnavailable, with their cause."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, redis.RedisError):
            raise StoreUnavailable(f"redis: {error}") from error
