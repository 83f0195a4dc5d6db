"""After an upgrade that changes only a callee, the compiled loop gives the new answer."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import kernels.cache as kernel_cache
from config.errors import SettingsError
from kernels import folders

ROOT = Path(__file__).resolve().parents[2]
LOOP = """
from {decorators} import {decorator}
from features.callee import gain

@{decorator}{options}
def total(n):
    s = 0
    for i in range(n):
        s += gain(i)
    return s
"""
CALLEE = """
from {decorators} import {decorator}

@{decorator}
def gain(i):
    return {gain}
"""
GUARDED = {"decorators": "kernels.decorators", "decorator": "kernel", "options": ""}
BARE = {"decorators": "numba", "decorator": "njit", "options": "(cache=True)"}
ASK = "import features.loop as l; print(l.total(10), sum(l.total.stats.cache_hits.values()))"


def test_an_upgrade_that_changes_only_a_callee_gives_the_new_answer(tmp_path: Path) -> None:
    guarded = {n: _wheel(tmp_path / f"guarded{n}", gain=n, words=GUARDED) for n in (1, 2)}
    bare = {n: _wheel(tmp_path / f"bare{n}", gain=n, words=BARE) for n in (1, 2)}

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


def _wheel(folder: Path, *, gain: int, words: dict[str, str]) -> Path:
    """Build a wheel of this project's own domain and config, with a toy loop and its callee."""
    for room in ("domain", "config", "kernels"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    features = folder / "features"
    features.mkdir()
    (features / "__init__.py").write_text("")
    (features / "loop.py").write_text(LOOP.format(**words))
    (features / "callee.py").write_text(CALLEE.format(**words, gain=gain))
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "two-wheels"
        version = "{gain}"
        [tool.setuptools]
        packages = ["domain", "config", "kernels", "features"]
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
from kernels.decorators import kernel

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


STOPS = """
import os, signal, toy
compile_leaf = toy.leaf._compiler.compile

def stop_then_compile(*arguments):
    toy.leaf._compiler.compile = compile_leaf
    os.kill(os.getpid(), signal.SIGSTOP)
    return compile_leaf(*arguments)

toy.leaf._compiler.compile = stop_then_compile
print(toy.root(3))
"""
WAITS = """
import toy
from config import file_lock
file_lock.SAY_S = 0.5
print(toy.root(3))
"""


def test_a_wait_for_a_stopped_process_that_compiles_is_reported(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environ = {**os.environ, "XINLIU_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path}
    with ExitStack() as exits:

        def start(code: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environ,
            )
            exits.enter_context(process)
            exits.callback(process.kill)
            return process

        stopped = start(STOPS)
        eventually(lambda: "State:\tT" in Path(f"/proc/{stopped.pid}/status").read_text(), 60.0, "the stop")
        waiting = start(WAITS)
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
        assert said.startswith(f"waiting for process {stopped.pid} to compile toy.root: "), said
        assert waiting.poll() is None, "it goes on waiting"
        stopped.send_signal(signal.SIGCONT)
        for process in (stopped, waiting):
            assert process.communicate(timeout=60)[0] == "6.5\n"


def _python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environ},
    )


def test_an_unwritable_folder_is_refused_by_name(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")  # refused to root too, unlike a folder without w
    done = _python("import features.values", XINLIU_CACHE=str(blocked))
    assert done.returncode != 0
    assert f"nothing can be kept in the cache folder {blocked}" in done.stderr
    assert "set XINLIU_CACHE to a folder" in done.stderr


def test_a_folder_that_others_may_write_to_is_refused(cache: Path) -> None:
    kernel_cache.kernels_folder().chmod(0o777)
    folders._private.cache_clear()
    with pytest.raises(SettingsError, match="could be another user's"):
        kernel_cache.kernels_folder()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a cache for one test; its compiled code is removed afterwards."""
    cached = kernel_cache.folder_of, folders._private
    monkeypatch.setenv("XINLIU_CACHE", str(tmp_path))
    for function in cached:
        function.cache_clear()
    yield tmp_path
    for function in cached:
        function.cache_clear()


def test_pruning_keeps_a_modules_newest_folders_and_whatever_is_in_use(cache: Path) -> None:
    kernels = kernel_cache.kernels_folder()
    now = time.time()
    for module, n in itertools.product(("loop", "other"), range(12)):
        folder = kernels / f"{module}-old{n:02}"
        folder.mkdir()
        (folder / "used").touch()
        os.utime(folder / "used", (now - 86400 * (n + 1), now - 86400 * (n + 1)))
    for n in range(3):
        (kernels / f"loop-young{n}").mkdir()
    current = kernel_cache.folder_of(ROOT / "streams/score/loop.py")
    left = {path.name for path in kernels.glob("loop-*")}
    newest = {f"loop-old{n:02}" for n in range(4)}
    assert left == {current.name, "loop-young0", "loop-young1", "loop-young2", *newest}
    assert len(list(kernels.glob("other-*"))) == 12


def test_compilations_are_counted_from_a_time_on(cache: Path) -> None:
    folder = kernel_cache.folder_of(ROOT / "streams/score/loop.py")
    for name, at_s in (("old", 1000.0), ("new", 2000.0)):
        (folder / f"{name}.nbi").touch()
        os.utime(folder / f"{name}.nbi", (at_s, at_s))
    assert kernel_cache.compiled_since(1500.0) == 1


def test_the_first_kernel_imports_no_linear_algebra() -> None:
    """By itself numba imports it, a tenth of a worker's start: `kernels.decorators` replaces a name of numba's."""
    done = _python("import features.values, sys; print('scipy.linalg' in sys.modules)")
    assert done.stdout == "False\n", done.stdout + done.stderr


def test_two_kernels_of_one_name_in_a_module_are_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY + "\n\n@kernel\ndef leaf(x):\n    return x\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = _python("import toy", XINLIU_CACHE=str(tmp_path / "cache"), PYTHONPATH=path)
    assert done.returncode != 0
    assert "two kernels are named leaf" in done.stderr


def test_another_checkout_of_the_same_sources_compiles_nothing(tmp_path: Path) -> None:
    ask = "import toy; toy.root(3); print(sum(toy.root.stats.cache_hits.values()))"
    hits = []
    for checkout, remark in (("one", ""), ("two", "# a remark\n")):
        (tmp_path / checkout).mkdir()
        (tmp_path / checkout / "toy.py").write_text(remark + TOY)
        path = os.pathsep.join([str(tmp_path / checkout), str(ROOT)])
        done = _python(ask, XINLIU_CACHE=str(tmp_path / "cache"), PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
        hits.append(int(done.stdout))
    assert hits == [0, 1]
