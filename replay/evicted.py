"""The values of enterprises that are not in memory, where there is no Redis: in a file without a name."""

import sqlite3
from collections.abc import Sequence

from features.values import Value

NAMES_AT_ONCE = 500
CACHE_KIB = 65_536


class Evicted:
    """The values of a partition's evicted enterprises, kept by the one process that reads a log from its start.

    SQLite keeps it in memory up to CACHE_KIB, and else in a temporary file that goes with the process.
    """

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("CREATE TABLE held (name TEXT PRIMARY KEY, hot BLOB, cold BLOB)")

    def write(self, values: Sequence[tuple[str, Value]]) -> None:
        """Keep values; a cold part that is not among them stays as it is."""
        self._base.execute("BEGIN")
        self._base.executemany(
            "INSERT INTO held VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET hot = excluded.hot, cold = coalesce(excluded.cold, cold)",
            ((name, value.hot, value.cold) for name, value in values),
        )
        self._base.execute("COMMIT")

    def fetch(self, names: Sequence[str]) -> list[Value]:
        """Return the values of enterprises, each of which was written. Raise KeyError where one was not."""
        found: dict[str, Value] = {}
        for first in range(0, len(names), NAMES_AT_ONCE):
            some = names[first : first + NAMES_AT_ONCE]
            wanted = f"SELECT name, hot, cold FROM held WHERE name IN ({','.join('?' * len(some))})"
            found.update((name, Value(hot, cold)) for name, hot, cold in self._base.execute(wanted, some))
        return [found[name] for name in names]
