"""The folder that a replay's servers and progress live in: marked as ours, begun anew only where the mark stands."""

import os
import secrets
import shutil
import stat
from pathlib import Path

import msgspec
import platformdirs

from config.whole_file import write_whole

MARKER = "xinliu-state.json"
FORMAT = 1
SOURCE_CHARS_SHOWN = 100


class StateError(Exception):
    """The state folder cannot be used; the message says why and what to do."""


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """The marker file of a state folder: its owner."""

    format: int = FORMAT
    source: str  # identity of what is replayed into it


def default_directory(name: str) -> Path:
    """Return the state folder of replay `name` by default: below XINLIU_STATE or the user's state folder."""
    root = os.environ.get("XINLIU_STATE") or platformdirs.user_state_dir("xinliu", appauthor=False)
    return Path(root).absolute() / name


def open_state(directory: Path, source: str, *, fresh: bool = False) -> bool:
    """Make `directory` ready for replaying `source`; True where it goes on from an earlier state.

    `fresh` removes what is there, if our marker says that it is ours. StateError for a folder of somebody else, and for
    a state of another source. The folder is its owner's alone from then on, whoever could read it before.
    """
    directory = directory.absolute()
    if directory.exists() and not directory.is_dir():
        raise StateError(f"{directory} is no folder: name another")
    if directory.exists() and (owner := directory.stat().st_uid) != os.geteuid():
        raise StateError(f"{directory} belongs to user {owner}, and we are user {os.geteuid()}: name another folder")
    marker = directory / MARKER
    if not marker.exists():
        if directory.exists() and any(directory.iterdir()):
            raise StateError(f"{directory} is not empty and has no {MARKER}: it is not ours, name another folder")
    elif fresh:
        _remove(directory)
    else:
        found = _read(marker)
        if found.format != FORMAT or found.source != source:
            whose = found.source if len(found.source) <= SOURCE_CHARS_SHOWN else f"{found.source[:SOURCE_CHARS_SHOWN]}…"
            raise StateError(f"{directory} holds the state of another replay or version ({whose}): use --fresh")
        _close_to_others(directory)
        return True
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _close_to_others(directory)
    write_whole(marker, msgspec.json.encode(Marker(source=source)))
    return False


def token_key_file(directory: Path) -> Path:
    """Return the file of a state folder's token key, made where it is missing; its owner alone may read it."""
    path = directory / "token.key"
    if path.exists():
        path.chmod(0o600)
    else:
        write_whole(path, secrets.token_hex(32).encode(), mode=0o600)
    return path


def _close_to_others(directory: Path) -> None:
    """Make a folder its owner's alone. Raise StateError where the file system does not do that."""
    try:
        directory.chmod(0o700)
    except OSError as error:
        raise StateError(f"{directory}: {error.strerror} (its mode was to become 0700): name another folder") from error
    if (mode := stat.S_IMODE(directory.stat().st_mode)) != 0o700:
        raise StateError(f"{directory} keeps mode {mode:04o}, so others can read it: name a folder that keeps 0700")


def _read(marker: Path) -> Marker:
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Marker)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{marker}: {error}") from error


def _remove(directory: Path) -> None:
    """Remove everything but the lock, which a running replay holds; the marker last, so that a broken off removal is
    still known as ours."""
    entries = sorted(directory.iterdir(), key=lambda path: path.name == MARKER)
    for entry in entries:
        if entry.name == "lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
