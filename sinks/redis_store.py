"""The online feature store: one partition's values in Redis, behind a fence.

Keys are those of `KEYS`, hash-tagged by partition, so that a Redis Cluster keeps a partition on one master: all that
is done to a partition goes to that server, by the same commands as to a Redis that stands alone.

The fence names one content: (epoch, number) is never given twice. The epoch is the offset of an ownership record in
Kafka, so it survives a Redis that lost its tail. Every transaction watches the fence and moves the number above all
that this store ever tried, and every read brings the fence with it. So where two think that they own a partition, or
Redis went back to an older copy, the next step of whoever is wrong fails with Fenced. After any failure only a new
claim helps: what a transaction did whose reply was lost is unknown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from features.layout import Rows
from features.values import Value, unpack

KEYS = (  # of partition p under the prefix x, and what each holds
    ("x:{p}:h:<enterprise_id>", "the hot part of the enterprise's value (features/values.py)"),
    ("x:{p}:c:<enterprise_id>", "its cold part, where that ever changed"),
    ("x:{p}:i", "the set of enterprise ids that have a value"),
    ("x:{p}:e", "the fence: epoch and flush number, two decimal numbers with a blank between them"),
    ("x:{p}:p", "the partition's state as of its low offset (JSON, streams/score/partition.py)"),
)
_CLUSTER = "+cluster://"
_LOAD_VALUES_MAX = 1_000


class Fenced(Exception):
    """The partition's fence is not ours: another worker owns it, or Redis is not the one that we wrote to."""


class Outbid(Fenced):
    """The partition is held under a higher epoch than ours."""


class StoreUnavailable(Exception):
    """Redis refuses or does not answer: the partition pauses, nothing is committed."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write: the epoch of the owner, and the number of its last transaction."""

    epoch: int
    number: int

    def encode(self) -> bytes:
        """As it stands in Redis."""
        return f"{self.epoch} {self.number}".encode()


class Stored(NamedTuple):
    """One partition in Redis at one moment: its fence, its state (JSON), some values by enterprise id."""

    fence: Fence | None
    state: bytes | None
    values: dict[str, Value | None]


def connect(url: str, timeout_s: float) -> Any:
    """Return a client that raises rather than waits for ever; it never retries, since a transaction must know its fate.

    `redis+cluster://` and `rediss+cluster://` name any server of a Redis Cluster, which must answer.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    }
    scheme, of_cluster, where = url.partition(_CLUSTER)
    if not of_cluster:
        return redis.Redis.from_url(url, **options)
    with _as_redis_errors():
        return redis.RedisCluster.from_url(f"{scheme}://{where}", **options)


def servers(client: Any) -> list[Any]:
    """Return a client for each server that holds state: the one, or the masters of a cluster."""
    if not isinstance(client, redis.RedisCluster):
        return [client]
    return [client.get_redis_connection(node) for node in client.get_primaries()]  # type: ignore[no-untyped-call]


class PartitionStore:
    """The values of one partition, for its owner."""

    def __init__(self, client: Any, prefix: str, partition: int) -> None:
        self._all = client
        self._base = _base(prefix, partition)
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

        with _reported():
            _look_around(self._all)
        replies = self._transact(epoch, claimable, lambda pipe: pipe.get(f"{self._base}:p"))
        state: bytes | None = replies[-1]
        return state

    def names(self) -> list[bytes]:
        """Return the ids of all enterprises that have a value, in no order."""
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

    @property
    def _client(self) -> Any:
        """For the server that holds this partition."""
        return _server(self._all, self._base)

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
    """Yield all enterprises of a partition that have a value, with the hot fields of their rows, some at a time."""
    base = _base(prefix, partition)
    for some in _batches(stored_names(client, prefix, partition)):
        hot = client.mget([f"{base}:h:{name}" for name in some])
        held = [(name, value) for name, value in zip(some, hot, strict=True) if value is not None]
        yield [name for name, _ in held], unpack([name for name, _ in held], [value for _, value in held])


def stored_values(client: Any, prefix: str, partition: int) -> Iterator[tuple[str, Value | None]]:
    """All listed enterprises of a partition with their values, None where one is missing. No fence guards a reader."""
    base = _base(prefix, partition)
    for some in _batches(stored_names(client, prefix, partition)):
        yield from zip(some, _values(client.mget(_keys(base, some))), strict=True)


def stored_names(client: Any, prefix: str, partition: int) -> list[str]:
    """Return the ids of the enterprises that a partition lists, sorted."""
    return sorted(name.decode() for name in client.smembers(f"{_base(prefix, partition)}:i"))


def read_stored(client: Any, prefix: str, wanted: Mapping[int, Sequence[str]]) -> dict[int, Stored]:
    """Values of enterprises by partition, for readers: of each partition as of one moment.

    One round trip, in a cluster one to each server. redis' errors.
    """
    with _as_redis_errors(), client.pipeline(transaction=False) as pipe:
        for partition, names in wanted.items():
            base = _base(prefix, partition)
            pipe.execute_command("MGET", f"{base}:e", f"{base}:p", *_keys(base, names))
        found = {}
        for (partition, names), (fence, state, *parts) in zip(wanted.items(), pipe.execute(), strict=True):
            found[partition] = Stored(_fence(fence), state, dict(zip(names, _values(parts), strict=True)))
        return found


def partition_state(client: Any, prefix: str, partition: int) -> bytes | None:
    """Return the stored state of a partition (JSON), for readers."""
    value: bytes | None = client.get(f"{_base(prefix, partition)}:p")
    return value


def _base(prefix: str, partition: int) -> str:
    return f"{prefix}:{{{partition}}}"


def _server(client: Any, key: str) -> Any:
    """Return a client for the one server that holds a key, by what a cluster was known to be when last looked at.

    The cluster's own client would follow a key that has moved, and try again where a connection broke: a reader may do
    so, an owner must not within a transaction.
    """
    if not isinstance(client, redis.RedisCluster):
        return client
    with _as_redis_errors():
        return client.get_redis_connection(client.get_node_from_key(key))  # type: ignore[no-untyped-call]


def _look_around(client: Any) -> None:
    """Ask a cluster anew which server holds what: after any failure a partition is claimed, and it may have moved."""
    if isinstance(client, redis.RedisCluster):
        with _as_redis_errors():
            client.nodes_manager.initialize()


def _keys(base: str, names: Sequence[str]) -> list[str]:
    return [f"{base}:{part}:{name}" for part in "hc" for name in names]


def _values(parts: Sequence[bytes | None]) -> list[Value | None]:
    """Return the replies to `_keys` as values."""
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
            raise StoreUnavailable(f"redis: {type(error).__name__}: {error}") from error


class _as_redis_errors:
    """A cluster's errors, which are none of redis.RedisError, as its ConnectionError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, redis.exceptions.RedisClusterException):
            raise redis.ConnectionError(str(error)) from error
