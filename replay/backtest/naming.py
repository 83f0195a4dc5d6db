"""Naming of borrowers and its quality: arrays in, arrays out.

A policy names enterprises on days: by the cases that rules raise, or by the worst ranks of each month. A naming warns
of a default 1 to LOOKBACK_DAYS days later, not of one after that. It is right within a horizon if its enterprise goes
bad within it.
"""

from typing import NamedTuple

import numpy as np

from detectors.learning.statistics import Flags, Floats, Ints
from replay.backtest.cases import last_at

LOOKBACK_DAYS = 365
REPEAT_DAYS = 180  # a case stays with its officer: so long the same enterprise is not taken again
NONE = -np.inf  # the lead of a default that nobody warned of


class Namings(NamedTuple):
    """Enterprises and days, in the order of (owner, day)."""

    owner: Ints
    day: Ints


def namings(owner: Ints, day: Ints) -> Namings:
    """Return namings in their order, each once."""
    order = np.lexsort((day, owner))
    owner, day = owner[order], day[order]
    new = np.ones(len(owner), np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (day[1:] != day[:-1])
    return Namings(owner[new], day[new])


def leads(named: Namings, who: Ints, bad_day: Ints, lookback: int = LOOKBACK_DAYS) -> Floats:
    """Return by default (defaults,) the days from the first naming within `lookback` to it, float64; NONE: no naming.

    >>> leads(Namings(np.array([0, 0]), np.array([10, 90])), np.array([0, 1]), np.array([100, 100]), 60).tolist()
    [10.0, -inf]
    """
    if not len(named.owner):
        return np.full(len(who), NONE)
    first = last_at(named.owner, named.day, who, bad_day - lookback - 1) + 1
    # Where nothing of `who` stands before, its own first naming is the next row after all smaller owners.
    first = np.where(first > 0, first, np.searchsorted(named.owner, who))
    inside = first < len(named.owner)
    place = np.minimum(first, len(named.owner) - 1)
    inside &= (named.owner[place] == who) & (named.day[place] < bad_day)
    return np.where(inside, bad_day - named.day[place], NONE)


def is_right(named: Namings, bad_day: Ints, horizon: int) -> Flags:
    """Return by naming whether its enterprise goes bad within `horizon` days after it; `bad_day` (enterprises,)."""
    ahead = bad_day[named.owner] - named.day
    return (ahead > 0) & (ahead <= horizon)


def worst_each_month(
    month: Ints, owner: Ints, day: Ints, rank: Floats, budget_permille: float, repeat_days: int = REPEAT_DAYS
) -> Flags:
    """Return the rows, bool (rows,), that a desk takes with `budget_permille` new cases of 1,000 borrowers a month.

    Rows are the borrowers of each month. The lowest `rank` is taken first. NaN is never taken, nor an enterprise that
    was taken within `repeat_days`. The rounding error of one month's budget is carried to the next.
    """
    taken = np.zeros(len(month), np.bool_)
    order = np.lexsort((rank, month))
    months, starts = np.unique(month[order], return_index=True)
    blocked = np.full(int(owner.max(initial=-1)) + 1, np.iinfo(np.int64).min)
    budget, spent = 0.0, 0
    for number, first in enumerate(starts.tolist()):
        rows = order[first : starts[number + 1] if number + 1 < len(months) else len(order)]
        budget += budget_permille * len(rows) / 1000
        room = int(budget + 0.5) - spent
        spent += room
        free = rows[~np.isnan(rank[rows])]
        free = free[blocked[owner[free]] <= day[free]][: max(0, room)]
        taken[free] = True
        blocked[owner[free]] = day[free] + repeat_days
    return taken
