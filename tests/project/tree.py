"""The repository's own files, as git would give them to a fresh clone."""

import subprocess
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SUFFIXES = (".py", ".csv", ".toml", ".sql", ".lock", ".properties", ".json", ".js", ".html", ".css", ".svg", ".txt")


@cache
def tracked() -> list[str]:
    """Tracked files, and new ones that are not ignored, ascending."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    return sorted(name for name in listing.stdout.decode().split("\0") if name and (ROOT / name).is_file())


def packages() -> list[str]:
    """The packages that pyproject.toml lists."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed: list[str] = pyproject["tool"]["setuptools"]["packages"]
    return listed


def rooms() -> list[str]:
    """The folders that they lie in, ascending."""
    return sorted({package.split(".")[0] for package in packages()})


def shipped() -> list[str]:
    """What a wheel must hold: every module and every table, but for the operators' files."""
    return [
        name
        for name in tracked()
        if name.split("/")[0] in rooms() and name.endswith(_SUFFIXES) and not name.startswith("config/ops/")
    ]
