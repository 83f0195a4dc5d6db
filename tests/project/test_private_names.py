"""Tests that use private names of other modules are listed in tests/README.md, each with its reason."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
NOT_PRIVATE = {"_exit", "_replace"}  # os._exit, and a named tuple's
_PATCHES = {"setattr", "getattr", "object"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NOT_PRIVATE


def own_names(tree: ast.AST) -> set[str]:
    """The names that a module gives by itself: its definitions, variables and attributes."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def private_names(tree: ast.AST) -> set[str]:
    """The private names of others that a module reads, imports or patches."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.ImportFrom(names=names):
                found |= {each.name for each in names}
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=args) if name in _PATCHES:
                found |= {each.value for each in args if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return {name for name in found if is_private(name)} - own_names(tree)


def test_tests_that_use_private_names_state_the_reason() -> None:
    using = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if private_names(ast.parse(path.read_text(encoding="utf-8")))
    }
    page = (TESTS / "README.md").read_text(encoding="utf-8").partition("## Private names")[2]
    listed = {name for row in re.findall(r"^\| (`.*`) \|", page, re.M) for name in re.findall(r"`([^`]+)`", row)}
    assert using - listed == set(), "tests/README.md does not list them"
    assert listed - using == set(), "tests/README.md lists them, and they use none"
