"""The judged population: borrowers at risk at month ends, and the observed time and counts around them.

Enterprises that are bad at the start are left out. A month end whose horizon has not passed is censored, and counted as
such.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.learning.statistics import Flags, Floats, Ints
from domain.calendar import date_of, month_of_day
from replay.backtest.truth import SEEN_DAYS, Truth
from replay.backtest.world import NEVER, World

DAYS_A_MONTH = 30.4375
SHORT_DAYS, LONG_DAYS = 95, 365  # horizons of ranks: that of the score, and a year
PRECISION_DAYS = (183, 365)
BUDGET_DAYS = PRECISION_DAYS[0]  # horizon of the labels of models that rank for a budget
LEAD_DAYS = (30, 60, 90, 180)
BUDGETS = (6, 12, 24, 50)  # new cases of 1,000 borrowers a month
WARM_UP_DAYS = 212  # windows of half a year fill on day 182, and raise many alerts at once then


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The judged days, `first` to `last`, both included; outcomes are known to the end of `known_until`.

    `seen_days`: the number of judged days of each enterprise, where outcomes have no dates.
    """

    first: int
    last: int
    known_until: int
    seen_days: int | None = None

    def could_warn(self, bad_day: Ints, ahead: int) -> Flags:
        """Return which bad days (n,), bool, leave room for a warning `ahead` days before, within the judged days."""
        return (bad_day - ahead >= self.first) & (self.seen_days is None or ahead < self.seen_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The judged enterprises and their bad days; all arrays (enterprises,)."""

    bad_day: Ints  # NEVER: not known to go bad
    default_day: Ints
    judged: Flags  # its outcome is known, and it is not bad at the start
    bad_at_start: Flags
    goes_bad: Flags  # within the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Borrowers at risk at month ends, in the order of (enterprise, day); arrays (rows,)."""

    row: Ints  # in world.months
    enterprise: Ints
    month: Ints  # month number of the closed day
    day: Ints  # on which the close became known
    days_to_bad: Floats  # inf: never, as far as is known
    score_milli: Floats  # NaN: none
    p: Floats  # probability; NaN: none
    values: npt.NDArray[np.float32]
    left: Ints  # days until the end of its span of borrowing, as far as is known
    known_until: int

    def __len__(self) -> int:
        return len(self.row)

    def matured(self, horizon: int) -> Flags:
        """Return the rows (rows,), bool, whose horizon (days) has passed."""
        return self.day + horizon <= self.known_until

    def bad(self, horizon: int) -> Flags:
        """Return the rows (rows,), bool, that go bad within a horizon (days)."""
        return self.days_to_bad <= horizon


def window_of(world: World, truth: Truth, warm_up_days: int) -> Window:
    """Return the window of a world. Raise ValueError where the log is no longer than the warm-up.

    Enterprises with a label and no date each have a window of their own within it, and their history before that.
    """
    if not truth.is_dated:
        begins, ends = int(world.borrows.begin.min()), int(world.borrows.end.max())
        return Window(first=begins, last=ends, known_until=truth.known_until, seen_days=SEEN_DAYS)
    first = world.first_day + warm_up_days
    if first > world.last_day:
        began, ended = date_of(world.first_day), date_of(world.last_day)
        raise ValueError(f"a warm-up of {warm_up_days} days leaves nothing of a log from {began} to {ended}")
    return Window(first=first, last=world.last_day, known_until=max(truth.known_until, world.last_day))


def standing(world: World, truth: Truth, window: Window) -> Standing:
    """Return the judged enterprises and their bad days."""
    bad_at_start = truth.bad < window.first
    judged = truth.known & ~bad_at_start & (world.known_from <= window.last)
    return Standing(
        bad_day=truth.bad,
        default_day=truth.default,
        judged=judged,
        bad_at_start=truth.known & bad_at_start,
        goes_bad=judged & (truth.bad >= window.first) & (truth.bad <= window.last),
    )


def panel_of(world: World, window: Window, stands: Standing) -> Panel:
    """Return the rows of borrowers at risk: with an open loan when the close became known, and not bad yet."""
    months = world.months
    inside = (months.known_day >= window.first) & (months.known_day <= window.last)
    inside &= stands.judged[months.enterprise] & (months.known_day < stands.bad_day[months.enterprise])
    inside[inside] = world.borrows.holds(months.enterprise[inside], months.known_day[inside])
    row = np.flatnonzero(inside)
    enterprise, day = months.enterprise[row], months.known_day[row]
    bad_day = stands.bad_day[enterprise]
    score, p = months.score_milli[row].astype(np.float64), months.p_ppm[row] / 1e6
    return Panel(
        row=row,
        enterprise=enterprise,
        month=np.array([month_of_day(one) for one in months.day[row].tolist()], np.int64),
        day=day,
        days_to_bad=np.where(bad_day == NEVER, np.inf, bad_day - day),
        score_milli=np.where(score < 0, np.nan, score),
        p=np.where(score < 0, np.nan, p),
        values=months.values[row],
        left=world.borrows.end_of(enterprise, day) - day,
        known_until=window.known_until,
    )


def month_text(month: int) -> str:
    """Return a month number as YYYY-MM.

    >>> month_text(660)
    '2025-01'
    """
    return f"{1970 + month // 12}-{month % 12 + 1:02d}"


def exposure_months(world: World, window: Window, until: Ints | int | None = None) -> Floats:
    """Return by enterprise (enterprises,) the months with an open loan in the window, before day `until` if given."""
    end = window.last + 1 if until is None else np.minimum(until, window.last + 1)
    return world.borrows.days(len(world.ids), window.first, end) / DAYS_A_MONTH


def known_months(world: World, window: Window) -> Floats:
    """Return by enterprise (enterprises,) the months of the window since its first score, borrower or not."""
    days = window.last + 1 - np.maximum(world.known_from, window.first)
    return np.maximum(days, 0) / DAYS_A_MONTH


def sums(owner: Ints, n: int, of: Sequence[float] | Flags | Floats | None = None) -> Floats:
    """Return by owner (n,), float64, the number of its rows, or the sum of `of`."""
    weights = None if of is None else np.asarray(of, np.float64)
    return np.bincount(owner, weights, n).astype(np.float64)
