"""Banks that deliver day after day, each at its own pace, now and then something old."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from domain import topics
from streams.worker.role import TP
from tests.streams.ingest.kit import DAY, as_bytes, at, receipt, txn

CONTROL, GATEWAY = TP(topics.CONTROL, 0), TP(topics.GATEWAY, 0)
OLD_DAYS_MAX = 9  # what a bank itself sends late


@dataclass(frozen=True, slots=True)
class Delivered:
    """A bank's record, and the newest event time that any bank had delivered by then."""

    value: bytes
    event_id: str | None
    newest_ms: int


class Banks:
    """The topics that ingest reads; the gateway and the operators send nothing."""

    def __init__(self, rng: random.Random, count: int, ahead_days: int) -> None:
        self._rng, self._ahead_days = rng, ahead_days
        self.ids = [f"Z90000000000{number:02d}" for number in range(1, count + 1)]
        self._ids = {TP(topics.bank_events(bank_id), 0): bank_id for bank_id in self.ids}
        self.delivered: dict[TP, list[Delivered]] = {tp: [] for tp in (*self._ids, GATEWAY, CONTROL)}
        self.days = dict.fromkeys(self._ids, 0)  # delivered so far
        self.newest_ms = 0

    def ready(self) -> list[TP]:
        """Banks that are not further ahead of the slowest than they may be."""
        oldest = min(self.days.values())
        return [tp for tp, day in self.days.items() if day <= oldest + self._ahead_days]

    def deliver(self, tp: TP) -> None:
        """The bank's next day is in its topic."""
        day, bank_id, rng = self.days[tp], self._ids[tp], self._rng
        minutes = sorted(rng.randrange(1440) for _ in range(rng.randint(1, 4)))
        if day > OLD_DAYS_MAX and rng.random() < 0.05:
            minutes.insert(0, -rng.randrange(OLD_DAYS_MAX * 1440))
        for n, minute in enumerate(minutes):
            row = txn(f"{bank_id}-{day}-{n}", at(day, minute), bank_id=bank_id, enterprise_id=f"ENT{(day + n) % 40}")
            self._append(tp, row, at(day, minute))
        self._append(tp, receipt(day, bank_id), at(day + 1))
        self.days[tp] += 1

    def last_days(self) -> dict[str, int]:
        """The day that each bank delivered last."""
        return {bank_id: DAY + self.days[tp] - 1 for tp, bank_id in self._ids.items()}

    def _append(self, tp: TP, row: dict[str, Any], time_ms: int) -> None:
        self.newest_ms = max(self.newest_ms, time_ms)
        self.delivered[tp].append(Delivered(as_bytes(row), row.get("event_id"), self.newest_ms))
