"""Puts numba's cache into a folder named by the hash of everything that is compiled; importing this module does it.

numba decides whether a cached function is fresh by that function's own file only. After an upgrade that changes a
function which it calls in another file, the cached loop silently gives the old answers. Therefore no two engines may
share a folder: its name holds the SHA-256 of all sources that a kernel can inline (callees, and the tables of numbers
that numba freezes into machine code), beside the versions of Python, numba, llvmlite and NumPy.

numba reads its settings when it is first imported and again whenever a NUMBA_* variable has changed, and a decorator
asks for the folder when it runs. So `features`, `detectors` and `streams` import this module before anything else.
The variable is enough for a numba that comes later, and sparing us its import here keeps `xinliu --help` quick.
"""

import functools
import hashlib
import os
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import platformdirs

from config.settings import SettingsError

# The rooms whose code or tables decide an output of `score`; the transport's parser and ingest's reader are compiled
# too.
_KERNEL_ROOMS = ("domain", "config", "features", "detectors", "streams/score", "streams/transport", "streams/plain")
_KERNEL_SUFFIXES = frozenset({".py", ".csv"})
_COMPILERS = ("numba", "llvmlite", "numpy")
_FOLDERS_KEPT = 8
_UNUSED_S_MIN = 3600.0  # a folder used within this time is never removed: its process may still be compiling
_MARKER = "used"


def engine_version() -> str:
    """Return the first 16 hex digits of the SHA-256 of all kernel sources: what outputs carry as `engine_version`.

    It does not depend on the machine, the folder or the Python version, only on names and contents of the files.
    """
    return source_hash(Path(__file__).resolve().parent.parent)[:16]


@functools.cache
def source_hash(root: Path) -> str:
    """Return the SHA-256 (hex) of the kernel sources below `root`, the folder that holds the rooms."""
    digest = hashlib.sha256()
    for room in _KERNEL_ROOMS:
        for path in sorted((root / room).rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
            if path.suffix in _KERNEL_SUFFIXES and path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
                digest.update(content)
    return digest.hexdigest()


def cache_root() -> Path:
    """Return the folder of everything that can be made again: XINLIU_CACHE, or the user's cache folder."""
    return Path(os.environ.get("XINLIU_CACHE") or platformdirs.user_cache_dir("xinliu", appauthor=False)).absolute()


def activate(root: Path | None = None) -> Path:
    """Make numba use this engine's folder and return it. SettingsError where no folder can be written to."""
    kernels = (root or cache_root()) / "kernels"
    folder = kernels / _folder_name()
    _make_writable(folder)
    (folder / _MARKER).touch()
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:  # it has read its environment already
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    _prune(kernels, keep=folder)
    return folder


def active_folder() -> Path:
    """The folder that numba uses."""
    return Path(os.environ["NUMBA_CACHE_DIR"])


def compiled_count() -> int:
    """How many functions have machine code there."""
    return sum(1 for _ in active_folder().rglob("*.nbi"))


def _folder_name() -> str:
    """`<engine version>-py3.13-<hash of the compilers' versions>`."""
    compilers = " ".join(f"{name} {version(name)}" for name in _COMPILERS)
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    toolchain = hashlib.sha256(f"{python} {compilers}".encode()).hexdigest()[:8]
    return f"{engine_version()}-py{sys.version_info.major}.{sys.version_info.minor}-{toolchain}"


def _make_writable(folder: Path) -> None:
    """Make `folder`, private to this user: what lies in it is executed."""
    advice = "set XINLIU_CACHE to a folder that this user can write to"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
        status = folder.stat()
    except OSError as error:
        raise SettingsError(f"compiled kernels cannot be cached in {folder} ({error.strerror}): {advice}") from error
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o002:
        raise SettingsError(f"compiled kernels in {folder} could be another user's (owner {status.st_uid}): {advice}")


def _prune(kernels: Path, keep: Path) -> None:
    """Remove folders of older engines beyond the newest few. One that is used meanwhile is merely compiled again."""
    unused_since = time.time() - _UNUSED_S_MIN
    others = sorted(((_used_at(path), path) for path in kernels.iterdir() if path != keep), reverse=True)
    for used_at, path in others[_FOLDERS_KEPT - 1 :]:
        if used_at < unused_since:
            shutil.rmtree(path, ignore_errors=True)


def _used_at(folder: Path) -> float:
    for path in (folder / _MARKER, folder):  # the folder itself where another process has not yet come to its marker
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return time.time()  # removed meanwhile


activate()
