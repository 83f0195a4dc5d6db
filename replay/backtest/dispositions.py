"""Precision by what desks found: cases that were disposed of, by their level, and by signal and level of alerts."""

import numpy as np

from detectors.case_life import DISPOSITIONS
from detectors.learning import statistics
from detectors.learning.statistics import Ints
from domain.outputs import SEVERITIES
from replay.backtest.panel import LONG_DAYS, sums
from replay.backtest.report import DispositionWorth, Figure, figure
from replay.backtest.world import Revisions, World
from replay.backtest.worth import Judge

CONFIRMED, FALSE_ALARM = (1 + DISPOSITIONS.index(one) for one in ("confirmed", "false_alarm"))
CASES = ""  # in place of a signal: the case itself


def dispositions_of(one: Judge) -> list[DispositionWorth]:
    """Return what desks said within the judged days, by case level and by signal and level; empty where they did not.

    A case counts for each signal that its bank saw open when it was disposed of, at the level that it had then.
    """
    found, disposed = [], one.world.disposed
    inside = (disposed.day >= one.window.first) & (disposed.day <= one.window.last)
    which, signal, level = signals_at(one.world)
    for name, rows, levels in (
        (CASES, np.arange(len(disposed)), disposed.level),
        *((text, which[signal == i], level[signal == i]) for i, text in enumerate(one.world.signals)),
    ):
        for number, severity in enumerate(SEVERITIES, 1):
            of_level = rows[(levels == number) & inside[rows]]
            if len(of_level):
                found.append(_worth(one, name, severity, of_level))
    return found


def signals_at(world: World) -> tuple[Ints, Ints, Ints]:
    """Return (disposition, signal, level), int64 (n,) each: alerts that a bank saw open when it disposed of a case."""
    rows, disposed = world.revisions, world.disposed
    found: list[tuple[int, int, int]] = []
    for number in range(len(disposed)):
        enterprise, moment, bank = (int(each[number]) for each in (disposed.enterprise, disposed.moment, disposed.bank))
        open_rows = _open_at(rows, enterprise, moment)
        seen = np.isin(open_rows, rows.pair_revision[rows.pair_bank == bank])
        found += ((number, int(rows.signal[row]), int(rows.level[row])) for row in open_rows[seen])
    columns = np.array(found, np.int64).reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]


def _open_at(rows: Revisions, enterprise: int, moment: int) -> Ints:
    """Return the newest revision before a moment of each episode of an enterprise that was open then, int64 (n,)."""
    first, end = np.searchsorted(rows.enterprise, (enterprise, enterprise + 1)).tolist()
    newest = {int(rows.episode[row]): row for row in range(first, end) if rows.moment[row] < moment}
    return np.array([row for row in newest.values() if rows.level[row] > 0], np.int64)


def _worth(one: Judge, signal: str, severity: str, rows: Ints) -> DispositionWorth:
    disposed, bad_day = one.world.disposed, one.standing.bad_day
    owner, day, said = disposed.enterprise[rows], disposed.day[rows], disposed.disposition[rows]
    decided = np.isin(said, (CONFIRMED, FALSE_ALARM))
    precision = statistics.ratio(
        sums(owner[decided], one.n, said[decided] == CONFIRMED), sums(owner[decided], one.n), one.weights
    )
    open_outcome = one.standing.judged[owner] & (day < bad_day[owner]) & (day + LONG_DAYS <= one.window.known_until)
    went_bad = bad_day[owner] - day <= LONG_DAYS
    names, bad = dict[str, int](), dict[str, Figure]()
    for code, name in enumerate(DISPOSITIONS, 1):
        if not (so := said == code).any():
            continue
        names[name], counts = int(so.sum()), so & open_outcome
        bad[name] = figure(
            statistics.ratio(sums(owner[counts], one.n, went_bad[counts]), sums(owner[counts], one.n), one.weights)
        )
    return DispositionWorth(signal=signal, severity=severity, disposed=names, precision=figure(precision), went_bad=bad)
