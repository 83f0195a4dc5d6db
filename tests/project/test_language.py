"""Docstrings open with a verb or a noun phrase; words that the glossary bans are gone."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

from tests.project.tree import ROOT, tracked

CLAUSE = re.compile(r"(What|Where|Of|Who|Whose|Whom|Which|When|Why|Whatever)\b")
BANNED = re.compile(r"^\| ~~`(?P<word>\w+)`~~ \|", re.MULTILINE)
CLAUSE_OR_REST = re.compile(r"(How|However|Whoever|Whether|Those|That)\b")
PATH_OF_AN_EVENT = ("config", "detectors", "domain", "features", "kernels", "sinks", "streams")
BESIDE_IT = ("benchmarks", "dashboard", "replay/backtest", "replay/province")
NO_VERB = re.compile(r"(A|All|An|As|It|Returns|So|The|They|Whether)\b|\(")
CODE = re.compile(r"`([^`\n]+)`")
HISTORY = ("docs/glossary.md", "CHANGELOG.md", "benchmarks/HISTORY.md")


def _docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "lineno", 1), text


def _modules() -> list[Path]:
    return [ROOT / name for name in tracked() if name.endswith(".py")]


def test_no_docstring_opens_with_a_clause() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in _modules()
        for line, text in _docstrings(path)
        if CLAUSE.match(text)
    ]
    assert found == []


def test_no_docstring_of_an_edited_folder_opens_with_how_whether_or_those() -> None:
    """The folders that are not listed here still have some."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in _modules()
        if _is_in(path, (*BESIDE_IT, "tests"))
        for line, text in _docstrings(path)
        if CLAUSE_OR_REST.match(text)
    ]
    assert found == []


def test_functions_open_with_a_verb_and_name_errors_in_sentences() -> None:
    """`Raise X where …`, not a trailing `X.` or `X where …`: see CONTRIBUTING.md."""
    errors = {"KafkaException", *(name for name in vars(builtins) if name.endswith(("Error", "Exception")))}
    functions: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, str]] = []
    for path in _modules():
        name, is_held = path.relative_to(ROOT).as_posix(), _is_in(path, (*PATH_OF_AN_EVENT, *BESIDE_IT))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & errors:
                errors.add(node.name)
            if not is_held or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if text := ast.get_docstring(node):
                functions.append((name, node, text))
    assert len(functions) > 1_000
    fragment = re.compile(rf"(^|[.;:]\s+)({'|'.join(sorted(errors))})(\.|;| or | where | names )")
    found = [
        f"{name}:{node.lineno}: {text.splitlines()[0]}"
        for name, node, text in functions
        if fragment.search(text) or (NO_VERB.match(text) and not _is_property(node))
    ]
    assert found == []


def _is_in(path: Path, folders: tuple[str, ...]) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(tuple(f"{folder}/" for folder in folders))


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_names_that_the_glossary_bans_are_gone() -> None:
    banned = {match["word"] for match in BANNED.finditer((ROOT / "docs/glossary.md").read_text())}
    assert len(banned) > 15
    names = {
        (str(path.relative_to(ROOT)), name)
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _defined(node)
    }
    assert sorted((path, name) for path, name in names if name.lstrip("_") in banned) == []


def test_documents_use_no_name_that_the_glossary_bans() -> None:
    banned = {match["word"] for match in BANNED.finditer((ROOT / "docs/glossary.md").read_text())}
    named = [
        f"{name}: {word}"
        for name in tracked()
        if name.endswith(".md") and name not in HISTORY
        for code in CODE.findall((ROOT / name).read_text())
        for word in re.findall(r"\w+", code)
        if word.lstrip("_") in banned
    ]
    assert named == []


def _defined(node: ast.AST) -> Iterator[str]:
    """Yield the name that a definition or an assignment gives, and a module's own attributes."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr
