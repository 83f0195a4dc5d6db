"""`xinliu worker score` that kills itself: right before the nth step of a name, life after life.

    python -m tests.determinism.worker PLAN DEATHS BOOK_ROWS SWEEP <arguments of the command>

PLAN is a JSON list of [step, n]; after the last of these deaths comes a life without. DEATHS is a file: a line is added
for each. A life is forked from a process that has imported and compiled, so that the next one begins at once; it is a
process of its own, and SIGKILL is its end.
"""

import ctypes
import functools
import json
import os
import signal
import sys
from pathlib import Path

from streams.score import partition, role, rows
from streams.score.warmup import compile_kernels
from tests.determinism.desk import RULES

# A death at another step comes behind a flush: so it falls amid records, and the next life finds values to fetch.
_AT_START = ("own", "claim", "load", "fetch")


def main() -> int:
    """The lives, one after the other; the exit code of the last."""
    plan, deaths = json.loads(sys.argv[1]), Path(sys.argv[2])
    rows._BOOK_ROWS, partition._SWEEP_ENTERPRISES = int(sys.argv[3]), int(sys.argv[4])
    partition.packaged_rules = RULES  # as in the run in memory
    compile_kernels()
    told_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told_to_stop.append(number))  # it reaches the life as well
    for death in [*plan, None]:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os._exit(_live(death))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if told_to_stop or death is None or code != -signal.SIGKILL:
            return code if code >= 0 else 1
        with deaths.open("a") as lines:
            lines.write(f"{death[0]}\n")
    raise AssertionError("the last life has no death")


def _live(death: tuple[str, int] | None) -> int:
    if sys.platform == "linux":  # PR_SET_PDEATHSIG: it does not outlive the process that it was forked from
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
    left, sliced, stored = death[1] if death else 0, False, False

    def step(name: str, _partition: int) -> None:
        nonlocal left, sliced, stored
        if death is not None and name == death[0] and (stored or name in _AT_START):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        stored |= sliced and name == "state"  # before it, Redis may still be writing the slice
        sliced |= name == "slice"

    role.Score = functools.partial(role.Score, step=step)  # type: ignore[misc, assignment]
    from cli.main import main as command

    try:
        return command(sys.argv[5:])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
