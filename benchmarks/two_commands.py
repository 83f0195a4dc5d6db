"""Duration of `make demo` and `make test` in a fresh clone with empty caches, as for a new user."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import results
from benchmarks.results import ROOT, Bound

COMMANDS = {
    "first_demo_s": ["make", "demo", "ARGS=--exit"],
    "demo_again_s": ["make", "demo", "ARGS=--exit --fresh"],
    "test_s": ["make", "test"],
}
BOUNDS = {"test_s": Bound(most=720)}


def run(argv: list[str]) -> int:
    """Measure and write the result; return the exit code of the first command that fails."""
    args = results.arguments(__doc__, argv)
    if args.scale != 1.0:
        raise SystemExit(f"--scale {args.scale:g}: the two commands have one size")
    with tempfile.TemporaryDirectory(prefix="xinliu-bench-") as temporary:
        folder = Path(temporary)
        clone = folder / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environ = _environ(folder)
        figures = {}
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            done = subprocess.run([*command, f"PYTHON={_interpreter()}"], cwd=clone, env=environ, check=False)
            if done.returncode != 0:
                print(f"{' '.join(command)}: exit code {done.returncode}", file=sys.stderr)
                return done.returncode
            figures[name] = round(time.perf_counter() - started)
    return results.report("two_commands", args, figures, BOUNDS)


def _interpreter() -> Path:
    """Return the Python of this environment, so that the clone does not take another."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def _environ(folder: Path) -> dict[str, str]:
    """Return this environment with new folders for all caches (pip, jars, kernels) and state."""
    ours = ("XINLIU_", "NUMBA_", "MAKE", "MFLAGS")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    new = {"PIP_CACHE_DIR": "pip", "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": "state", "XDG_DATA_HOME": "data"}
    # jgo keeps what Maven would keep in ~/.m2 and ~/.jgo; a HOME of its own makes them new too.
    return {**kept, **{key: str(folder / part) for key, part in new.items()}, "HOME": str(folder / "home")}
