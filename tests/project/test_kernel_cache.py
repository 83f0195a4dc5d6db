"""After an upgrade that changes only a callee, the compiled loop gives the new answer (architecture.md: it gave 20)."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import config.kernel_cache as kernel_cache
from config.settings import SettingsError

ROOT = Path(__file__).resolve().parents[2]
LOOP = """
from numba import njit
from features.callee import gain

@njit(cache=True)
def total(n):
    s = 0
    for i in range(n):
        s += gain(i)
    return s
"""
ASK = "import features.loop as l; print(l.total(10), sum(l.total.stats.cache_hits.values()))"


def test_an_upgrade_that_changes_only_a_callee_gives_the_new_answer(tmp_path: Path) -> None:
    guarded = {n: _wheel(tmp_path / f"guarded{n}", gain=n, guarded=True) for n in (1, 2)}
    bare = {n: _wheel(tmp_path / f"bare{n}", gain=n, guarded=False) for n in (1, 2)}

    # numba alone: the trap is real, else this test could not fail.
    assert _answers(tmp_path / "site_bare", bare, tmp_path) == [(10, 0), (10, 1), (10, 1)]
    # With the folder named by the sources: new answer, and both engines still find their own compiled code.
    assert _answers(tmp_path / "site_guarded", guarded, tmp_path) == [(10, 0), (10, 1), (20, 0)]


def _answers(site: Path, wheels: dict[int, Path], tmp_path: Path) -> list[tuple[int, int]]:
    """Install 1, ask twice, upgrade to 2, ask: (answer, cache hits) each."""
    _install(wheels[1], site)
    answers = [_ask(site, tmp_path), _ask(site, tmp_path)]
    _install(wheels[2], site)
    return [*answers, _ask(site, tmp_path)]


def _wheel(folder: Path, *, gain: int, guarded: bool) -> Path:
    """A wheel of this project's own domain, config and features/__init__.py, with a toy loop and its callee."""
    for room in ("domain", "config"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    features = folder / "features"
    features.mkdir()
    (features / "__init__.py").write_text(
        (ROOT / "features" / "__init__.py").read_text(encoding="utf-8") if guarded else "", encoding="utf-8"
    )
    (features / "loop.py").write_text(LOOP)
    (features / "callee.py").write_text(f"from numba import njit\n\n@njit\ndef gain(i):\n    return {gain}\n")
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "two-wheels"
        version = "{gain}"
        [tool.setuptools]
        packages = ["domain", "config", "features"]
        """)
    )
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((folder / "dist").glob("*.whl"))


def _install(wheel: Path, site: Path) -> None:
    command = ["-m", "uv", "--offline", "--no-config", "pip", "install", "--quiet", "--no-deps", "--reinstall"]
    command += ["--no-cache", "--python", sys.executable, "--target", str(site), str(wheel)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _ask(site: Path, tmp_path: Path) -> tuple[int, int]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("NUMBA_", "XINLIU_"))}
    environ |= {
        "PYTHONPATH": str(site),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),  # one folder for all versions, as numba's own user-wide one is
        "XINLIU_CACHE": str(tmp_path / "cache"),
    }
    # PYTHONPATH puts the site before the installed project.
    done = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=False, env=environ, cwd=site
    )
    assert done.returncode == 0, done.stderr
    answer, hits = done.stdout.split()
    return int(answer), int(hits)


TOY = """
from config.kernel import kernel

@kernel
def leaf(x):
    return x + 1

@kernel
def root(x):
    return leaf(x) + leaf(x * 0.5)
"""
AT_ONCE = """
import multiprocessing
import toy

def compile_toy(start, misses):
    start.wait()
    assert toy.root(3) == 6.5
    misses.put(sum(sum(f.stats.cache_misses.values()) for f in (toy.leaf, toy.root)))

fork = multiprocessing.get_context("fork")
start, misses = fork.Barrier(3), fork.Queue()
for _ in range(3):
    fork.Process(target=compile_toy, args=(start, misses)).start()
print(sum(misses.get() for _ in range(3)))
"""


def test_processes_that_compile_at_once_compile_each_signature_once(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = _python(AT_ONCE, XINLIU_CACHE=str(tmp_path / "cache"), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 3  # root, and leaf of an integer and of a float


def test_the_folder_is_set_before_any_decorator_runs() -> None:
    for module in ("features", "detectors", "streams", "streams.transport", "features.state"):
        folder, engine = _folder_and_engine(f"import {module}, numba")
        assert Path(folder).name.startswith(engine), module


def test_numba_that_was_imported_first_is_moved_too() -> None:
    folder, engine = _folder_and_engine("import numba, features; numba.config.reload_config()")
    assert Path(folder).name.startswith(engine)


def _folder_and_engine(imports: str) -> tuple[str, str]:
    ask = "import config.kernel_cache as k; print(numba.config.CACHE_DIR, k.engine_version(), sep='\\n')"
    done = _python(f"{imports}; {ask}")
    assert done.returncode == 0, done.stderr
    folder, engine = done.stdout.splitlines()
    return folder, engine


def _python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environ},
    )


def test_engine_version_follows_names_and_contents_of_kernel_sources_only(tmp_path: Path) -> None:
    def version_of(*files: tuple[str, str]) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in (("features/a.py", "x = 1"), *files):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return kernel_cache.source_hash(root)

    first = version_of()
    assert version_of(("cli/main.py", "y = 2"), ("features/__pycache__/a.pyc", "z")) == first
    changed = {
        version_of(("features/a.py", "x = 2")),
        version_of(("features/b.py", "x = 1")),
        version_of(("streams/score/loop.py", "")),
        version_of(("config/indicators.csv", "id")),
        version_of(("features/state/deep.py", "")),
    }
    assert len(changed | {first}) == 6
    assert len(kernel_cache.engine_version()) == 16


def test_an_unwritable_folder_is_refused_by_name(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")  # refused to root too, unlike a folder without w
    done = _python("import features", XINLIU_CACHE=str(blocked))
    assert done.returncode != 0
    assert f"compiled kernels cannot be cached in {blocked}" in done.stderr
    assert "set XINLIU_CACHE to a folder" in done.stderr


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = kernel_cache.activate(tmp_path)
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match="could be another user's"):
        kernel_cache.activate(tmp_path)


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch) -> None:
    """`activate` in these tests must not move the numba of the tests after them."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.environ["NUMBA_CACHE_DIR"])
    if "numba" in sys.modules:
        monkeypatch.setattr(sys.modules["numba"].config, "CACHE_DIR", sys.modules["numba"].config.CACHE_DIR)


def test_pruning_keeps_the_newest_and_whatever_is_in_use(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    now = time.time()
    for n in range(12):
        folder = kernels / f"old{n:02}"
        folder.mkdir(parents=True)
        (folder / "used").touch()
        os.utime(folder / "used", (now - 86400 * (n + 1), now - 86400 * (n + 1)))
    for n in range(3):
        (kernels / f"young{n}").mkdir()
    current = kernel_cache.activate(tmp_path)
    left = {path.name for path in kernels.iterdir()}
    assert left == {current.name, "young0", "young1", "young2", "old00", "old01", "old02", "old03"}
