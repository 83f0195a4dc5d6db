"""Common parts of the command's tests: settings files, and how the command is called."""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from config.settings import PREFIX, RedisSettings, Settings
from replay.stack import toml


def settings_file(folder: Path, settings: Settings, redis_url: str | None = None) -> Path:
    """The settings as a file for `--config`."""
    if redis_url is not None:
        settings = msgspec.structs.replace(settings, redis=RedisSettings(url=redis_url, timeout_s=2.0))
    document: dict[str, Any] = {
        name: [given(table) for table in content] if isinstance(content, list | tuple) else given(content)
        for name, content in msgspec.to_builtins(settings).items()
    }
    path = folder / "xinliu.toml"
    path.write_text("\n".join(toml(document)) + "\n", encoding="utf-8")
    return path


def given(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: a key that is not set is left out."""
    return {key: value for key, value in table.items() if value is not None}


def xinliu(*words: str | Path) -> tuple[list[str], dict[str, str]]:
    """(argv, environment) of a call that no setting of this environment reaches."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX) or "CACHE" in key}
    return [sys.executable, "-P", "-m", "cli.main", *map(str, words)], {**environ, "PYTHONUNBUFFERED": "1"}
