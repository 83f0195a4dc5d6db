"""Recorded logs, replayed in process into what a claim is fitted and measured on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detectors.learning import statistics
from replay import in_process
from replay.backtest import truth
from replay.backtest.cases import ORANGE, RED, Steps
from replay.backtest.collector import TOPICS, Collector
from replay.backtest.facts import read_facts
from replay.backtest.panel import WARM_UP_DAYS, Panel, panel_of, standing, window_of
from replay.backtest.truth import Truth
from replay.backtest.world import World, assemble
from replay.backtest.worth import Judge, judge, urgent
from replay.case_points.claim import Claim
from replay.case_points.life import steps_under
from replay.case_points.timeline import Timeline, timeline
from replay.log_file import LogFile

LEAD_DAYS, HORIZON_DAYS = 60, 365
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A world to fit or to measure on: its borrowers at risk at month ends, and the timelines of their cases."""

    name: str
    judge: Judge
    panel: Panel
    line: Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The yield of a claim on some worlds together: cases of 1,000 borrowers a month, and shares."""

    orange_red: float
    red: float
    yellow: float
    caught: float  # of the defaults with room for it, those warned LEAD_DAYS ahead to orange or red
    precision: float  # of the warnings, those that the default follows within HORIZON_DAYS


def read(path: Path, truth_path: Path, processes: int | None, say: Progress) -> Judged:
    """Replay a log. Raise SourceError where it or its truth is wrong."""
    log, known = LogFile(path), truth.read_truth(truth_path)
    in_process.demand_what_it_names(log)
    facts = read_facts(log, processes or in_process.cores(), say)
    truth.check_ids(known.rows, [name for part in facts for name in part.enterprises])
    found = in_process.replay(
        log,
        consumer=Collector,
        processes=processes,
        topics=TOPICS,
        month_ends_only=True,
        in_columns=True,
        say=say,
    )
    world = assemble(facts, list(found.results.values()))
    last = known.known_until or world.last_day
    return judged(path.name, world, truth.from_file(known.rows, world, str(truth_path), last))


def judged(name: str, world: World, known: Truth, warm_up_days: int = WARM_UP_DAYS) -> Judged:
    """Return a world to fit or to measure on. Enterprises that are no borrowers at risk have no timeline in it."""
    window = window_of(world, known, warm_up_days)
    stands = standing(world, known, window)
    one = judge(world, window, stands, statistics.poisson_weights(0, len(world.ids), 0))
    line = timeline(world, one.exposure > 0)
    return Judged(name=name, judge=one, panel=panel_of(world, window, stands), line=line)


def rate(worlds: list[Judged], claim: Claim, least: int, most: int = RED) -> float:
    """Return the cases opened or made graver to `least` … `most`, of 1,000 borrowers at risk a month."""
    steps = [_at_risk(one, claim) for one in worlds]
    count = sum(int(((some.after >= least) & (some.after <= most)).sum()) for some in steps)
    return 1000 * count / sum(float(one.judge.exposure.sum()) for one in worlds)


def worth(worlds: list[Judged], claim: Claim) -> Worth:
    """Return what a claim brings on the worlds together."""
    counts, caught, could, right, matured, months = np.zeros(RED + 1), 0.0, 0.0, 0.0, 0.0, 0.0
    for one in worlds:
        steps = _at_risk(one, claim)
        counts += np.bincount(steps.after, minlength=RED + 1)
        high = urgent(steps)
        named = one.judge.named(high.owner, high.day)
        warned, had_room = one.judge.warned(named, LEAD_DAYS)
        was_right, is_matured, _ = one.judge.right(named, HORIZON_DAYS)
        caught, could = caught + warned.sum(), could + had_room.sum()
        right, matured = right + was_right.sum(), matured + is_matured.sum()
        months += one.judge.exposure.sum()
    of_level = 1000 * counts / months
    return Worth(
        orange_red=float(of_level[ORANGE:].sum()),
        red=float(of_level[RED]),
        yellow=float(of_level[1]),
        caught=float(caught / could) if could else np.nan,
        precision=float(right / matured) if matured else np.nan,
    )


def _at_risk(one: Judged, claim: Claim) -> Steps:
    steps = steps_under(claim, one.line)
    return steps.only(one.judge.at_risk(steps.owner, steps.day))
