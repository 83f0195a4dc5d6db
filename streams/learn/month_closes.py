"""The ticks of a partition that complete months, and which days each bank covers by them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors.learning.labels import Close
from domain.calendar import day_of, month_of_day
from domain.events import Tick


@dataclass(slots=True)
class MonthCloses:
    """One partition of `events.v1`: the ticks that completed months, as (month, close), ascending.

    Months are numbers counted from January 1970. A bank covers days from where it was first seen to cover any.
    """

    closes: list[tuple[int, Close]] = field(default_factory=list)
    covered_from: dict[str, int] = field(default_factory=dict)

    def tick(self, tick: Tick, offset: int) -> None:
        """Take in the next tick. The month that its `up_to` lies in is not complete."""
        self.covered_from = self._first_covered(tick)
        month = _complete_month(tick)
        if not self.has(month):
            covered = {
                bank_id: (first, last)
                for bank_id, first in self.covered_from.items()
                if (last := tick.feeds[bank_id].covered_up_to) is not None
            }
            self.closes.append((month, Close(offset=offset, covered=covered)))

    def has(self, month: int) -> bool:
        """Return whether a month is complete."""
        return bool(self.closes) and self.closes[-1][0] >= month

    def is_closed_by(self, tick: Tick) -> bool:
        """Return whether a tick would complete another month."""
        return not self.has(_complete_month(tick))

    def is_told_by(self, tick: Tick) -> bool:
        """Return whether a tick would say anything new: another month is complete, or another bank covers days."""
        return self.is_closed_by(tick) or self._first_covered(tick) != self.covered_from

    def close_of(self, month: int) -> Close | None:
        """Return the first tick at which `month` was complete; None where it is not."""
        return next((close for closed, close in self.closes if closed >= month), None)

    def forget(self, month: int) -> None:
        """Drop a month that is learned."""
        self.closes = [close for close in self.closes if close[0] > month] or self.closes[-1:]

    def _first_covered(self, tick: Tick) -> dict[str, int]:
        """Return by bank the first day that it is known to cover. A bank that ticks leave out begins anew."""
        return {
            bank_id: self.covered_from.get(bank_id, feed.covered_up_to)
            for bank_id, feed in tick.feeds.items()
            if feed.covered_up_to is not None
        }


def _complete_month(tick: Tick) -> int:
    """Return the last month that is complete by a tick."""
    return month_of_day(day_of(tick.up_to)) - 1


def last_day(month: int) -> int:
    """Return the last day number of a month number."""
    day = month * 30
    while month_of_day(day) <= month:
        day += 1
    return day - 1
