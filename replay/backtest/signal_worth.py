"""The worth of each signal by the case's claim: cases of all signals, of all but one, and of that one alone.

Lives of cases are followed offline (replay/case_points/life.py) with the episodes of some signals alone. Under rules
without a claim a case is as high as its highest signal.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from config.case_table import CaseTable
from detectors.learning import statistics
from detectors.learning.statistics import Flags, Floats
from replay.backtest.cases import ORANGE, RED, Steps
from replay.backtest.naming import Namings
from replay.backtest.panel import Panel, sums
from replay.backtest.report import SignalWorth, figure
from replay.backtest.worth import Judge, urgent
from replay.case_points.claim import claim_of
from replay.case_points.cutoffs import with_orange_of
from replay.case_points.life import steps_under
from replay.case_points.timeline import timeline
from replay.case_points.worlds import Judged, rate
from replay.in_process import cores

WARNED_DAYS = 60


class OfSignal(NamedTuple):
    """The steps of cases around one signal. as_many: without it, at as many orange and red cases as with it."""

    name: str
    alone: Steps
    without: Steps
    as_many: Steps


class BySignal(NamedTuple):
    """The steps of the cases of all signals, and those around each of the world's."""

    everything: Steps
    signals: tuple[OfSignal, ...]


def by_signal(judge: Judge, panel: Panel, table: CaseTable | None) -> BySignal:
    """Return the steps under the claim of a table; None: cases are as high as their highest signal."""
    if table is None:
        return _by_highest(judge)
    names = judge.world.signals
    claim, line = claim_of(table, names), timeline(judge.world, judge.exposure > 0, names)
    cases = rate([Judged(name="", judge=judge, panel=panel, line=line)], claim, ORANGE, RED)

    def work(one: int) -> OfSignal:
        is_it = np.arange(len(names)) == one
        rest = line.of_signals(~is_it)
        lowered = with_orange_of([Judged(name="", judge=judge, panel=panel, line=rest)], claim, cases)
        return OfSignal(
            names[one],
            alone=steps_under(claim, line.of_signals(is_it)),
            without=steps_under(claim, rest),
            as_many=steps_under(lowered, rest),
        )

    with ThreadPoolExecutor(cores()) as pool:
        return BySignal(steps_under(claim, line), tuple(pool.map(work, range(len(names)))))


def _by_highest(judge: Judge) -> BySignal:
    revisions, found = judge.world.revisions, list[OfSignal]()
    for one, name in enumerate(judge.world.signals):
        alone, without = judge.steps(revisions.signal == one), judge.steps(revisions.signal != one)
        found.append(OfSignal(name, alone, without, as_many=without))
    return BySignal(judge.steps(np.ones(len(revisions), np.bool_)), tuple(found))


def signal_worths(judge: Judge, found: BySignal) -> Iterator[SignalWorth]:
    """Yield the worth of each signal: of its alerts, and of the cases around it to orange and red."""
    everything, warned, could = _urgent(judge, found.everything)
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(partial(_worth, judge, everything, warned, could), range(len(found.signals)), found.signals)


def _worth(judge: Judge, counted: Floats, warned: Floats, could: Floats, number: int, of: OfSignal) -> SignalWorth:
    alone, without = urgent(of.alone), urgent(of.without)
    rest, rest_warned, _ = _urgent(judge, of.without)
    as_many_warned = _urgent(judge, of.as_many)[1]
    orange_red, yellow = (_alerts(judge, number, level) for level in (ORANGE, ORANGE - 1))
    return SignalWorth(
        signal=of.name,
        alerts_orange_red=judge.rate(orange_red),
        alerts_yellow=judge.rate(yellow),
        enterprises=len(np.unique(judge.world.revisions.enterprise[judge.world.revisions.signal == number])),
        alone=judge.worth(of.name, _named(judge, alone), count=_count(judge, alone)),
        without=judge.worth(of.name, _named(judge, without), count=rest),
        fewer_cases=judge.rate(counted - rest),
        lost_warnings=figure(statistics.ratio(warned - rest_warned, could, judge.weights)),
        adds=figure(statistics.ratio(warned - as_many_warned, could, judge.weights)),
    )


def _urgent(judge: Judge, steps: Steps) -> tuple[Floats, Floats, Floats]:
    """Return by enterprise the steps to orange and red, the defaults that they warn of, and those with room for it."""
    steps = urgent(steps)
    return _count(judge, steps), *judge.warned(_named(judge, steps), WARNED_DAYS)


def _count(judge: Judge, steps: Steps) -> Floats:
    return sums(steps.owner[judge.at_risk(steps.owner, steps.day)], judge.n)


def _named(judge: Judge, steps: Steps) -> Namings:
    return judge.named(steps.owner, steps.day)


def _alerts(judge: Judge, signal: int, level: int) -> Floats:
    """Return by enterprise the alerts of a signal raised to `level` (ORANGE: or above) while it was at risk."""
    revisions = judge.world.revisions
    after, before = revisions.level, revisions.before
    raised: Flags = (after >= ORANGE) & (before < ORANGE) if level == ORANGE else (after == level) & (before == 0)
    rows = np.flatnonzero(raised & (revisions.signal == signal))
    owner, day = revisions.enterprise[rows], revisions.day[rows]
    return sums(owner[judge.at_risk(owner, day)], judge.n)
