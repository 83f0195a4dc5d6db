"""How a record becomes a row: a column is a name, a ClickHouse type and where its value stands in the record.

A record is (value, topic, partition, offset, time): the decoded message and the coordinates at which archive read it.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from domain.events import LogRecord
from sinks.clickhouse.connection import Insert

TIME = "DateTime64(3, 'UTC')"  # written as integer milliseconds
WORD = "LowCardinality(String)"
WORD_OR_NULL = "LowCardinality(Nullable(String))"


class Located(NamedTuple):
    """A decoded record, where it was read, and the time that the topic gave it (milliseconds)."""

    value: Any
    topic: str
    partition: int
    offset: int
    time_ms: int

    @property
    def fact(self) -> Any:
        """What the record is about: the event of a log record, else the value itself."""
        return self.value.event if isinstance(self.value, LogRecord) else self.value


Read = Callable[[Any], Any]
Source = Literal["record", "value", "fact"]
Column = tuple[str, str, Source, Read]  # name, type, what is read, how


class Records:
    """Records of one class on their way into tables: a column that several tables have is read once."""

    def __init__(self, records: Sequence[Located]) -> None:
        values = [record.value for record in records]
        facts = [record.fact for record in records]
        self._sources: dict[Source, Sequence[Any]] = {"record": records, "value": values, "fact": facts}
        self._read: dict[Column, list[Any]] = {}

    def column(self, column: Column) -> list[Any]:
        """The values of a column, one a record."""
        found = self._read.get(column)
        if found is None:
            _, _, source, read = column
            found = self._read[column] = list(map(read, self._sources[source]))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the archive.

    `newest_only`: of the rows of a block with one sorting key (the first column), only that of the highest version
    (the last column) is stored: the others would be dropped by ClickHouse later.
    """

    name: str
    columns: tuple[Column, ...]
    newest_only: bool = False

    def rows(self, records: Records | Sequence[Located]) -> list[list[Any]]:
        """The records as columns: `[c][r]` is column c of record r. The lists are the caller's own."""
        read = records if isinstance(records, Records) else Records(records)
        return [list(read.column(column)) for column in self.columns]

    def insert(self, columns: Sequence[Sequence[Any]], token: str) -> Insert:
        """The block of `columns`, as `rows` gave them."""
        names, types = [column[0] for column in self.columns], [column[1] for column in self.columns]
        kept = _newest(columns) if self.newest_only else columns
        return Insert(table=self.name, names=names, types=types, columns=kept, token=token)


def fields(source: Source, kinds: dict[str, str]) -> tuple[Column, ...]:
    """Columns named as the fields of the value, or of its event."""
    return tuple((name, kind, source, operator.attrgetter(name)) for name, kind in kinds.items())


def each(list_name: str, field: str) -> Read:
    """Reads a field of every item of a list."""
    items, read = operator.attrgetter(list_name), operator.attrgetter(field)
    return lambda value: list(map(read, items(value)))


def _newest(columns: Sequence[Sequence[Any]]) -> list[list[Any]]:
    keys, versions = columns[0], columns[-1]
    best: dict[Any, int] = {}
    for row, key in enumerate(keys):
        known = best.get(key)
        if known is None or versions[row] >= versions[known]:
            best[key] = row
    kept = sorted(best.values())
    return [[column[row] for row in kept] for column in columns]
