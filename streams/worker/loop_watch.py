"""An alarm where the event loop is blocked. Heartbeats have a thread of their own, so the group would not notice."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

log = logging.getLogger(__name__)


class LoopWatch(threading.Thread):
    """Watches from outside whether a loop still takes turns; logs where it is stuck, and when it goes on.

    Start the thread from the loop's own thread, and run `beat` as a task of the loop.
    """

    def __init__(self, name: str, alarm_s: float) -> None:
        super().__init__(name=f"{name} loop watch", daemon=True)
        self._role, self._alarm_s = name, alarm_s
        self._loop_thread = threading.get_ident()
        self._beat_s = time.monotonic()
        self._ended = threading.Event()

    async def beat(self) -> None:
        """Note forever that the loop takes its turns."""
        while True:
            self._beat_s = time.monotonic()
            await asyncio.sleep(self._alarm_s / 8)

    def run(self) -> None:
        """Watch until `end`; log once for each blockage, and again each time that it has become twice as long."""
        since_s, next_s = self._beat_s, self._alarm_s
        while not self._ended.wait(self._alarm_s / 8):
            blocked_s = time.monotonic() - self._beat_s
            if self._beat_s != since_s and next_s > self._alarm_s:
                log.warning("%s: the event loop goes on, after %.1f s or more", self._role, next_s / 2)
            if self._beat_s != since_s:
                since_s, next_s = self._beat_s, self._alarm_s
            if blocked_s >= next_s:
                log.error("%s: the event loop is blocked for %.1f s, at\n%s", self._role, blocked_s, self._where())
                next_s *= 2

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _where(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        return "nowhere" if frame is None else "".join(traceback.format_stack(frame)[-6:])
