"""A worker comes back after it ended: when it is ready, when scores come again, and whether the ledger balances."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from config.settings import KafkaSettings
from domain import topics
from embedded import Child, ChildFailed
from embedded.jars import Progress
from embedded.restarts import LOG_LINES
from replay.offsets import Offsets

POLL_S, ANSWER_S_MAX = 0.1, 2.0
READY_S_MAX, SCORE_S_MAX = 300.0, 30.0  # after its end, after it is ready: where nothing comes in, no score goes out
SCORES_STOP_WITHOUT = frozenset({"ingest", "score"})
_one_ledger_at_a_time = threading.Lock()


class Recovery(threading.Thread):
    """Watches the worker of a role, which ended at `ended_s` of the monotonic clock, and says what it sees.

    `ready_at` is the address that says whether it is ready, `ledger` makes the process that checks the ledger. What
    goes wrong is `failure`, for the thread that asks.
    """

    def __init__(
        self,
        role: str,
        *,
        ended_s: float,
        ready_at: str,
        kafka: KafkaSettings,
        ledger: Callable[[], Child],
        on_progress: Progress,
    ) -> None:
        super().__init__(name=f"recovery of {role}", daemon=True)
        self.failure: Exception | None = None
        self._role, self._ended_s, self._ready_at, self._kafka = role, ended_s, ready_at, kafka
        self._ledger, self._on_progress = ledger, on_progress
        self._ending = threading.Event()

    def run(self) -> None:
        """Until the ledger is checked, or `end` is called."""
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001  handed to the thread that asks
            self.failure = error

    def end(self) -> None:
        """Stop watching, and wait until it has."""
        self._ending.set()
        if self.is_alive():
            self.join()

    def _watch(self) -> None:
        offsets = Offsets(self._kafka)
        places = offsets.partitions([topics.SCORE])

        def scored() -> int:
            return sum(offsets.ends(places).values())

        before = scored()
        if not self._until(lambda: self._is_ready() or self._since_end_s() > READY_S_MAX):
            return
        ready_s = self._since_end_s()
        if ready_s > READY_S_MAX:
            raise ChildFailed(f"worker {self._role} is not ready {READY_S_MAX:g} s after its end")
        role, say = self._role, self._on_progress
        if role == "ingest":
            before = scored()  # meanwhile score has gone on with what was in the log
        if not self._until(lambda: scored() > before or self._since_end_s() > ready_s + SCORE_S_MAX):
            return
        scored_s = self._since_end_s()
        if scored() == before:
            say(
                f"worker {role} is ready again after {ready_s:.1f} s; no score came in the {SCORE_S_MAX:g} s after that"
            )
        elif role in SCORES_STOP_WITHOUT:
            say(f"worker {role} is ready again after {ready_s:.1f} s, and scores came again after {scored_s:.1f} s")
        else:
            say(f"worker {role} is ready again after {ready_s:.1f} s; scores went on")
        if self._until(lambda: _one_ledger_at_a_time.acquire(blocking=False)):
            try:
                self._check_ledger()
            finally:
                _one_ledger_at_a_time.release()

    def _check_ledger(self) -> None:
        with self._ledger().launch() as child:
            if not self._until(lambda: not child.running):
                return
            if child.returncode:
                raise ChildFailed(
                    f"`xinliu ledger check` after the restart of worker {self._role} ended ({child.cause}); "
                    f"{child.log} ends:\n{child.log_tail(LOG_LINES)}"
                )
            self._on_progress(f"the ledger balances: {child.log_tail(1)}")

    def _since_end_s(self) -> float:
        return time.monotonic() - self._ended_s

    def _until(self, reached: Callable[[], bool]) -> bool:
        """Wait for it; False where `end` is called before."""
        while not reached():
            if self._ending.wait(POLL_S):
                return False
        return True

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._ready_at, timeout=ANSWER_S_MAX):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False  # it starts, or says 503 and why
