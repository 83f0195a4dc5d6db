"""A change counts where it can change an answer: in the machine code, in an output; a comment never."""

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kernels import outline, sources
from kernels.sources import PACKAGES, ROOT
from streams.score.version import engine_version

STEP = Path("streams/score/partition.py")


def _modules_with_kernels() -> list[Path]:
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [Path(name) for name in files.split() if name.split("/")[0] in PACKAGES]
    return [path for path in found if re.search(r"^@(allocating_)?kernel|^@intrinsic", (ROOT / path).read_text(), re.M)]


KERNELS = _modules_with_kernels()
ROOMS = sorted({path.parent for path in KERNELS})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, to plant changes in."""
    root = tmp_path_factory.mktemp("engine")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    return root


def _digests(root: Path) -> dict[Path, str]:
    for cached in (sources.digest, sources._part, sources._outline, sources._references):
        cached.cache_clear()
    return {module: sources.digest(root / module, root) for module in (*KERNELS, STEP)}


@pytest.fixture(scope="module")
def before(engine: Path) -> dict[Path, str]:
    return _digests(engine)


@contextmanager
def _planted(root: Path, change: Callable[[str], str], *names: str | Path) -> Iterator[None]:
    originals = {root / name: (root / name).read_text() for name in names}
    for path, text in originals.items():
        path.write_text(change(text))
        assert path.read_text() != text
    try:
        yield
    finally:
        for path, text in originals.items():
            path.write_text(text)


def _with_code(text: str) -> str:
    return text + "\nPLANTED = 1\n"


def _with_remarks(text: str) -> str:
    return text.replace('"""', '"""Planted. ', 1) + "\n\n# planted\n"


def test_kernels_are_found_in_these_rooms() -> None:
    assert {"sinks", "kernels", "features/state", "streams/score"} <= {room.as_posix() for room in ROOMS}
    assert Path("sinks/partitioner.py") in KERNELS


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_change_in_a_room_changes_all_that_import_it_and_nothing_else(
    engine: Path, before: dict[Path, str], room: Path
) -> None:
    changed = next(module for module in reversed(KERNELS) if module.parent == room)
    with _planted(engine, _with_code, changed):
        after = _digests(engine)
    importers = {module for module in before if engine / changed in sources.closure(engine / module, engine)}
    assert changed in importers
    assert {module for module in before if after[module] != before[module]} == importers


def test_the_callee_in_sinks_that_was_forgotten_changes_the_batch_kernels(engine: Path) -> None:
    """The kernel in `batch.py` calls `partitioner.py`, and once ran its old machine code."""
    assert engine / "sinks/partitioner.py" in sources.closure(engine / "sinks/batch.py", engine)


def test_comments_and_docstrings_change_nothing(engine: Path, before: dict[Path, str]) -> None:
    with _planted(engine, _with_remarks, *KERNELS, STEP):
        assert _digests(engine) == before


@pytest.mark.parametrize("table", ["indicators.csv", "anchors.csv", "workdays.csv", "signals.csv"])
def test_a_change_in_a_table_changes_the_loop_and_the_engine(engine: Path, before: dict[Path, str], table: str) -> None:
    with _planted(engine, lambda text: text + "\n", f"config/{table}"):
        after = _digests(engine)
    assert after[STEP] != before[STEP]
    assert after[Path("streams/score/loop.py")] != before[Path("streams/score/loop.py")]


@pytest.mark.parametrize("table", ["case_points.csv", "findings.csv", "cases.toml"])
def test_a_change_in_the_case_table_changes_the_engine_and_not_the_loop(
    engine: Path, before: dict[Path, str], table: str
) -> None:
    with _planted(engine, lambda text: text + "\n", f"config/{table}"):
        after = _digests(engine)
    changed = {module for module in before if after[module] != before[module]}
    changed = {module for module in changed if not module.is_relative_to("replay/case_points")}  # fits such a table
    readers = {Path(f"streams/score/{name}.py") for name in ("reevaluation", "case_now")}  # their small kernels
    assert changed == {STEP, *readers}


def test_sources_without_influence_on_outputs_change_nothing(engine: Path, before: dict[Path, str]) -> None:
    elsewhere = "cli/main.py", "config/settings.py", "dashboard/web.py", "replay/books.py", "streams/score/role.py"
    with _planted(engine, _with_code, *elsewhere):
        after = _digests(engine)
    # The simulator's kernels rest on settings, and decide no output.
    assert [module for module in before if after[module] != before[module] and module.parts[0] != "replay"] == []


def test_every_file_that_the_step_loads_is_in_its_closure() -> None:
    """Modules as Python finds them, and every file of the project that is opened meanwhile: tables."""
    code = (
        "import sys; from pathlib import Path; opened = set()\n"
        "sys.addaudithook(lambda name, args: name == 'open' and opened.add(str(args[0])))\n"
        "import streams.score.partition as p; from detectors.prior import prior_snapshot\n"
        "p.packaged_rules(); prior_snapshot(); p.Partition(0, lambda _: None)\n"
        "print(*opened, *(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {path for name in done.stdout.splitlines() if (path := Path(name)).is_relative_to(ROOT) and path.is_file()}
    ours = {path for path in loaded if path.relative_to(ROOT).parts[0] in PACKAGES and path.suffix not in (".pyc",)}
    assert len(ours) > 50
    assert ours - sources.closure(ROOT / STEP) <= {ROOT / STEP}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1  # why\n", "x = 1\n", True),
        ("# why\n\n\nx = 1\n", "x = 1   \n", True),
        ('def f():\n    """Do."""\n    return 1\n', "def f():\n    return 1\n", True),
        ('"""Do.\n\nMore.\n"""\nx = 1\n', '"""Else."""\nx = 1\n', True),
        ('x = "# no remark"\n', 'x = "# another"\n', False),
        ('x = """\n# no remark\n"""\n', 'x = """\n"""\n', False),
        ('x = f(\n    """no remark"""\n)\n', "x = f(\n)\n", False),
        ("if a:\n    x = 1\ny = 1\n", "if a:\n    x = 1\n    y = 1\n", False),
        ("x = 1\n", "x = 2\n", False),
    ],
)
def test_comments_and_docstrings_are_no_part_of_the_essence(tmp_path: Path, one: str, other: str, same: bool) -> None:
    for name, text in (("one.py", one), ("other.py", other)):
        (tmp_path / name).write_text(text)
    sources._outline.cache_clear()
    assert (sources.essence(tmp_path / "one.py") == sources.essence(tmp_path / "other.py")) is same


def test_the_essence_of_every_module_is_its_code() -> None:
    """Every token but comments and strings that are statements of their own is still there, in its order."""
    modules = [path for path in sources.closure(ROOT / STEP) if path.suffix == ".py"]
    for path in modules:
        text = path.read_text()
        statements = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr))
        bare = {
            (node.lineno, node.col_offset)
            for node in statements
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        }
        assert _tokens(sources.essence(path).decode()) == _tokens(text, but=bare), path


def _tokens(text: str, but: Collection[tuple[int, int]] = ()) -> list[str]:
    kept = tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.STRING
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type in kept and token.start not in but]


def test_no_docstring_is_read_by_what_decides() -> None:
    readers = [
        path for path in sources.closure(ROOT / STEP) if path.suffix == ".py" and b"__doc__" in path.read_bytes()
    ]
    assert readers == [ROOT / "kernels/outline.py"] or readers == []


def test_packages_are_those_of_the_project() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert {name.split(".")[0] for name in named} == PACKAGES


def test_nothing_is_compiled_but_by_the_decorators_of_config_kernel() -> None:
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    elsewhere = set(files.split()) - {
        "kernels/decorators.py",
        "tests/kernels/test_cache.py",
        "tests/kernels/test_sources.py",
    }
    assert [name for name in sorted(elsewhere) if re.search(r"\bn?jit\b", (ROOT / name).read_text())] == []


def test_the_engine_version_does_not_hang_on_the_folder(before: dict[Path, str]) -> None:
    assert before[STEP][:16] == engine_version()
    assert len(engine_version()) == 16


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("from . import other\n")
    with pytest.raises(SyntaxError, match=r"module.py, line 1: a relative import"):
        sources.closure(tmp_path / "module.py")


def test_a_kept_outline_is_used_only_for_the_same_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINLIU_CACHE", str(tmp_path / "cache"))
    module, kept = tmp_path / "module.py", tmp_path / "cache/outlines/module"
    module.write_text("import one\nTABLE = 'table.csv'\n")
    first = outline.outline(module, "module")
    assert (first.imports, first.files) == (("one",), ("table.csv",))
    with monkeypatch.context() as patch:
        patch.setattr(outline, "_outline", lambda *_: pytest.fail("parsed again"))
        assert outline.outline(module, "module") == first
    module.write_text("import two\n")
    assert outline.outline(module, "module").imports == ("two",)
    for broken in (b"", kept.read_bytes()[:-1], b"\x80"):
        kept.write_bytes(broken)
        assert outline.outline(module, "module").imports == ("two",)
    assert list(kept.parent.iterdir()) == [kept]
