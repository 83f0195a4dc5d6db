"""End offsets of the feeds, asked of the broker beside the flow: those that a fetch brings may be old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka.errors import KafkaError

from streams.worker.role import TP

log = logging.getLogger(__name__)

AskEnds = Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]]


class EndOffsetRequest:
    """A question to the broker, at most one at a time. A broker that does not answer is asked again."""

    def __init__(self, ask: AskEnds) -> None:
        self._ask = ask
        self._task: asyncio.Task[Mapping[TP, int]] | None = None
        self._asked_ms: int | None = None

    def ask(self, tps: set[TP], asked_ms: int | None) -> None:
        """Ask where these feeds end, unless a question is under way; `asked_ms` comes back with the answer."""
        if self._task is None and tps:
            self._task = asyncio.create_task(self._answer(tps))
            self._asked_ms = asked_ms

    def answer(self) -> tuple[Mapping[TP, int], int | None] | None:
        """Return the end offsets and `asked_ms`, once for each answer; None where no new one has come.

        Raise aiokafka's error where asking again is of no use.
        """
        if self._task is None or not self._task.done():
            return None
        task, self._task = self._task, None
        ends = task.result()
        return (ends, self._asked_ms) if ends else None

    def drop(self) -> None:
        """Drop the question that is under way, if any."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _answer(self, tps: set[TP]) -> Mapping[TP, int]:
        try:
            return await self._ask(tps)
        except KafkaError as error:
            if not error.retriable:
                raise
            log.warning("cannot ask for the ends of the feeds: %r", error)
            return {}
