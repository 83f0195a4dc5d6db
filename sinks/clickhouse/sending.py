"""A block that is sent until it is acknowledged: retried with growing pauses, never dropped, never changed."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from sinks.clickhouse.connection import Connection, Insert, Unavailable
from sinks.clickhouse.migrations import migrate

BACKOFF_S_MIN = 0.1
NAME_CHARS_MAX = 256

Place = tuple[str, int]  # topic, partition
OffsetRange = tuple[int, int]  # first and last offset of a partition's records, both inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The content of one insert, and the records that it was made of."""

    insert: Insert
    ranges: Mapping[Place, OffsetRange]

    @property
    def row_count(self) -> int:
        return len(self.insert.columns[0])


def block_name(ranges: Mapping[Place, OffsetRange]) -> str:
    """Return the name of the block that holds the records of `ranges`: equal for equal content, whoever sends it.

    >>> block_name({("score.v1", 3): (100, 149), ("score.v1", 0): (7, 7)})
    'score.v1:0:7-7;3:100-149'
    >>> block_name({("alert.B.v1", 0): (8, 9), ("alert.A.v1", 0): (7, 7)})
    'alert.A.v1:0:7-7|alert.B.v1:0:8-9'
    """
    texts: dict[str, list[str]] = {}
    for (topic, partition), (first, last) in sorted(ranges.items()):
        texts.setdefault(topic, []).append(f"{partition}:{first}-{last}")
    name = "|".join(f"{topic}:{';'.join(parts)}" for topic, parts in texts.items())
    return name if len(name) <= NAME_CHARS_MAX else f"{next(iter(texts))}:sha256-{sha256(name.encode()).hexdigest()}"


class Sender:
    """Sends blocks over one connection.

    `prepare` comes first: it runs `prepare_tables`, which makes sure of the tables. `pause(seconds)` waits between
    attempts and returns True where the worker is stopping.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        backoff_s_max: float,
        pause: Callable[[float], bool],
        on_retry: Callable[[str, float], None] = lambda _why, _pause_s: None,
        prepare_tables: Callable[[Connection], object] = migrate,
    ) -> None:
        self._connection = connection
        self._prepare_tables = prepare_tables
        self._backoff_s_max = backoff_s_max
        self._pause = pause
        self._on_retry = on_retry
        self._prepared = False
        self.retry_count = 0

    def prepare(self) -> None:
        """Create or migrate the tables, without retry. Raise Unavailable or Refused."""
        self._prepare_tables(self._connection)
        self._prepared = True

    def send(self, block: Block) -> None:
        """Return when the block is stored.

        Raise the last Unavailable where the worker is stopping: nothing of the block may be committed then. Raise
        Refused, which is never retried.
        """
        pause_s = min(BACKOFF_S_MIN, self._backoff_s_max)
        while True:
            try:
                if not self._prepared:
                    self.prepare()
                self._connection.insert(block.insert)
                return
            except Unavailable as error:
                self.retry_count += 1
                self._on_retry(str(error), pause_s)
                if self._pause(pause_s * random.uniform(0.5, 1.0)):
                    raise
                pause_s = min(pause_s * 2, self._backoff_s_max)
