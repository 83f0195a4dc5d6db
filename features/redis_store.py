"""The online feature store: one partition's values in Redis, behind a fence.

Keys (hash-tagged by partition, so that Redis Cluster keeps a partition together), with the prefix x:
  x:{p}:h:<enterprise_id>  the hot part of the enterprise's value (features/values.py)
  x:{p}:c:<enterprise_id>  its cold part, where that ever changed
  x:{p}:i                  the set of enterprise ids that have one
  x:{p}:e                  the fence, "<epoch> <flush number>"
  x:{p}:p                  the partition's state (JSON, streams/score/partition.py), as of its low offset

The fence names one content: (epoch, number) is never given twice. The epoch is the offset of an ownership record in
Kafka, so it survives a Redis that lost its tail. Every transaction watches the fence and moves the number above all
that this store ever tried, and every read brings the fence with it. So where two think that they own a partition, or
Redis went back to an older copy, the next step of whoever is wrong fails with Fenced. After any failure only a new
claim helps: what a transaction did whose reply was lost is unknown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from features.layout import Rows
from features.values import Value, unpack

_LOAD_VALUES_MAX = 1_000


class Fenced(Exception):
    """The partition's fence is not ours: another worker owns it, or Redis is not the one that we wrote to."""


class Outbid(Fenced):
    """The partition is held under a higher epoch than ours."""


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
        self._fence: Fence | None = None  # None: nothing that we hold may be trusted
        self._number_tried = 0

    def claim(self, epoch: int) -> bytes | None:
        """Take the partition over a smaller epoch or our own; returns the partition's state, None where it has none.

        Outbid where the epoch in Redis is higher. It may be called again, under the same epoch or a later one.
        """

        def claimable(held: Fence | None) -> None:
            if held is not None and held.epoch > epoch:
                raise Outbid(f"partition {self._partition} is owned under epoch {held.epoch}, ours is {epoch}")

        replies = self._transact(epoch, claimable, lambda pipe: pipe.get(f"{self._base}:p"))
        state: bytes | None = replies[-1]
        return state

    def names(self) -> list[bytes]:
        """The ids of all enterprises that have a value, in no order."""
        with _reported(), self._client.pipeline() as pipe:
            fence, listed = pipe.get(f"{self._base}:e").smembers(f"{self._base}:i").execute()
        self._require(_fence(fence))
        return list(listed)

    def fetch(self, names: Sequence[str]) -> list[Value]:
        """`read` for enterprises that are listed: StoreUnavailable where one of them has no value."""
        values = self.read(names)
        for name, value in zip(names, values, strict=True):
            if value is None:
                raise StoreUnavailable(f"partition {self._partition}: {name} is listed but has no value")
        return [value for value in values if value is not None]

    def read(self, names: Sequence[str]) -> list[Value | None]:
        """The values of some enterprises (None: it has none); Fenced where the fence read with them is not ours."""
        with _reported():
            fence, *parts = self._client.mget([f"{self._base}:e", *_keys(self._base, names)])
        self._require(_fence(fence))
        return _values(parts)

    def write(self, values: Sequence[tuple[str, Value]], state: bytes | None = None) -> None:
        """Write values, and the partition's state where given, in one transaction that moves the flush number.

        The cold part of a value without one stays as it is in Redis.
        """

        def queue(pipe: Any) -> None:
            if values:
                pipe.mset({f"{self._base}:h:{name}": value.hot for name, value in values})
                cold = {f"{self._base}:c:{name}": value.cold for name, value in values if value.cold is not None}
                if cold:
                    pipe.mset(cold)
                pipe.sadd(f"{self._base}:i", *(name for name, _ in values))
            if state is not None:
                pipe.set(f"{self._base}:p", state)

        if self._fence is None:
            raise Fenced(f"partition {self._partition}: not claimed")
        self._transact(self._fence.epoch, self._require, queue)

    def check(self) -> None:
        """Look whether the fence is still ours; an idle owner does so once a flush interval."""
        self.read(())

    def _transact(
        self, epoch: int, permit: Callable[[Fence | None], None], queue: Callable[[Any], object]
    ) -> list[Any]:
        """Watch, let `permit` raise over what is held, then all that `queue` adds under the next number, or nothing.

        The connection is the pipeline's own: where it breaks, redis-py raises and never replays a watched transaction
        on another one. The fence counts as lost until the outcome is known.
        """
        with _reported(), self._client.pipeline() as pipe:
            pipe.watch(f"{self._base}:e")
            permit(_fence(pipe.get(f"{self._base}:e")))
            self._number_tried += 1
            moved, self._fence = Fence(epoch, self._number_tried), None
            pipe.multi()
            pipe.set(f"{self._base}:e", moved.encode())
            queue(pipe)
            replies = self._execute(pipe)
        self._fence = moved
        return replies

    def _execute(self, pipe: Any) -> list[Any]:
        try:
            replies: list[Any] = pipe.execute()
        except redis.WatchError as error:
            raise Fenced(
                f"partition {self._partition}: the fence moved during a transaction, or its connection broke: {error}"
            ) from error
        return replies

    def _require(self, held: Fence | None) -> None:
        ours = self._fence
        if ours is None or held != ours:
            self._fence = None
            raise Fenced(f"partition {self._partition}: the fence is {held}, ours is {ours}")


def outcome_totals(client: Any, prefix: str, partitions: int) -> dict[str, int]:
    """Records of enterprises by outcome, summed over all values: applied, duplicate, conflict, late."""
    totals = dict.fromkeys(("applied", "duplicate", "conflict", "late"), 0)
    for partition in range(partitions):
        for _, rows in stored_rows(client, prefix, partition):
            for outcome in totals:
                totals[outcome] += int(rows[f"{outcome}_count"].sum())
    return totals


def stored_rows(client: Any, prefix: str, partition: int) -> Iterator[tuple[list[str], Rows]]:
    """All enterprises of a partition that have a value, with the hot fields of their rows, some at a time."""
    for some in _batches(stored_names(client, prefix, partition)):
        hot = client.mget([f"{prefix}:{{{partition}}}:h:{name}" for name in some])
        held = [(name, value) for name, value in zip(some, hot, strict=True) if value is not None]
        yield [name for name, _ in held], unpack([name for name, _ in held], [value for _, value in held])


def stored_values(client: Any, prefix: str, partition: int) -> Iterator[tuple[str, Value | None]]:
    """All listed enterprises of a partition with their values, None where one is missing. No fence guards a reader."""
    base = f"{prefix}:{{{partition}}}"
    for some in _batches(stored_names(client, prefix, partition)):
        yield from zip(some, _values(client.mget(_keys(base, some))), strict=True)


def stored_names(client: Any, prefix: str, partition: int) -> list[str]:
    """The ids of the enterprises that a partition lists, sorted."""
    return sorted(name.decode() for name in client.smembers(f"{prefix}:{{{partition}}}:i"))


def find_value(client: Any, prefix: str, partitions: int, name: str) -> tuple[int, Value] | None:
    """One enterprise's partition and value, whichever partition holds it; one round trip. No fence guards a reader."""
    with client.pipeline(transaction=False) as pipe:
        for partition in range(partitions):
            pipe.mget(_keys(f"{prefix}:{{{partition}}}", [name]))
        for partition, parts in enumerate(pipe.execute()):
            (value,) = _values(parts)
            if value is not None:
                return partition, value
    return None


def partition_state(client: Any, prefix: str, partition: int) -> bytes | None:
    """The stored state of a partition (JSON), for readers."""
    value: bytes | None = client.get(f"{prefix}:{{{partition}}}:p")
    return value


def _keys(base: str, names: Sequence[str]) -> list[str]:
    return [f"{base}:{part}:{name}" for part in "hc" for name in names]


def _values(parts: Sequence[bytes | None]) -> list[Value | None]:
    """The replies to `_keys` as values."""
    count = len(parts) // 2
    pairs = zip(parts[:count], parts[count:], strict=True)
    return [None if hot is None else Value(hot, cold) for hot, cold in pairs]


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[first : first + _LOAD_VALUES_MAX] for first in range(0, len(names), _LOAD_VALUES_MAX))


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
