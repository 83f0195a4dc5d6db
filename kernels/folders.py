"""The folders of everything that can be made again. They are private to the user: what they hold is executed."""

import functools
import os
import tempfile
from pathlib import Path

import platformdirs

from config.errors import SettingsError


def cache_root() -> Path:
    """Return the folder of everything that can be made again: XINLIU_CACHE, or the user's cache folder."""
    return Path(os.environ.get("XINLIU_CACHE") or platformdirs.user_cache_dir("xinliu", appauthor=False)).absolute()


def private_folder(name: str) -> Path:
    """Return a folder of the cache. Raise SettingsError where it cannot be written to, or others can."""
    return _private(cache_root() / name)


@functools.cache
def _private(folder: Path) -> Path:
    advice = "set XINLIU_CACHE to a folder that this user can write to"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
        status = folder.stat()
    except OSError as error:
        raise SettingsError(f"nothing can be kept in the cache folder {folder} ({error.strerror}): {advice}") from error
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o002:
        raise SettingsError(f"the content of {folder} could be another user's (owner {status.st_uid}): {advice}")
    return folder
