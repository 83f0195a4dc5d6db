"""How far each bank's feed is, and the ticks that say so. Pure; days are day numbers, times event times in ms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from config.settings import Bank
from domain.calendar import day_of, day_start_ms
from domain.events import Feed, Tick

HOUR_MS = 3_600_000
SILENT_DAYS_MAX = 2  # whole days of event time without event and receipt, and of a daily file those of its deadline
DAYS_APART_MAX = 7  # of silent days, so many of the last have ticks of their own
AHEAD_MAX = 64  # receipt days after a gap that are kept


@dataclass(slots=True)
class _Bank:
    deadline_ms: int
    silent_days_max: int
    last_event_time: int | None = None
    covered_up_to: int | None = None
    closed_up_to: int | None = None
    ahead: set[int] = field(default_factory=set)  # receipts after a gap

    def reached_ms(self) -> int | None:
        """Return the event time that the bank has reached: of its newest event, or the end of its last receipt."""
        days = [day for day in (self.covered_up_to, *self.ahead) if day is not None]
        times = [day_start_ms(day + 1) for day in days]
        if self.last_event_time is not None:
            times.append(self.last_event_time)
        return max(times, default=None)


class Feeds:
    """Folds events and receipts into feeds, and makes ticks of them.

    `up_to` rises with each tick, by a millisecond where only coverage has advanced: a reader takes a tick whose `up_to`
    it has seen for a repeat. A tick holds everything that the feeds know, so the last one is enough to start again
    from. Events and receipts may come again, in any order: the newest event time and the set of days count.
    """

    def __init__(self, banks: Iterable[Bank], grace_ms: int = 0) -> None:
        self.grace_ms = grace_ms
        self._banks = {bank.bank_id: _new(bank) for bank in banks}
        self.up_to: int | None = None
        self.last: Tick | None = None
        self._covered = -1  # the day up to which all banks cover that are not stalled
        self._lacking: set[str] = set()  # those that cover no more; none: to be found again

    def restore(self, tick: Tick | None) -> None:
        """Start again from the last tick of the log; None where there is none."""
        self._banks = {
            bank_id: _Bank(deadline_ms=bank.deadline_ms, silent_days_max=bank.silent_days_max)
            for bank_id, bank in self._banks.items()
        }
        self.up_to = None if tick is None else tick.up_to
        self.last, self._lacking = tick, set()
        for bank_id, feed in ({} if tick is None else tick.feeds).items():
            if bank_id not in self._banks:
                continue  # no longer a bank of ours
            bank = self._banks[bank_id]
            bank.last_event_time = feed.last_event_time
            bank.covered_up_to = feed.covered_up_to
            bank.closed_up_to = feed.closed_up_to
            bank.ahead = set(feed.receipts_ahead)

    def knows(self, bank_id: str) -> bool:
        """Return whether this is one of the configured banks."""
        return bank_id in self._banks

    def event(self, bank_id: str, time_ms: int) -> None:
        """Take in the event time of a bank's event."""
        bank = self._banks[bank_id]
        if bank.last_event_time is None or time_ms > bank.last_event_time:
            bank.last_event_time = time_ms

    def receipt(self, bank_id: str, day: int) -> bool:
        """Take in a receipt, which ends a bank's day.

        Return whether a day is now complete for every bank that is not stalled. Coverage advances from the first
        receipt day by day; receipts after a gap wait.
        """
        bank = self._banks[bank_id]
        if not self._lacking:
            self._look_for_lacking()
        if bank.covered_up_to is None:
            bank.covered_up_to = day
        elif day > bank.covered_up_to:
            bank.ahead.add(day)
            if len(bank.ahead) > AHEAD_MAX:
                bank.ahead.discard(max(bank.ahead))
            while bank.covered_up_to + 1 in bank.ahead:
                bank.covered_up_to += 1
                bank.ahead.discard(bank.covered_up_to)
        if bank_id not in self._lacking or bank.covered_up_to <= self._covered:
            return False
        self._lacking.discard(bank_id)
        return not self._lacking

    def _look_for_lacking(self) -> None:
        stalled = set() if self.last is None else {name for name, feed in self.last.feeds.items() if feed.stalled}
        days = {
            name: -1 if bank.covered_up_to is None else bank.covered_up_to
            for name, bank in self._banks.items()
            if name not in stalled
        }
        self._covered = min(days.values(), default=-1)
        self._lacking = {name for name, day in days.items() if day == self._covered}

    def reached_ms(self) -> int | None:
        """Return the newest event time of all feeds, less the grace; None where no bank has reported.

        A stalled feed is far behind it, so it never is the newest.
        """
        times = [time for bank in self._banks.values() if (time := bank.reached_ms()) is not None]
        return max(times) - self.grace_ms if times else None

    def ticks(self, time_ms: int | None, limit_ms: int | None = None) -> list[Tick]:
        """Return the ticks up to event time `time_ms`: one, and one for each midnight but the last before it.

        So each day closes on a tick of its own. Silence beyond a week is passed in one step. No tick is later than
        `limit_ms`: coverage that has advanced while event time stands there is published later.
        """
        days: list[int] = []
        if time_ms is not None and self.up_to is not None:
            today = day_of(time_ms)
            days = list(range(max(day_of(self.up_to) + 1, today - DAYS_APART_MAX), today))
        found = [self.tick(day_start_ms(day)) for day in days]
        return [tick for tick in (*found, self.tick(time_ms, limit_ms)) if tick is not None]

    def tick(self, time_ms: int | None, limit_ms: int | None = None) -> Tick | None:
        """Return the tick at event time `time_ms`.

        None where it would hold nothing new, or would be later than `limit_ms`.
        """
        if time_ms is not None and (self.up_to is None or time_ms > self.up_to):
            self.up_to = time_ms
        if self.up_to is None:
            return None
        tick = self._at(self.up_to)
        if tick == self.last:
            return None
        if self.last is not None and tick.up_to == self.last.up_to:
            if limit_ms is not None and self.up_to >= limit_ms:
                return None
            self.up_to += 1
            tick = self._at(self.up_to)
        self.last, self._lacking = tick, set()
        return tick

    def _at(self, up_to: int) -> Tick:
        return Tick(up_to=up_to, feeds={bank_id: _feed(bank, up_to) for bank_id, bank in self._banks.items()})


def _new(bank: Bank) -> _Bank:
    late_days = bank.deadline_hours // 24 if bank.mode == "daily_file" else 0
    return _Bank(deadline_ms=bank.deadline_hours * HOUR_MS, silent_days_max=SILENT_DAYS_MAX + late_days)


def _feed(bank: _Bank, up_to: int) -> Feed:
    past_deadline = day_of(up_to - bank.deadline_ms) - 1
    closed = (bank.closed_up_to, bank.covered_up_to, past_deadline)
    bank.closed_up_to = max(day for day in closed if day is not None)
    reached = bank.reached_ms()
    return Feed(
        last_event_time=bank.last_event_time,
        covered_up_to=bank.covered_up_to,
        closed_up_to=bank.closed_up_to,
        stalled=reached is None or day_of(up_to) - day_of(reached - 1) > bank.silent_days_max,
        receipts_ahead=tuple(sorted(bank.ahead)),
    )
