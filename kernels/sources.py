"""The sources that a module's code rests on: its imports, direct and indirect, and the tables that they read.

Both hashes of the engine are hashes of such a set: the one that names a kernel's machine code (kernels/cache.py) and
`engine_version` (streams/score/version.py). No list of folders is kept: the set follows from the import statements,
wherever in a module they are, and from the names of data files in it. It may be larger than what is really called, but
never smaller.

Comments and docstrings do not count: no compiler sees the former, and nothing that decides an output reads the latter
(tests/kernels/test_sources.py). Line breaks between tokens do count; to tell them apart takes a parser whose output
changes with the Python version.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from kernels.outline import Outline, outline

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = frozenset(
    {
        "domain",
        "config",
        "kernels",
        "features",
        "detectors",
        "sinks",
        "embedded",
        "streams",
        "replay",
        "dashboard",
        "cli",
    }
)


@functools.cache
def digest(module: Path, root: Path = ROOT) -> str:
    """Return the SHA-256 (hex) of everything that the code of a module rests on.

    module, root: absolute paths of a .py file and of the folder that holds the project's packages. The digest does not
    depend on the machine, on the folder, or on the Python version, only on names and contents of the files.
    """
    total = hashlib.sha256()
    for _, part in sorted(_part(path, root) for path in closure(module, root)):
        total.update(part)
    return total.hexdigest()


def closure(module: Path, root: Path = ROOT) -> frozenset[Path]:
    """Return the file of a module, of all project modules that it imports, directly or not, and their data files."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _references(path, root) if path.suffix == ".py" else ()
    return frozenset(found)


def essence(path: Path) -> bytes:
    """Return a module's source without comments, docstrings, blank lines and white space at the ends of lines."""
    return _outline(path).essence.encode()


@functools.cache
def _part(path: Path, root: Path) -> tuple[str, bytes]:
    """Return a file's name beneath its root, and the bytes that it adds to each digest."""
    name = path.relative_to(_own_root(path, root)).as_posix()
    content = essence(path) if path.suffix == ".py" else path.read_bytes()
    return name, f"{name}\0{len(content)}\0".encode() + content


@functools.cache
def _references(path: Path, root: Path) -> tuple[Path, ...]:
    """Return the files that a module imports or names."""
    return tuple(dict.fromkeys(_walk(path, root)))


def _walk(path: Path, root: Path) -> Iterator[Path]:
    own_root, found = _own_root(path, root), _outline(path)
    own_top = path.relative_to(own_root).with_suffix("").parts[0]
    for name in found.imports:
        top = name.split(".")[0]
        if top in PACKAGES:
            yield from _modules(root, name)
        elif top == own_top:
            yield from _modules(own_root, name)
    for name in found.files:
        if (file := path.parent / name).is_file():
            yield file


@functools.cache
def _outline(path: Path) -> Outline:
    return outline(path, ".".join(path.relative_to(_root_of(path)).with_suffix("").parts))


@functools.cache
def _modules(root: Path, name: str) -> tuple[Path, ...]:
    """Return the files of the packages and the module that a dotted name leads through. It may end in an attribute."""
    folder, found = root, list[Path]()
    for part in name.split("."):
        if (module := folder / f"{part}.py").is_file():
            found.append(module)
            break
        folder /= part
        if not folder.is_dir():
            break
        if (package := folder / "__init__.py").is_file():
            found.append(package)
    return tuple(found)


def _own_root(path: Path, root: Path) -> Path:
    return root if path.is_relative_to(root) else _root_of(path)


def _root_of(module: Path) -> Path:
    """Return the folder that holds the outermost package of a module, or the module itself."""
    folder = module.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder
