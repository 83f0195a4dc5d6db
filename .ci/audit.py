"""Compare what the locks name with security advisories that you bring along; nothing is fetched.

Usage: make audit ARGS="PATH…"
Each PATH is a .json, a .zip or a folder of OSV records, as osv.dev publishes them for PyPI and for Maven.

Exit codes (make has its own): 0 no lock names an affected version, 1 one does, 2 the advisories cannot be read, or
there are none for PyPI or for Maven.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from osv import ECOSYSTEMS, Advisory, AdvisoryError, Ecosystem, finding, package_key, read_advisories
from packaging.requirements import InvalidRequirement, Requirement

from embedded.jars import read_lock

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"PyPI": Path("requirements.lock"), "Maven": Path("embedded/kafka.lock")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A version that a lock names."""

    ecosystem: Ecosystem
    name: str
    version: str


def main(words: Sequence[str] | None = None) -> int:
    """Print each affected version with its advisory and the fixed version; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make audit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("advisories", type=Path, nargs="*", metavar="PATH")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of the locks (default: this checkout)")
    args = parser.parse_args(words)
    try:
        return audit(args.root, args.advisories)
    except (AdvisoryError, OSError, ValueError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2


def audit(root: Path, paths: Sequence[Path]) -> int:
    """Compare the locks below `root` with the advisories of `paths`; return the exit code.

    Raise AdvisoryError, OSError or ValueError where one of them cannot be read.
    """
    if not paths:
        raise AdvisoryError('name the advisories: make audit ARGS="pypi.zip maven.zip"')
    locked = [*_python(root / LOCKS["PyPI"]), *_jars(root / LOCKS["Maven"])]
    counts: dict[str, int] = defaultdict(int)
    by_package: dict[tuple[str, str], dict[str, Advisory]] = defaultdict(dict)
    wanted = {package_key(one.ecosystem, one.name) for one in locked}
    for path in paths:
        for advisory in read_advisories(path):
            keys = {affected.package.key for affected in advisory.affected}
            for ecosystem in {ecosystem for ecosystem, _ in keys}:
                counts[ecosystem] += 1
            for key in keys & wanted:
                by_package[key][advisory.id] = advisory
    for ecosystem in ECOSYSTEMS:
        if not counts[ecosystem]:
            raise AdvisoryError(
                f"{', '.join(map(str, paths))}: no advisory for {ecosystem}, so {LOCKS[ecosystem]} is not audited"
            )
    found = [line for one in locked for line in _lines(one, by_package[package_key(one.ecosystem, one.name)])]
    print("".join(f"{line}\n" for line in found), end="")
    for ecosystem in ECOSYSTEMS:
        number = sum(one.ecosystem == ecosystem for one in locked)
        print(f"{LOCKS[ecosystem]}: {number} versions, {counts[ecosystem]} advisories for {ecosystem}")
    print(f"{len(found)} found")
    return 1 if found else 0


def _lines(one: Locked, advisories: dict[str, Advisory]) -> Iterator[str]:
    for name, advisory in sorted(advisories.items()):
        said = finding(advisory, one.ecosystem, one.name, one.version)
        if said is None:
            continue
        also = f" ({', '.join(advisory.aliases)})" if advisory.aliases else ""
        remedy = f"fixed in {said.fixed}" if said.fixed else "no fixed version is named"
        if not said.is_comparable:
            remedy = "its versions cannot be compared: read it"
        yield f"{one.name} {one.version}: {name}{also}: {remedy}: {advisory.summary or 'no summary'}"


def _python(lock: Path) -> Iterator[Locked]:
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.lstrip().startswith(("#", "--hash")):
            continue
        try:
            wanted = Requirement(line.rstrip("\\").strip())
            (exact,) = wanted.specifier
        except (InvalidRequirement, ValueError) as error:
            raise ValueError(f"{lock}:{number}: not 'name==version': {line!r}") from error
        if exact.operator != "==":
            raise ValueError(f"{lock}:{number}: not 'name==version': {line!r}")
        yield Locked(ecosystem="PyPI", name=wanted.name, version=exact.version)


def _jars(lock: Path) -> Iterator[Locked]:
    for jar in read_lock(lock):
        yield Locked(ecosystem="Maven", name=f"{jar.group}:{jar.artifact}", version=jar.version)


if __name__ == "__main__":
    sys.exit(main())
