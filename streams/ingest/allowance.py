"""The allowance of a bank's feed for an hour: records, their bytes, and dead letters (ADR 36). Pure.

Each is a token bucket that holds an hour's worth and refills all the time, by a monotonic clock. It is in memory alone,
and full where a worker takes the feed over. It decides when records enter the log, never what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from config.settings import IngestSettings

Paced = Literal["records", "bytes"]
HOUR_S = 3_600
MINUTES = 60  # a feed that has spent its hour goes on once a minute's worth of it is there
LETTER_BYTES = 2_000  # in dlq.v1; a larger dead letter counts once for each so many


class Bucket:
    """A token bucket that holds `an_hour` at most. Who takes from it looks before, and may take more than is left."""

    def __init__(self, an_hour: int, now_s: float) -> None:
        self.an_hour, self._left, self._at_s = an_hour, float(an_hour), now_s

    def left(self, now_s: float) -> float:
        """Return what is left; below zero where more was taken."""
        refilled = self._left + (now_s - self._at_s) * self.an_hour / HOUR_S
        self._left, self._at_s = min(refilled, float(self.an_hour)), now_s
        return self._left

    def take(self, count: int) -> None:
        """Take from it."""
        self._left -= count

    def fill(self) -> None:
        """Fill it."""
        self._left = float(self.an_hour)


class Allowance:
    """The buckets of one feed; a setting of 0 makes none."""

    def __init__(self, settings: IngestSettings, now_s: float) -> None:
        hours: dict[Paced, int] = {
            "records": settings.feed_records_per_hour_max,
            "bytes": settings.feed_bytes_per_hour_max,
        }
        self._paced = {name: Bucket(an_hour, now_s) for name, an_hour in hours.items() if an_hour}
        refused = settings.feed_refused_per_hour_max
        self._refused = Bucket(refused, now_s) if refused else None

    def spent(self, now_s: float) -> Paced | None:
        """Return which is spent; None where the feed may go on."""
        return next((name for name, bucket in self._paced.items() if bucket.left(now_s) <= 0), None)

    def has_refilled(self, now_s: float) -> bool:
        """Return whether a feed that waits may go on."""
        return all(bucket.left(now_s) >= bucket.an_hour / MINUTES for bucket in self._paced.values())

    def take(self, records: int, payload_bytes: int) -> None:
        """Count what the feed has brought."""
        for name, bucket in self._paced.items():
            bucket.take(records if name == "records" else payload_bytes)

    def refusable(self, letters: Iterable[bytes], now_s: float) -> int | None:
        """Return how many of the next dead letters may go to `dlq.v1`; None where there is no limit."""
        if self._refused is None:
            return None
        left = self._refused.left(now_s)
        count = 0
        for letter in letters:
            if left < 1:
                break
            left -= _cost(letter)
            count += 1
        return count

    def refuse(self, letters: Iterable[bytes]) -> None:
        """Count dead letters."""
        if self._refused is not None:
            self._refused.take(sum(map(_cost, letters)))

    def grant(self) -> None:
        """Let the feed have another hour's worth of dead letters: an operator has decided."""
        if self._refused is not None:
            self._refused.fill()


def _cost(letter: bytes) -> int:
    return 1 + len(letter) // LETTER_BYTES
