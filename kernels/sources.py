"""The sources that a module's code rests on: its imports, direct and indirect, and the tables that they read.

Both hashes of the engine are hashes of such a set: the one that names a kernel's machine code (kernels/cache.py) and
`engine_version` (streams/score/version.py). No list of folders is kept: the set follows from the import statements,
wherever in a module they are, and from the names of data files in it. It may be larger than what is really called, but
never smaller.

Comments and docstrings do not count: no compiler sees the former, and nothing that decides an output reads the latter
(tests/kernels/test_sources.py). Line breaks between tokens do count; to tell them apart takes a parser whose output
changes with the Python version.
"""

import ast
import functools
import hashlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

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
_DATA_FILE = re.compile(r"[\w-]+\.(?!py$)\w+")
_AROUND_A_STATEMENT = frozenset({tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT})


@functools.cache
def digest(module: Path, root: Path = ROOT) -> str:
    """Return the SHA-256 (hex) of everything that the code of a module rests on.

    module, root: absolute paths of a .py file and of the folder that holds the project's packages. The digest does not
    depend on the machine, on the folder, or on the Python version, only on names and contents of the files.
    """
    total, own_root = hashlib.sha256(), _root_of(module)
    for path in sorted(closure(module, root), key=lambda path: _name(path, root, own_root)):
        content = essence(path) if path.suffix == ".py" else path.read_bytes()
        total.update(f"{_name(path, root, own_root)}\0{len(content)}\0".encode())
        total.update(content)
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


@functools.cache
def essence(path: Path) -> bytes:
    """Return a module's source without comments, docstrings, blank lines and white space at the ends of lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for (row, column), (end_row, end_column) in reversed(list(_remarks(text))):
        head, tail = lines[row - 1][:column], lines[end_row - 1][end_column:]
        lines[row - 1 : end_row] = [head + tail, *[""] * (end_row - row)]
    return "\n".join(stripped for line in lines if (stripped := line.rstrip())).encode()


def _remarks(text: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield begin and end, each (row from 1, column from 0), of each comment and of each string that is a statement."""
    before, text_token, depth = tokenize.NEWLINE, None, 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start, token.end
        if text_token is not None and token.type in (tokenize.NEWLINE, tokenize.COMMENT):
            yield text_token.start, text_token.end
        is_statement = token.type == tokenize.STRING and before in _AROUND_A_STATEMENT
        # A line that goes on within brackets begins after NL as well.
        text_token = token if is_statement and not token.line[: token.start[1]].strip() and depth == 0 else None
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        before = token.type


@functools.cache
def _references(path: Path, root: Path) -> tuple[Path, ...]:
    """Return the files that a module imports or names."""
    return tuple(_walk(path, root))


def _walk(path: Path, root: Path) -> Iterator[Path]:
    own_root = root if path.is_relative_to(root) else _root_of(path)
    own_top = path.relative_to(own_root).with_suffix("").parts[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.ImportFrom(level=level) if level:
                raise SyntaxError(f"{path}, line {node.lineno}: a relative import; this project names modules in full")
            case ast.Constant(value=str(name)) if _DATA_FILE.fullmatch(name) and (path.parent / name).is_file():
                yield path.parent / name
                continue
            case _:
                continue
        for name in names:
            top = name.split(".")[0]
            if top in PACKAGES:
                yield from _modules(root, name)
            elif top == own_top:
                yield from _modules(own_root, name)


def _modules(root: Path, name: str) -> Iterator[Path]:
    """Yield the files of the packages and the module that a dotted name leads through. It may end in an attribute."""
    folder = root
    for part in name.split("."):
        if (module := folder / f"{part}.py").is_file():
            yield module
            return
        folder /= part
        if not folder.is_dir():
            return
        if (package := folder / "__init__.py").is_file():
            yield package


def _root_of(module: Path) -> Path:
    """Return the folder that holds the outermost package of a module, or the module itself."""
    folder = module.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _name(path: Path, *roots: Path) -> str:
    return next(path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root))
