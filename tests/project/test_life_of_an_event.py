"""The page that follows one event names files and functions that exist."""

import ast
import re

from kernels.sources import ROOT

PAGE = ROOT / "docs" / "life-of-an-event.md"
HOP = re.compile(r"`(?P<file>[\w/]+\.py)` · (?P<names>`[\w.]+`)")


def _names(path: str) -> set[str]:
    """Return the functions and classes of a module, and the methods as `Class.method`."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{one.name}"
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def test_each_hop_names_a_function_that_exists() -> None:
    hops = [(hop["file"], hop["names"].strip("`")) for hop in HOP.finditer(PAGE.read_text())]
    assert len(hops) > 20
    assert [(path, name) for path, name in hops if name not in _names(path)] == []
