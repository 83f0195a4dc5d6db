"""One protocol, two ways to ClickHouse: its native protocol to a server, or the same engine in this process.

Both run the same statements on the same columns. For the embedded engine the columns are encoded by the driver's own
block writer, so that a value arrives by either way as the same bytes, and no value is ever part of a statement's text.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors
from clickhouse_driver.columns.exceptions import ColumnException
from clickhouse_driver.util.escape import escape_chars_map

from config import file_lock
from sinks.clickhouse.config import Target
from sinks.clickhouse.native_block import decode_blocks, encode_block

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9._:;|,-]{1,512}")
# Server errors that waiting can mend. Everything else stops the worker: nothing is lost, nothing is committed.
_MENDABLE_CODES = frozenset(
    {
        3,  # unexpected end of file
        159,  # timeout exceeded
        202,  # too many simultaneous queries
        203,  # no free connection
        209,  # socket timeout
        210,  # network error
        236,  # aborted (shutting down)
        241,  # memory limit exceeded
        242,  # table is read only
        243,  # not enough space
        252,  # too many parts
        279,  # all connection tries failed
        290,  # limit exceeded
        319,  # unknown status of insert
        394,  # query was cancelled
        425,  # system error
        999,  # keeper exception
    }
)

_BROKEN_LINK = (
    driver_errors.NetworkError,
    driver_errors.SocketTimeoutError,
    driver_errors.UnexpectedPacketFromServerError,
    driver_errors.UnknownPacketFromServerError,
    driver_errors.PartiallyConsumedQueryError,
)


class Unavailable(Exception):
    """ClickHouse did not answer, or cannot at the moment. It is not known whether a statement was applied."""


class Refused(Exception):
    """ClickHouse refused, and would refuse again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """Columns of one table, to be stored as one block.

    `columns[c][r]` is row r of column c; `names` and `types` (ClickHouse's) go with the columns. `token` names the
    block: a server that has stored a block of that name does not store it again.
    """

    table: str
    names: Sequence[str]
    types: Sequence[str]
    columns: Sequence[Sequence[Any]]
    token: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the settings of the statement. A backfill's block may span more than 100 months.

        Raise ValueError where the token has characters that a name may not have.
        """
        if self.token is None:
            return {}
        if not _TOKEN.fullmatch(self.token):
            raise ValueError(f"block name {self.token!r} holds characters that a name may not")
        return {"insert_deduplication_token": self.token, "max_partitions_per_insert_block": 0}


class Connection(Protocol):
    """A connection of one thread at a time."""

    @property
    def database(self) -> str:
        """Name of the database that `{database}` in a statement stands for."""

    def execute(self, statement: str) -> None:
        """Run a statement without a result. Raise Unavailable or Refused."""

    def insert(self, insert: Insert) -> None:
        """Store a block; return when it is acknowledged.

        Raise Unavailable, where it may be stored all the same, or Refused.
        """

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query; `{name:Type}` in it is bound to `parameters[name]` by the server.

        Raise Unavailable or Refused.
        """

    def close(self) -> None:
        """Close the connection, and release the folder."""


def connect(target: Target, *, answer_s_max: float = ANSWER_S_MAX) -> Connection:
    """Return a connection to `target`. Nothing is sent before the first statement; the embedded engine starts at once.

    Raise Refused where another process has the embedded engine's folder.
    """
    return NativeConnection(target, answer_s_max) if target.kind == "native" else ChdbConnection(target)


class NativeConnection:
    """ClickHouse's native protocol over TCP. It connects at the first statement, and again after an error."""

    def __init__(self, target: Target, answer_s_max: float) -> None:
        self._target = target
        self._client = Client(
            target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            secure=target.secure,
            connect_timeout=CONNECT_S_MAX,
            send_receive_timeout=answer_s_max,
            client_name="xinliu",
            settings={"server_side_params": True},
        )

    @property
    def database(self) -> str:
        return self._target.database

    def execute(self, statement: str) -> None:
        self._run(statement)

    def insert(self, insert: Insert) -> None:
        names = ", ".join(insert.names)
        # The driver writes zeros over the nulls of the lists it is given: a retry would store zeros.
        columns = [list(column) for column in insert.columns]
        statement = f"INSERT INTO {self.database}.{insert.table} ({names}) VALUES"
        self._run(statement, columns, columnar=True, settings=insert.settings() or None)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        rows = self._run(query, dict(parameters or {}))
        return [tuple(row) for row in rows]

    def close(self) -> None:
        self._client.disconnect()

    def _run(self, *args: Any, **options: Any) -> Any:
        try:
            return self._client.execute(*args, **options)
        except driver_errors.ServerException as error:
            self._client.disconnect()
            where = f"ClickHouse at [clickhouse] url = {self._target}"
            text = f"{where} refuses (code {error.code}): {_first_line(error.message)}"
            raise (Unavailable if error.code in _MENDABLE_CODES else Refused)(text) from error
        except (*_BROKEN_LINK, EOFError, OSError) as error:
            self._client.disconnect()
            text = f"ClickHouse at [clickhouse] url = {self._target} does not answer: {_first_line(str(error))}"
            raise Unavailable(text) from error
        except (
            driver_errors.Error,
            ColumnException,
        ) as error:  # a value that its column cannot hold, before anything was sent
            self._client.disconnect()
            raise Refused(f"rows for [clickhouse] url = {self._target}: {_first_line(str(error))}") from error


class ChdbConnection:
    """The engine in this process, over a folder that only this process may use.

    A process may hold several connections to a folder, one a thread: they share the engine and its lock.
    """

    def __init__(self, target: Target) -> None:
        try:
            from chdb.session import Session
        except ImportError as error:
            raise Refused(f"[clickhouse] url = {target} needs the extra `embedded` (chdb)") from error
        assert target.folder is not None
        self._target = target
        self._folder = target.folder.resolve()
        _FOLDERS.take(self._folder, str(target))
        try:
            self._session = Session(str(target.folder))
        except RuntimeError as error:
            _FOLDERS.leave(self._folder)
            raise Refused(f"[clickhouse] url = {target}: {_first_line(str(error))}") from error

    @property
    def database(self) -> str:
        return self._target.database

    def execute(self, statement: str) -> None:
        self._run(lambda: self._session.query(statement))

    def insert(self, insert: Insert) -> None:
        try:
            body = encode_block(insert.names, insert.types, insert.columns)
        except (driver_errors.Error, ColumnException) as error:
            raise Refused(f"rows for [clickhouse] url = {self._target}: {_first_line(str(error))}") from error
        words = [f"INSERT INTO {self.database}.{insert.table} ({', '.join(insert.names)})"]
        if settings := insert.settings():
            words.append("SETTINGS " + ", ".join(f"{k} = {v!r}" for k, v in settings.items()))

        def store() -> None:
            with self._session.send_insert(" ".join(words), "Native") as stream:
                stream.append(body)
                stream.finish()

        self._run(store)

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        bound = {name: _parameter(value) for name, value in (parameters or {}).items()}
        answer = self._run(lambda: self._session.query(query, "Native", params=bound))
        return decode_blocks(answer.bytes())

    def close(self) -> None:
        self._session.close()
        _FOLDERS.leave(self._folder)

    def _run(self, call: Any) -> Any:
        try:
            return call()
        except RuntimeError as error:  # chdb has one exception; the code stands in its text
            code = re.search(r"Code: (\d+)", str(error))
            mendable = code is not None and int(code[1]) in _MENDABLE_CODES
            text = f"ClickHouse at [clickhouse] url = {self._target} refuses: {_first_line(str(error))}"
            raise (Unavailable if mendable else Refused)(text) from error


class _Folders:
    """The chdb folders that this process holds, each with its lock file and the number of connections to it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[Path, tuple[IO[str], int]] = {}

    def take(self, folder: Path, url: str) -> None:
        """Count one more connection. Raise Refused, with the other process, where the folder is taken."""
        with self._guard:
            if folder in self._held:
                handle, count = self._held[folder]
                self._held[folder] = (handle, count + 1)
            else:
                self._held[folder] = (_hold(folder, url), 1)

    def leave(self, folder: Path) -> None:
        """Count one connection less; the last one releases the folder."""
        with self._guard:
            handle, count = self._held.pop(folder)
            if count > 1:
                self._held[folder] = (handle, count - 1)
            else:
                handle.close()


_FOLDERS = _Folders()


def _hold(folder: Path, url: str) -> IO[str]:
    """Lock the folder until the handle is closed. Raise Refused, with the process that has it, where it is locked."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return file_lock.hold(folder / "xinliu.lock")
    except file_lock.LockHeld as held:
        raise Refused(
            f"[clickhouse] url = {url} is open in process {held.holder}, and a chdb folder belongs to one process: "
            "stop that one, or name a server (clickhouse://user@host:9000/database)"
        ) from None


def _parameter(value: Any) -> Any:
    """Return a value as the engine parses it for `{name:Type}`: text escaped, lists as a literal.

    The native protocol's driver does the same by itself.
    """
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(f"'{_escaped(item)}'" if isinstance(item, str) else str(item) for item in value) + "]"
    return value


def _escaped(text: str) -> str:
    return "".join(escape_chars_map.get(character, character) for character in text)


def _first_line(text: str) -> str:
    """Return the message without the server's stack trace."""
    return text.split("Stack trace", 1)[0].strip().replace("\n", " ")[:500]
