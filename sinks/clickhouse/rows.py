"""How a record becomes a row: a column is a name, a ClickHouse type and where its value is in the record.

Records are decoded messages and the coordinates at which archive read each.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sinks.clickhouse.connection import Insert

TIME = "DateTime64(3, 'UTC')"  # written as integer milliseconds
WORD = "LowCardinality(String)"
WORD_OR_NULL = "LowCardinality(Nullable(String))"


Read = Callable[[Any], Any]
Source = Literal["records", "value", "fact"]
Column = tuple[str, str, Source, Read]  # name, type, what is read, how: a whole column of `Records`, else a value each


class Records:
    """Decoded records of one class and one partition, on their way into tables, with their coordinates.

    values: as decoded. facts: what each is about, the event of a log record, else the value itself. times_ms: the
    topic's timestamps. A column that several tables have is read once.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.values: list[Any] = []
        self.facts: list[Any] = []
        self.offsets: list[int] = []
        self.times_ms: list[int] = []
        self._read: dict[Column, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.values)

    def add(self, value: Any, fact: Any, offset: int, time_ms: int) -> None:
        """Add one record, before any column is read."""
        self.values.append(value)
        self.facts.append(fact)
        self.offsets.append(offset)
        self.times_ms.append(time_ms)

    def column(self, column: Column) -> list[Any]:
        """Return the values of a column, one for each record."""
        found = self._read.get(column)
        if found is None:
            _, _, source, read = column
            found = (
                read(self) if source == "records" else list(map(read, self.values if source == "value" else self.facts))
            )
            self._read[column] = found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the archive.

    `newest_only`: of the rows of a block with one sorting key (the first column), only the one with the highest version
    (the last column) is stored: ClickHouse would drop the others later.
    """

    name: str
    columns: tuple[Column, ...]
    newest_only: bool = False

    def rows(self, records: Records) -> list[list[Any]]:
        """Return the records as columns: `[c][r]` is column c of record r. The caller owns the lists."""
        return [list(records.column(column)) for column in self.columns]

    def insert(self, columns: Sequence[Sequence[Any]], token: str) -> Insert:
        """Return the insert of `columns`, as `rows` returned them."""
        names, types = [column[0] for column in self.columns], [column[1] for column in self.columns]
        kept = _newest(columns) if self.newest_only else columns
        return Insert(table=self.name, names=names, types=types, columns=kept, token=token)


def fields(source: Source, kinds: dict[str, str]) -> tuple[Column, ...]:
    """Return columns named as the fields of the value, or of its event."""
    return tuple((name, kind, source, operator.attrgetter(name)) for name, kind in kinds.items())


def each(source: Source, list_name: str, columns: dict[str, tuple[str, str]]) -> tuple[Column, ...]:
    """Return columns by name, as (type, field), of a field of every item of a list, which is walked once for all.

    A value is a tuple: the garbage collector would walk lists again and again.
    """
    items, read = operator.attrgetter(list_name), operator.attrgetter(*(field for _, field in columns.values()))
    nothing = ((),) * len(columns)
    together: Column = (
        list_name,
        "",
        source,
        lambda value: tuple(zip(*map(read, items(value)), strict=True)) or nothing,
    )
    return tuple((name, kind, "records", _part(together, k)) for k, (name, (kind, _)) in enumerate(columns.items()))


def _part(together: Column, k: int) -> Read:
    read = operator.itemgetter(k)
    return lambda records: list(map(read, records.column(together)))


def _newest(columns: Sequence[Sequence[Any]]) -> list[list[Any]]:
    keys, versions = columns[0], columns[-1]
    best: dict[Any, int] = {}
    for row, key in enumerate(keys):
        known = best.get(key)
        if known is None or versions[row] >= versions[known]:
            best[key] = row
    kept = sorted(best.values())
    return [[column[row] for row in kept] for column in columns]
