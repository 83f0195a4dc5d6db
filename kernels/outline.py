"""Outlines of modules: their code without remarks, and the names that it imports.

To parse a hundred modules takes half a second, at each start of a worker. So an outline is kept in the cache folder,
under its module's name and with the hash of what it was made from: a module that has changed since is read anew.
"""

import ast
import functools
import hashlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from config.whole_file import write_whole
from kernels.folders import private_folder

_DATA_FILE = re.compile(r"[\w-]+\.(?!py$)\w+")
_AROUND_A_STATEMENT = frozenset({tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT})


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """The outline of one module.

    `made_from`: SHA-256 (hex) of its source and of this module's; `essence`: its source without comments, docstrings,
    blank lines and white space at the ends of lines; `imports`: dotted names, which may end in an attribute; `files`:
    strings that may name a data file beside it.
    """

    made_from: str
    essence: str
    imports: tuple[str, ...]
    files: tuple[str, ...]


_decode = msgspec.msgpack.Decoder(Outline).decode


def outline(module: Path, name: str) -> Outline:
    """Return the outline of a module, from the cache folder where the module is still the same.

    module: the path of its .py file; name: what its outline is kept under. Raise SyntaxError for a relative import, and
    SettingsError where the cache folder cannot be written to.
    """
    source = module.read_bytes()
    made_from, kept = _made_from(source), private_folder("outlines") / name
    found = _found(kept)
    if found is None or found.made_from != made_from:
        found = _outline(module, source.decode(), made_from)
        write_whole(kept, msgspec.msgpack.encode(found))  # other processes read it meanwhile
    return found


def _made_from(source: bytes) -> str:
    return hashlib.sha256(_own_source() + hashlib.sha256(source).digest()).hexdigest()


@functools.cache
def _own_source() -> bytes:
    return hashlib.sha256(Path(__file__).read_bytes()).digest()


def _found(kept: Path) -> Outline | None:
    try:
        return _decode(kept.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # of no version yet, or of one that kept something else


def _outline(module: Path, source: str, made_from: str) -> Outline:
    imports, files = list[str](), list[str]()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                imports += [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(name), level=0):
                imports += [f"{name}.{alias.name}" for alias in node.names]
            case ast.ImportFrom(level=level) if level:
                raise SyntaxError(
                    f"{module}, line {node.lineno}: a relative import; this project names modules in full"
                )
            case ast.Constant(value=str(name)) if _DATA_FILE.fullmatch(name):
                files.append(name)
            case _:
                pass
    return Outline(made_from=made_from, essence=_essence(source), imports=_unique(imports), files=_unique(files))


def _unique(names: list[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(names))


def _essence(text: str) -> str:
    lines = text.splitlines(keepends=True)
    for (row, column), (end_row, end_column) in reversed(list(_remarks(text))):
        head, tail = lines[row - 1][:column], lines[end_row - 1][end_column:]
        lines[row - 1 : end_row] = [head + tail, *[""] * (end_row - row)]
    return "\n".join(stripped for line in lines if (stripped := line.rstrip()))


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
