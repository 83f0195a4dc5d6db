"""A learn worker that gets a signal before a step: `python -m … CONFIG STEP NTH SIGNAL`."""

import os
import signal
import sys

from cli.main import main
from streams.worker import roles


def interrupted_role(name: str, nth: int, number: signal.Signals) -> None:
    """Let the role `learn` of this process send itself a signal before the nth step of a name."""
    seen = 0

    def step(what: str) -> None:
        nonlocal seen
        if what == name:
            seen += 1
            if seen == nth:
                print(f"interrupted before {name}", file=sys.stderr, flush=True)
                os.kill(os.getpid(), number)

    def build(settings):  # type: ignore[no-untyped-def]
        from streams.learn.role import Learn

        return Learn(settings, step=step, poll_s=0.1)

    roles.ROLES["learn"] = build  # type: ignore[index]


if __name__ == "__main__":
    config, step_name, nth, number = sys.argv[1:]
    interrupted_role(step_name, int(nth), signal.Signals[number])
    sys.exit(main(["--config", config, "worker", "learn"]))
