"""`[clickhouse] url` read: a server by the native protocol, or a folder of this process."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote

from config.errors import SettingsError
from config.redaction import shown_url, split_url
from config.settings import ClickHouseSettings

NATIVE_PORT, NATIVE_TLS_PORT = 9000, 9440
DATABASE_DEFAULT = "xinliu"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FORMS = "clickhouse://user@host:9000/database, clickhouses:// (TLS) or chdb:///folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The address of the archive. `folder`: only for the embedded engine; host to password: only for a server."""

    kind: Literal["native", "chdb"]
    database: str = DATABASE_DEFAULT
    folder: Path | None = None
    host: str = ""
    port: int = NATIVE_PORT
    secure: bool = False
    user: str = "default"
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the address as operators write it, without a secret."""
        if self.kind == "chdb":
            return f"chdb://{self.folder}"
        return f"clickhouse{'s' if self.secure else ''}://{self.user}@{self.host}:{self.port}/{self.database}"


def target_of(settings: ClickHouseSettings) -> Target:
    """Return the target that the settings name.

    Raise SettingsError, with the setting and what would be right, where they name none.
    """
    try:
        parts = split_url(settings.url)
    except ValueError as error:
        raise SettingsError(f"[clickhouse] url = {shown_url(settings.url)}: {error}; forms: {_FORMS}") from error
    match parts.scheme:
        case "chdb":
            return _chdb(settings.url, unquote(parts.path), parts.netloc, parts.query)
        case "clickhouse" | "clickhouses":
            if parts.password is not None:
                raise SettingsError("[clickhouse] url holds a password: name a file in [clickhouse] password_file")
            if not parts.hostname or parts.query:
                wrong = "nothing may follow the database" if parts.hostname else "it names no host"
                raise SettingsError(f"[clickhouse] url = {shown_url(settings.url)}: {wrong}; forms: {_FORMS}")
            secure = parts.scheme == "clickhouses"
            return Target(
                kind="native",
                database=_identifier(parts.path.removeprefix("/") or DATABASE_DEFAULT),
                host=parts.hostname,
                port=parts.port or (NATIVE_TLS_PORT if secure else NATIVE_PORT),
                secure=secure,
                user=unquote(parts.username or "default"),
                password=_password(settings.password_file),
            )
        case scheme:
            raise SettingsError(f"[clickhouse] url: scheme {scheme!r} is not known; forms: {_FORMS}")


def _chdb(url: str, folder: str, netloc: str, query: str) -> Target:
    if netloc or not folder.strip("/"):
        raise SettingsError(
            f"[clickhouse] url = {shown_url(url)}: three slashes and a folder, as chdb:///var/lib/xinliu"
        )
    options = dict(parse_qsl(query))
    database = options.pop("database", DATABASE_DEFAULT)
    if options:
        raise SettingsError(f"[clickhouse] url = {shown_url(url)}: only `database` may follow the folder")
    if set(folder) & set("?&#"):
        raise SettingsError(f"[clickhouse] url = {shown_url(url)}: the folder's name holds one of ? & #")
    return Target(kind="chdb", database=_identifier(database), folder=Path(folder))


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise SettingsError(f"[clickhouse] url: database {name!r} is not letters, digits and underscores (64 at most)")
    return name


def _password(file: str | None) -> str:
    if file is None:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip("\r\n")
    except OSError as error:
        raise SettingsError(f"[clickhouse] password_file = {file}: {error.strerror}") from error
