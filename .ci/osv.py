"""Advisories in the OSV format, and whether one is about a version of a package.

Source: OSV Schema 1.7 (ossf.github.io/osv-schema), "Evaluation". What cannot be compared counts as affected: a person
looks.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from maven_version import MavenVersion
from packaging.version import InvalidVersion, Version

Ecosystem = Literal["PyPI", "Maven"]
ECOSYSTEMS: tuple[Ecosystem, ...] = ("PyPI", "Maven")
_FIRST = "0"  # as `introduced`: before every version


class AdvisoryError(Exception):
    """A file or folder holds no OSV records, or a malformed one; the message names file, record and field."""


class Package(msgspec.Struct, frozen=True):
    """The package that a record is about."""

    ecosystem: str = ""
    name: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return ecosystem, without the repository that may follow it, and name, as records of one package share it."""
        return package_key(self.ecosystem.partition(":")[0], self.name)


class Event(msgspec.Struct, frozen=True):
    """One boundary of a range: one of these is given."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


class Range(msgspec.Struct, frozen=True):
    """Versions between boundaries. GIT's are commits."""

    type: str
    events: tuple[Event, ...]


class Affected(msgspec.Struct, frozen=True):
    """The versions of one package."""

    package: Package = Package()
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


class Advisory(msgspec.Struct, frozen=True):
    """A record. `withdrawn`: since when it does not hold."""

    id: str
    modified: str
    withdrawn: str | None = None
    aliases: tuple[str, ...] = ()
    summary: str = ""
    affected: tuple[Affected, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The judgement of an advisory on a version. `fixed`: the lowest version that is, None where none is named."""

    fixed: str | None = None
    is_comparable: bool = True


def package_key(ecosystem: str, name: str) -> tuple[str, str]:
    """Return ecosystem and name; PyPI takes -, _ and . for one, and capitals for small letters."""
    return ecosystem, re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "PyPI" else name


def read_advisories(path: Path) -> Iterator[Advisory]:
    """Yield the records of a .json file (a record, or a list of them), of a .zip of such files, or of a folder of both.

    Raise AdvisoryError where there is none, or one is malformed.
    """
    try:
        yield from _records(path)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise AdvisoryError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error


def _records(path: Path) -> Iterator[Advisory]:
    if path.is_dir():
        for one in sorted(path.rglob("*")):
            if one.suffix in (".json", ".zip"):
                yield from _records(one)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".json"):
                    yield from _decoded(archive.read(name), f"{path}, {name}")
    else:
        yield from _decoded(path.read_bytes(), str(path))


def _decoded(body: bytes, where: str) -> list[Advisory]:
    try:
        found: Any = json.loads(body)
    except ValueError as error:
        raise AdvisoryError(f"{where}: no JSON: {error}") from error
    records = found if isinstance(found, list) else [found]
    advisories = []
    for number, record in enumerate(records, 1):
        name = record.get("id") if isinstance(record, dict) else None
        try:
            advisories.append(msgspec.convert(record, Advisory))
        except msgspec.ValidationError as error:
            raise AdvisoryError(f"{where}: record {number} ({name or 'without id'}) is not OSV: {error}") from error
    return advisories


def finding(advisory: Advisory, ecosystem: Ecosystem, name: str, version: str) -> Finding | None:
    """Return what an advisory says of a version of a package, None where it is not about it."""
    if advisory.withdrawn is not None:
        return None
    key = package_key(ecosystem, name)
    found = (_of_package(one, ecosystem, version) for one in advisory.affected if one.package.key == key)
    return next((one for one in found if one is not None), None)


def _of_package(affected: Affected, ecosystem: Ecosystem, version: str) -> Finding | None:
    ranges = [one for one in affected.ranges if one.type in ("ECOSYSTEM", "SEMVER")]
    if not ranges and not affected.versions:
        return Finding(is_comparable=False)  # commits alone, or nothing at all
    try:
        here = _parsed(ecosystem, version)
        is_listed = any(_equal(ecosystem, one, here) for one in affected.versions)
        if not is_listed and not any(_includes(one, ecosystem, here) for one in ranges):
            return None
        fixed = [_parsed(ecosystem, event.fixed) for one in ranges for event in one.events if event.fixed is not None]
        later = sorted(one for one in fixed if one > here)
        return Finding(fixed=str(later[0]) if later else None)
    except ValueError:  # InvalidVersion is one
        return Finding(is_comparable=False)


def _includes(one: Range, ecosystem: Ecosystem, here: Any) -> bool:
    if all(event.introduced is None for event in one.events):
        raise ValueError("a range that begins nowhere")
    limits = [event.limit for event in one.events if event.limit is not None]
    if limits and not any(limit == "*" or here < _parsed(ecosystem, limit) for limit in limits):
        return False
    boundaries = []  # by version; at one and the same, what ends a range stands before what begins one
    for event in one.events:
        if event.introduced is not None:
            is_first = event.introduced == _FIRST
            boundaries.append((not is_first, here if is_first else _parsed(ecosystem, event.introduced), 1))
        elif event.fixed is not None:
            boundaries.append((True, _parsed(ecosystem, event.fixed), 0))
        elif event.last_affected is not None:
            boundaries.append((True, _parsed(ecosystem, event.last_affected), 2))
    is_affected = False
    for _, version, kind in sorted(boundaries):
        if kind == 1 and here >= version:
            is_affected = True
        elif (kind == 0 and here >= version) or (kind == 2 and here > version):
            is_affected = False
    return is_affected


def _parsed(ecosystem: Ecosystem, text: str) -> Any:
    return Version(text) if ecosystem == "PyPI" else MavenVersion(text)


def _equal(ecosystem: Ecosystem, text: str, here: Any) -> bool:
    try:
        return bool(_parsed(ecosystem, text) == here)
    except InvalidVersion:  # a release of before PEP 440, which no lock can name
        return False
