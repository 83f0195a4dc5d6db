"""Queries to the archive from an event loop: one thread, one connection, answers shared for a few seconds."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sinks.clickhouse import Connection

WAITING_MAX = 64
T = TypeVar("T")


class Busy(Exception):
    """The queue of queries is full."""


class ArchiveView:
    """The archive for an event loop. `connect` is called in the thread, before the first query."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive-view")
        self._waiting = 0
        self._answers: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to one query. Raise Busy where the queue is full, Unavailable or Refused by ClickHouse."""
        if self._waiting >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} questions wait for the archive")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)
        finally:
            self._waiting -= 1

    async def shared(self, name: str, for_s: float, question: Callable[[Connection], T]) -> T:
        """Return the answer that any caller got within `for_s` seconds under this name, else a new one.

        A failure is not shared with later callers.
        """
        asked_s, task = self._answers.get(name, (0.0, None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or time.monotonic() - asked_s > for_s:
            task = asyncio.create_task(self.ask(question))
            self._answers[name] = (time.monotonic(), task)
        return await asyncio.shield(task)  # a closed page does not cancel it for others

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._connection is not None:
            self._connection.close()

    def _answer(self, question: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._connect()
        return question(self._connection)
