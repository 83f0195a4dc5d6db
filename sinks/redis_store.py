"""The online feature store: one partition's values in Redis, behind a fence.

Keys are those of `KEYS`, hash-tagged by partition, so that a Redis Cluster keeps a partition on one master: all
commands about a partition go to that server, and are the same as for a single Redis.

The fence names one content: (epoch, number) is never given twice. The epoch is the offset of an ownership record in
Kafka, so it survives a Redis that lost its tail. Every transaction watches the fence and moves the number above all
that this store ever tried, and every read returns the fence with the values. So where two workers think that they own a
partition, or Redis was restored from an older copy, the next step of the wrong one fails with Fenced. After any failure
only a new claim helps: a transaction whose reply was lost may have been applied or not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import redis

from config.errors import SettingsError
from config.secret_file import read_secret
from config.settings import RedisSettings
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
    """The partition's fence is not this worker's: another owns it, or Redis is not the one that was written to."""


class Outbid(Fenced):
    """The partition is held under a higher epoch than this worker's."""


class StoreUnavailable(Exception):
    """Redis refuses or does not answer: the partition pauses, and nothing is committed."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write: the owner's epoch, and the number of its last transaction."""

    epoch: int
    number: int

    def encode(self) -> bytes:
        """Return the fence as Redis holds it."""
        return f"{self.epoch} {self.number}".encode()


class Stored(NamedTuple):
    """One partition in Redis at one moment: fence, state (JSON), and values by enterprise id, None where absent."""

    fence: Fence | None
    state: bytes | None
    values: dict[str, Value | None]


def opened(settings: RedisSettings) -> Any:
    """Return a client as `connect` does. Raise SettingsError where the password cannot be read or is given twice."""
    if settings.password_file is None:
        return connect(settings.url, settings.timeout_s)
    if urlsplit(settings.url).password is not None:
        raise SettingsError("[redis] url holds a password, and password_file names another")
    password = read_secret("[redis] password_file", settings.password_file)
    return connect(settings.url, settings.timeout_s, password)


def connect(url: str, timeout_s: float, password: str | None = None) -> Any:
    """Return a client that raises after `timeout_s` seconds, and never retries: a transaction must know its outcome.

    `redis+cluster://` and `rediss+cluster://` name any server of a Redis Cluster. Raise redis' errors where it does not
    answer.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    }
    if password is not None:
        options["password"] = password
    scheme, of_cluster, where = url.partition(_CLUSTER)
    if not of_cluster:
        return redis.Redis.from_url(url, **options)
    with _as_redis_errors():
        return redis.RedisCluster.from_url(f"{scheme}://{where}", **options)


def servers(client: Any) -> list[Any]:
    """Return a client for each server that holds state: the only one, or the masters of a cluster."""
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

    def claim(self, epoch: int, demand: Callable[[bytes | None], object] = lambda _state: None) -> bytes | None:
        """Take the partition over from a smaller epoch or the same.

        Return the partition's state, None where it has none. It may be called again, under the same epoch or a later
        one. `demand` gets that state before, and may raise: nothing is written then.

        Raise Outbid where the epoch in Redis is higher, and StoreUnavailable where Redis does not answer.
        """

        def claimable(held: Fence | None, pipe: Any) -> None:
            if held is not None and held.epoch > epoch:
                raise Outbid(f"partition {self._partition} is owned under epoch {held.epoch}, ours is {epoch}")
            demand(pipe.get(f"{self._base}:p"))  # whoever changes it moves the fence, which is watched

        with _reported():
            _refresh_cluster(self._all)
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
        """Return the values of enterprises that are listed.

        Raise StoreUnavailable where one has none, and the errors of `read`.
        """
        values = self.read(names)
        for name, value in zip(names, values, strict=True):
            if value is None:
                raise StoreUnavailable(f"partition {self._partition}: {name} is listed but has no value")
        return [value for value in values if value is not None]

    def read(self, names: Sequence[str]) -> list[Value | None]:
        """Return the values of enterprises, None for one that has none.

        Raise Fenced where the fence read with them is not this worker's, and StoreUnavailable where Redis does not
        answer.
        """
        with _reported():
            fence, *parts = self._client.mget([f"{self._base}:e", *_keys(self._base, names)])
        self._require(_fence(fence))
        return _values(parts)

    def write(self, values: Sequence[tuple[str, Value]], state: bytes | None = None) -> None:
        """Write values, and the partition's state where given, in one transaction that moves the flush number.

        A value without a cold part leaves that of Redis as it is. Raise Fenced where the fence is not this worker's,
        and StoreUnavailable where Redis does not answer.
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
        self._transact(self._fence.epoch, lambda held, _pipe: self._require(held), queue)

    @property
    def _client(self) -> Any:
        """A client for the server that holds this partition."""
        return _server(self._all, self._base)

    def check(self) -> None:
        """Raise Fenced where the fence is no longer this worker's. An idle owner calls it once a flush interval."""
        self.read(())

    def _transact(
        self, epoch: int, permit: Callable[[Fence | None, Any], None], queue: Callable[[Any], object]
    ) -> list[Any]:
        """Watch the fence, let `permit` raise over it, then apply what `queue` adds under the next number, or nothing.

        The connection is the pipeline's own: where it breaks, redis-py raises and never replays a watched transaction
        on another one. The fence counts as lost until the outcome is known.
        """
        with _reported(), self._client.pipeline() as pipe:
            pipe.watch(f"{self._base}:e")
            permit(_fence(pipe.get(f"{self._base}:e")), pipe)
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
    """Return the number of records by outcome (applied, duplicate, conflict, late), summed over all values."""
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
    """Yield all listed enterprises of a partition with their values, None where one is missing.

    Readers have no fence.
    """
    base = _base(prefix, partition)
    for some in _batches(stored_names(client, prefix, partition)):
        yield from zip(some, _values(client.mget(_keys(base, some))), strict=True)


def stored_names(client: Any, prefix: str, partition: int) -> list[str]:
    """Return the ids of the enterprises that a partition lists, sorted."""
    return sorted(name.decode() for name in client.smembers(f"{_base(prefix, partition)}:i"))


def read_stored(client: Any, prefix: str, wanted: Mapping[int, Sequence[str]]) -> dict[int, Stored]:
    """Return values of enterprises by partition, for readers, each partition as of one moment.

    It takes one round trip, in a cluster one to each server. Raise redis' errors.
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
    """Return a client for the one server that holds a key, by the cluster's layout when it was last asked.

    The cluster's own client would follow a key that has moved, and retry where a connection broke. A reader may do so,
    but an owner must not within a transaction.
    """
    if not isinstance(client, redis.RedisCluster):
        return client
    with _as_redis_errors():
        return client.get_redis_connection(client.get_node_from_key(key))  # type: ignore[no-untyped-call]


def _refresh_cluster(client: Any) -> None:
    """Ask a cluster again which server holds what. After any failure a partition is claimed, and it may have moved."""
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
    """Turns Redis errors into StoreUnavailable, with their cause."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, redis.RedisError):
            raise StoreUnavailable(f"redis: {type(error).__name__}: {error}") from error


class _as_redis_errors:
    """Turns a cluster's errors, which are no redis.RedisError, into ConnectionError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, redis.exceptions.RedisClusterException):
            raise redis.ConnectionError(str(error)) from error
