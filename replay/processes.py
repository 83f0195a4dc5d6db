"""Processes that work for this one: each holds one object, whose methods are called here and run there.

They never outlive us, and Ctrl-C is ours to answer: they are ended when this process leaves the block, however it does.
"""

import ctypes
import multiprocessing
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NamedTuple, Self

_PR_SET_PDEATHSIG = 1


class ProcessEnded(Exception):
    """A process ended before it had answered."""


class Answer(NamedTuple):
    """An answer to a call: progress while it runs (`ends` false), or its result."""

    process: int
    value: Any
    ends: bool


class Processes:
    """`count` processes, each with what `make(tell)` gives there; with one, that is this process, and none is started.

    `make` and all arguments are pickled. `tell(value)` gives an answer before a call has ended. What a method raises is
    raised here, by `answers`.
    """

    def __init__(self, make: Callable[[Callable[[Any], None]], Any], count: int) -> None:
        self.count = max(1, count)
        self._make = make
        self._here: Any = None
        self._said: deque[Answer] = deque()
        self._children: list[tuple[BaseProcess, Connection]] = []
        self._asked = [0] * self.count  # calls without an answer yet

    def __enter__(self) -> Self:
        if self.count == 1:
            self._here = self._make(lambda value: self._said.append(Answer(0, value, False)))
            return self
        context = multiprocessing.get_context("spawn")
        try:
            for _ in range(self.count):
                ours, theirs = context.Pipe()
                child = context.Process(target=_serve, args=(theirs, self._make), daemon=True)
                child.start()
                theirs.close()
                self._children.append((child, ours))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _at: TracebackType | None) -> None:
        self._end()

    def call(self, process: int, method: str, *arguments: Any) -> None:
        """Call a method of what a process holds; calls of one process follow each other.

        Raise ProcessEnded where it has ended already.
        """
        self._asked[process] += 1
        if self._here is not None:
            value = getattr(self._here, method)(*arguments)
            self._said.append(Answer(0, value, True))
        else:
            try:
                self._children[process][1].send((method, arguments))
            except (BrokenPipeError, ConnectionResetError):
                raise self._ended(process) from None

    def answers(self) -> Iterator[Answer]:
        """Yield the answers of the processes until all calls are answered; others may be made meanwhile."""
        while any(self._asked):
            for answer in self._heard():
                self._asked[answer.process] -= answer.ends
                yield answer

    def _heard(self) -> Iterator[Answer]:
        if self._here is not None:
            while self._said:
                yield self._said.popleft()
            return
        ready = set(wait([connection for _, connection in self._children]))
        for number, (_, connection) in enumerate(self._children):
            if connection not in ready:
                continue
            try:
                value, ends, failure = connection.recv()
            except (EOFError, ConnectionResetError):
                raise self._ended(number) from None
            if failure is not None:
                raise failure
            yield Answer(number, value, ends)

    def _ended(self, process: int) -> ProcessEnded:
        child, _ = self._children[process]
        child.join()
        return ProcessEnded(f"process {child.pid} of the replay ended with status {child.exitcode}")

    def _end(self) -> None:
        for child, connection in self._children:
            child.kill()
            connection.close()
        for child, _ in self._children:
            child.join()
        self._children.clear()
        self._here = None


def _serve(connection: Connection, make: Callable[[Callable[[Any], None]], Any]) -> None:
    """Run a process until its connection closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    held = None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            held = held or make(lambda value: connection.send((value, False, None)))
            value = getattr(held, method)(*arguments)
        except Exception as failure:  # noqa: BLE001  raised where it was called
            failure.add_note("".join(traceback.format_exception(failure)))
            connection.send((None, True, failure))
        else:
            connection.send((value, True, None))
