"""The load on desks: cases opened or made graver, by borrowers, enterprises, banks and weeks."""

import numpy as np

from detectors.learning import statistics
from detectors.learning.statistics import Flags, Ints
from domain.calendar import month_of_day, week_of_day
from replay.backtest.cases import NO_CASE, ORANGE, YELLOW, Steps, levels_at, rises
from replay.backtest.panel import DAYS_A_MONTH, Panel, exposure_months, known_months, month_text, sums
from replay.backtest.report import BankWeek, Load, figure, number
from replay.backtest.worth import Judge

DAYS_SHOWN_MIN = 14  # of a month at an end of the window
LEVELS = (("orange_red", ORANGE), ("yellow", YELLOW))


def load_of(judge: Judge, panel: Panel) -> list[Load]:
    """Return the load of orange and red cases, and that of yellow ones."""
    world, window = judge.world, judge.window
    found = judge.everything
    found = found.only((found.day >= window.first) & (found.day <= window.last))
    borrows = world.borrows.holds(found.owner, found.day)
    by_bank = _steps_by_bank(judge)
    at_bank = world.lends.holds(by_bank.owner, by_bank.day)
    by_bank = by_bank.only(at_bank & (by_bank.day >= window.first) & (by_bank.day <= window.last))
    standing = _standing(judge, panel)
    exposure, known = exposure_months(world, window), known_months(world, window)
    loads = []
    for name, level in LEVELS:
        of_level = _is_of(found.after, level)
        counted = sums(found.owner[of_level & borrows], judge.n)
        everyone = sums(found.owner[of_level], judge.n)
        is_bad = found.day >= judge.standing.bad_day[found.owner]
        n, all_n = round(float(counted.sum())), round(float(everyone.sum()))
        open_at_least = sums(panel.enterprise, judge.n, standing >= level)
        loads.append(
            Load(
                level=name,
                cases=n,
                cases_of_others=all_n - n,
                cases_after_bad=int((of_level & borrows & is_bad).sum()),
                per_1000_borrowers=figure(statistics.ratio(counted, exposure, judge.weights, n), 1000),
                per_1000_enterprises=figure(statistics.ratio(everyone, known, judge.weights, all_n), 1000),
                bank_week=_bank_week(judge, by_bank.only(_is_of(by_bank.after, level))),
                standing_share=figure(statistics.ratio(open_at_least, sums(panel.enterprise, judge.n), judge.weights)),
                by_month=_by_month(judge, found.day[of_level & borrows]),
            )
        )
    return loads


def _is_of(after: Ints, level: int) -> Flags:
    return after >= ORANGE if level == ORANGE else after == level


def _steps_by_bank(judge: Judge) -> Steps:
    """Return the steps of the cases of each bank: from alerts of the platform and from those about its own loans."""
    revisions, banks = judge.world.revisions, len(judge.world.banks)
    row = revisions.pair_revision
    owner = revisions.enterprise[row] * banks + revisions.pair_bank
    order = np.lexsort((row, owner))
    row, owner = row[order], owner[order]
    return rises(owner, revisions.moment[row], revisions.day[row], revisions.pair_level[order])


def _bank_week(judge: Judge, found: Steps) -> BankWeek:
    """Return the cases of a bank in a week. Only whole weeks of the window count: others would lower the mean."""
    world, window = judge.world, judge.window
    first, last = week_of_day(window.first + 6), week_of_day(window.last + 1)
    banks = np.unique(world.lends.owner % max(1, len(world.banks)))
    weeks = max(0, last - first)
    if not len(banks) or not weeks:
        return BankWeek(banks=len(banks), weeks=weeks, mean=None, median=None, ninety_percent=None, most=0)
    week = np.array([week_of_day(day) for day in found.day.tolist()], np.int64) - first
    inside = (week >= 0) & (week < weeks)
    bank = np.searchsorted(banks, found.owner[inside] % len(world.banks))
    counts = np.bincount(bank * weeks + week[inside], minlength=len(banks) * weeks)
    return BankWeek(
        banks=len(banks),
        weeks=weeks,
        mean=number(float(counts.mean())),
        median=number(float(np.quantile(counts, 0.5))),
        ninety_percent=number(float(np.quantile(counts, 0.9))),
        most=int(counts.max()),
    )


def _standing(judge: Judge, panel: Panel) -> Ints:
    """Return the level of each row's case (rows,) at the end of the day on which the month's close became known."""
    revisions = judge.world.revisions
    if not len(revisions):
        return np.full(len(panel), NO_CASE, np.int64)
    columns = revisions.enterprise, revisions.day, revisions.case
    return levels_at(*columns, panel.enterprise, panel.day)


def _by_month(judge: Judge, days: Ints) -> list[tuple[str, float | None]]:
    """Return (month, cases of 1,000 borrowers) for each calendar month of the window."""
    world, window = judge.world, judge.window
    days_after = range(window.first + 1, window.last + 1)
    edges = [window.first, *(day for day in days_after if month_of_day(day) != month_of_day(day - 1))]
    found = []
    for first, last in zip(edges, [*edges[1:], window.last + 1], strict=True):
        if last - first < DAYS_SHOWN_MIN:
            continue  # a rate over a few days is noise
        months = float(world.borrows.days(judge.n, first, last).sum()) / DAYS_A_MONTH
        cases = int(((days >= first) & (days < last)).sum())
        value = number(1000 * cases / months) if months else None
        found.append((month_text(month_of_day(first)), value))
    return found
