"""The broker's jars: named and hashed in kafka.lock, brought by jgo, refused when they differ.

`python -m embedded lock` resolves COORDINATES anew and writes kafka.lock; `… fetch` fills the cache.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import file_lock
from embedded.children import PartMissing
from kernels.folders import cache_root

KAFKA, LOG4J, LZ4, BEANUTILS = "4.1.1", "2.25.3", "1.10.4", "1.11.0"
# kafka-clients is named too: beside the logging bridge jgo otherwise takes an old one: NoSuchMethodError at the start.
# So is commons-beanutils, which Kafka's commons-validator asks for in 1.9.4: that gives the class loader of an enum to
# whoever names a property (CVE-2025-48734).
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA}",
    f"org.apache.kafka:kafka-clients:{KAFKA}",
    f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
    f"at.yawk.lz4:lz4-java:{LZ4}",
    f"commons-beanutils:commons-beanutils:{BEANUTILS}",
)
# Named by Kafka 4.1.1, and unmaintained: 1.8.0 reads out of bounds (CVE-2025-12183) and lets out what a buffer held
# before (CVE-2025-66566). Its successor, above, has the same classes; Kafka names it from 4.1.2 on.
LEFT_OUT = ("org.lz4:lz4-java",)
LOCK = Path(__file__).with_name("kafka.lock")
CONNECTIONS = 6
TRIES = 3

Progress = Callable[[str], None]


class JarRefused(RuntimeError):
    """A jar differs from kafka.lock, or is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One line of the lock: Maven coordinate and hash."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def line(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} {self.sha256}"


def quiet(_text: str) -> None:
    """Progress that nobody sees."""


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Return the jars that the lock names. Raise ValueError, with the line, where one is no jar."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
        except ValueError:
            raise ValueError(f"{lock.name}:{number}: not 'group:artifact:version sha256': {line!r}") from None
        jars.append(Jar(group=group, artifact=artifact, version=version, sha256=sha256))
    return tuple(jars)


def class_path(*, lock: Path = LOCK, cache: Path | None = None, on_progress: Progress = quiet) -> list[Path]:
    """Paths of all locked jars, each of them just checked; what is missing or damaged in the cache is fetched first.

    Raises JarRefused for a fetched jar with another hash and for a jar in the cache that the lock does not name.
    Touches no network once the cache is whole.
    """
    jars = read_lock(lock)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = (cache or cache_root()) / "kafka" / digest
    folder.mkdir(parents=True, exist_ok=True)

    def say(holder: str) -> None:
        on_progress(f"waiting for process {holder}, which fetches Apache Kafka")

    with file_lock.wait(folder / ".lock", say):  # one process at a time fills a cache; the next finds it full
        _refuse_foreign(folder, jars, lock)
        missing = [jar for jar in jars if not _is_whole(folder / jar.file, jar)]
        if missing:
            _fetch(missing, folder, lock, on_progress)
    return [folder / jar.file for jar in jars]


def write_lock(lock: Path = LOCK, *, on_progress: Progress = quiet) -> int:
    """Resolve COORDINATES afresh, write the lock (no address goes into it), and return the number of jars."""
    from jgo import EnvironmentBuilder, LinkStrategy

    with tempfile.TemporaryDirectory(prefix="xinliu-lock-") as scratch:
        context = _maven(Path(scratch) / "repository")
        builder = EnvironmentBuilder(context=context, cache_dir=Path(scratch) / "envs", link_strategy=LinkStrategy.AUTO)
        on_progress(f"resolving {', '.join(COORDINATES)}")
        built = builder.from_endpoint("+".join(COORDINATES), update=False)
        jars = []
        for path in sorted((Path(scratch) / "repository").rglob("*.jar")):
            *group, artifact, version, _name = path.relative_to(Path(scratch) / "repository").parts
            jars.append(Jar(group=".".join(group), artifact=artifact, version=version, sha256=_sha256(path)))
        used = {path.name for path in Path(built.path).rglob("*.jar")}
    if used != {jar.file for jar in jars}:
        raise RuntimeError(f"jgo fetched and linked different jars: {sorted(used ^ {jar.file for jar in jars})}")
    jars = [jar for jar in jars if f"{jar.group}:{jar.artifact}" not in LEFT_OUT]
    head = "# Jars of the embedded Apache Kafka: coordinate, SHA-256. Written by `python -m embedded lock`.\n"
    lock.write_text(head + "".join(f"{jar.line}\n" for jar in sorted(jars, key=lambda jar: jar.line)))
    return len(jars)


def _fetch(missing: list[Jar], folder: Path, lock: Path, on_progress: Progress) -> None:
    """Bring jars into the folder, each by a rename and only when its hash is right: no half-written jar is left."""
    for stale in folder.glob(".fetching-*"):  # of a fetch that was killed; we are alone here
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as scratch:
        context = _maven(Path(scratch))
        pool = ThreadPoolExecutor(max_workers=CONNECTIONS, thread_name_prefix="jars")
        try:
            futures = {pool.submit(_download, context, jar): jar for jar in missing}
            for count, future in enumerate(as_completed(futures), 1):
                jar, path = futures[future], future.result()
                if (found := _sha256(path)) != jar.sha256:
                    raise JarRefused(f"{jar.file}: fetched jar has sha256 {found}, {lock.name} wants {jar.sha256}")
                os.replace(path, folder / jar.file)
                on_progress(f"Apache Kafka jars {count}/{len(missing)}: {jar.file}")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _download(context: Any, jar: Jar) -> Path:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    for left in reversed(range(TRIES)):
        try:
            return Path(artifact.resolve())
        except (OSError, RuntimeError) as failure:  # requests' errors are OSErrors, jgo's "not found" is a RuntimeError
            artifact.cached_path.unlink(missing_ok=True)
            if not left:
                raise PartMissing(f"{jar.file} could not be fetched in {TRIES} tries: {failure}") from failure
    raise AssertionError("unreachable")


def _maven(repository: Path) -> Any:
    """Return a Maven context of our own: the host's ~/.m2 is not trusted, its jgo settings (mirrors) are heard."""
    try:
        from jgo import MAVEN_CENTRAL_URL, GlobalSettings, MavenContext
    except ImportError:
        raise PartMissing("the embedded Kafka needs the extra 'embedded': pip install 'xinliu[embedded]'") from None
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    return MavenContext(repo_cache=repository, remote_repos=repositories)


def _refuse_foreign(folder: Path, jars: tuple[Jar, ...], lock: Path) -> None:
    known = {jar.file for jar in jars}
    for path in folder.glob("*.jar"):
        if path.name not in known:
            raise JarRefused(f"{path}: sha256 {_sha256(path)}, {lock.name} has no such jar (no hash)")


def _is_whole(path: Path, jar: Jar) -> bool:
    return path.exists() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest()
