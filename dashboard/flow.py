"""Rates of events, lag of each role, and latency of scores, from Kafka's own numbers alone."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException

from config.settings import Settings
from dashboard.latency import LatencySample
from domain import topics
from replay.offsets import Offsets
from streams.worker.roles import topics_of

log = logging.getLogger(__name__)

POLL_S = 1.0
RATE_OVER_S = 5.0
RETRY_S = 3.0
ANSWER_S = 5.0  # until a broker counts as away; the dashboard's end may take as long
LAGGING = ("ingest", "score", "archive")  # learn commits nothing


class Rates:
    """Records a second over the last few polls.

    >>> rates = Rates()
    >>> rates.add(10.0, {"ingest": 100}), rates.add(12.0, {"ingest": 300})
    ({}, {'ingest': 100})
    """

    def __init__(self, over_s: float = RATE_OVER_S) -> None:
        self._over_s = over_s
        self._points: deque[tuple[float, Mapping[str, int]]] = deque()

    def add(self, at_s: float, counts: Mapping[str, int]) -> dict[str, int]:
        """Append a point, and return the rates in records a second; empty until there are two points."""
        self._points.append((at_s, dict(counts)))
        while len(self._points) > 2 and at_s - self._points[1][0] >= self._over_s:
            self._points.popleft()
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        if last_s <= first_s:
            return {}
        return {name: max(0, round((last[name] - first.get(name, 0)) / (last_s - first_s))) for name in last}


class Flow(threading.Thread):
    """Polls Kafka once a second, and passes the state to `deliver`; it reports and retries a broker that is away."""

    def __init__(self, settings: Settings, deliver: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__(name="flow", daemon=True)
        self._settings, self._deliver = settings, deliver
        self._latency = LatencySample(settings.kafka)
        self._ending = threading.Event()

    def run(self) -> None:
        """Poll until stopped."""
        while not self._ending.is_set():
            try:
                self._poll()
            except KafkaException as error:
                log.warning("dashboard: the broker does not answer: %s", error)
                self._deliver({"at_ms": int(time.time() * 1000), "reachable": False})
                self._ending.wait(RETRY_S)
        self._latency.close()

    def end(self) -> None:
        """Stop, and wait for the thread."""
        self._ending.set()
        if self.is_alive():
            self.join()

    def _poll(self) -> None:
        offsets, rates = Offsets(self._settings.kafka, ANSWER_S), Rates()
        roles = topics_of(self._settings)
        reads = {role: roles[role] for role in LAGGING}
        while not self._ending.is_set():
            began_s = time.monotonic()
            progress = offsets.progress(reads)
            done = progress.done
            rate = rates.add(began_s, done)
            log_ends, score_ends = (
                {place[1]: end for place, end in progress.ends.items() if place[0] == topic}
                for topic in (topics.EVENTS, topics.SCORE)
            )
            quantiles = self._latency.poll(log_ends, score_ends, rate.get("score", 0), POLL_S / 2)
            self._deliver(
                {
                    "at_ms": int(time.time() * 1000),
                    "reachable": True,
                    "received_per_s": rate.get("ingest"),
                    "applied_per_s": rate.get("score"),
                    "received": done["ingest"],
                    "lag": progress.lag,
                    **quantiles,
                }
            )
            self._ending.wait(max(0.0, POLL_S - (time.monotonic() - began_s)))
