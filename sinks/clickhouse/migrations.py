"""The numbered `.sql` files beside this module, each run once; the table `schema_version` records which."""

import hashlib
import re
from importlib.resources import files

from sinks.clickhouse.connection import Connection, Insert, Refused

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_VERSIONS = """
CREATE TABLE IF NOT EXISTS {database}.schema_version (version UInt32, name String, sha256 String)
ENGINE = ReplacingMergeTree ORDER BY version
"""


def scripts() -> list[tuple[int, str, str]]:
    """Return (version, file name, text) of every migration, ascending."""
    return sorted(
        (int(match[1]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in files("sinks.clickhouse").iterdir()
        if (match := _FILE.fullmatch(entry.name))
    )


def migrate(connection: Connection) -> list[str]:
    """Run the migrations that the database lacks; return their names.

    Statements are repeatable, and so is an aborted run.

    Raise Refused where a file that was run has changed since, or the database is newer than this engine, and
    Unavailable where ClickHouse does not answer.
    """
    connection.execute(f"CREATE DATABASE IF NOT EXISTS {connection.database}")
    connection.execute(_VERSIONS.replace("{database}", connection.database))
    query = f"SELECT version, name, sha256 FROM {connection.database}.schema_version FINAL"
    done = {version: (name, sha256) for version, name, sha256 in connection.rows(query)}
    known = scripts()
    if newer := sorted(set(done) - {version for version, _, _ in known}):
        raise Refused(f"database {connection.database} has migration {newer[-1]}, which this engine does not know")
    ran = []
    for version, name, text in known:
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if version in done:
            if done[version][1] != sha256:
                raise Refused(f"migration {name} was run as another text (SHA-256 {done[version][1]})")
            continue
        for statement in statements(text):
            connection.execute(statement.replace("{database}", connection.database))
        types = ("UInt32", "String", "String")
        columns = ([version], [name], [sha256])
        names = ("version", "name", "sha256")
        connection.insert(Insert(table="schema_version", names=names, types=types, columns=columns))
        ran.append(name)
    return ran


def statements(text: str) -> list[str]:
    """Return the statements of a file: a comment ends with its line, a semicolon at a line's end ends a statement."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", bare) if part.strip()]
