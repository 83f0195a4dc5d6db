"""The folders of compiled code: one for each module and hash of everything that its kernels can inline.

numba decides whether a cached function is fresh by that function's own file alone. After an upgrade that changes a
function which it calls in another file, the cached loop silently gives the old results. Therefore a folder's name holds
the SHA-256 of the module's sources and tables and of everything that it imports (kernels/sources.py), and the versions
of Python, numba, llvmlite and NumPy. Two checkouts of the same sources share a folder, two engines share those of the
modules that did not change, and the content of a folder is never stale.
"""

import functools
import hashlib
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

from kernels import sources
from kernels.folders import private_folder

_COMPILERS = ("numba", "llvmlite", "numpy")
_FOLDERS_KEPT = 8  # a module
_UNUSED_S_MIN = 3600.0  # a folder used within this time is never removed: its process may still be compiling
_MARKER = "used"


@functools.cache
def folder_of(module: Path) -> Path:
    """Return the folder of a module's compiled code, created where it is missing.

    module: the absolute path of its .py file. Raise SettingsError where the folder cannot be written to.
    """
    kernels = kernels_folder()
    folder = kernels / f"{module.stem}-{sources.digest(module)[:16]}-{_toolchain()}"
    is_new = not folder.exists()
    folder.mkdir(exist_ok=True, mode=0o700)
    (folder / _MARKER).touch()
    if is_new:
        _prune(kernels, keep=folder)
    return folder


def kernels_folder() -> Path:
    """Return the folder of all compiled code. Raise SettingsError where it cannot be written to, or others can."""
    return private_folder("kernels")


def compiled_since(time_s: float) -> int:
    """Return the number of functions compiled since a time (seconds of the epoch)."""
    return sum(path.stat().st_mtime >= time_s for path in kernels_folder().glob("*/*.nbi"))


@functools.cache
def _toolchain() -> str:
    """Return `py3.13-<hash of the compilers' versions>`."""
    compilers = " ".join(f"{name} {version(name)}" for name in _COMPILERS)
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    toolchain = hashlib.sha256(f"{python} {compilers}".encode()).hexdigest()[:8]
    return f"py{sys.version_info.major}.{sys.version_info.minor}-{toolchain}"


def _prune(kernels: Path, keep: Path) -> None:
    """Remove a module's older folders beyond the newest few. One that is in use meanwhile is only compiled again."""
    unused_since = time.time() - _UNUSED_S_MIN
    of_module = kernels.glob(f"{keep.name.split('-')[0]}-*")
    others = sorted(((_used_at(path), path) for path in of_module if path != keep), reverse=True)
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
