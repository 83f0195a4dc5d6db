"""`make demo` and `make test` in a fresh clone with new caches: what somebody waits who has just found the project."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (["make", "demo", "ARGS=--exit"], ["make", "demo", "ARGS=--exit --fresh"], ["make", "test"])


def run(argv: list[str]) -> int:
    """Print one row of the table; the first command that fails ends it with its exit code. It takes no options."""
    if argv:
        raise SystemExit(f"no options are known, not {argv}")
    with tempfile.TemporaryDirectory(prefix="xinliu-bench-") as name:
        folder = Path(name)
        clone = folder / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environ = _environ(folder)
        times = []
        for command in COMMANDS:
            started = time.perf_counter()
            done = subprocess.run([*command, f"PYTHON={_interpreter()}"], cwd=clone, env=environ, check=False)
            if done.returncode != 0:
                print(f"{' '.join(command)}: exit code {done.returncode}", file=sys.stderr)
                return done.returncode
            times.append(time.perf_counter() - started)
        cells = [f"{datetime.now(UTC):%Y-%m-%d}", machine.commit(clone), machine.describe(), platform.python_version()]
        print("| " + " | ".join([*cells, *(f"{seconds:.0f} s" for seconds in times)]) + " |")
    return 0


def _interpreter() -> Path:
    """The Python that this environment was made with, so that the clone does not find another."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def _environ(folder: Path) -> dict[str, str]:
    """This environment without anything that is there from before: no cache of pip, jars or kernels, no state."""
    ours = ("XINLIU_", "NUMBA_", "MAKE", "MFLAGS")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    new = {"PIP_CACHE_DIR": "pip", "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "state", "XDG_DATA_HOME": "data"}
    # jgo keeps what Maven would keep in ~/.m2 and ~/.jgo; a HOME of its own makes them new too.
    return {**kept, **{key: str(folder / part) for key, part in new.items()}, "HOME": str(folder / "home")}
