"""Processes that work for this one: what has ended is named, whenever it ended."""

import os
import signal

import pytest

from replay.processes import ProcessEnded, Processes


class Held:
    def __init__(self, _tell):
        pass

    def pid(self):
        return os.getpid()


def calls(pool, *, answered):
    """Call a process until it has ended: the kernel takes a moment to close its end of the pipe."""
    while True:
        pool.call(1, "pid")
        if answered:
            list(pool.answers())


@pytest.mark.parametrize("answered", [False, True], ids=["before its call", "before its answer"])
def test_a_process_that_has_ended_is_named(answered):
    with Processes(Held, 2) as pool:
        for process in range(2):
            pool.call(process, "pid")
        pids = {answer.process: answer.value for answer in pool.answers()}
        if answered:
            os.kill(pids[1], signal.SIGSTOP)
            pool.call(1, "pid")
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(ProcessEnded, match=rf"^process {pids[1]} of the replay ended with status -9$"):
            calls(pool, answered=answered)
