"""Timelines of the worst misses and the worst false alarms: indicators, scores, alerts and loan events of each."""

import numpy as np
import numpy.typing as npt

from detectors.learning.statistics import Floats, Ints
from domain.calendar import date_of, week_of_day, week_start_day
from replay.backtest.catalogue import directions
from replay.backtest.facts import LOAN_EVENTS
from replay.backtest.measure import Measured
from replay.backtest.naming import NONE, leads
from replay.backtest.panel import sums
from replay.backtest.report import Episode, Moved, Timeline, number
from replay.backtest.truth import Truth
from replay.backtest.world import NEVER
from replay.backtest.worth import Judge, urgent

SHOWN = 8  # of each kind
BEFORE_DAYS, AFTER_DAYS = 400, 60
MOVED_SHOWN = 6
COMPARED_MONTHS = 6
LATE_LEAD_DAYS = 30  # a warning with less lead counts as a miss
# Payments in order and reminders are left out: they would hide the events that matter.
SHOWN_EVENTS = frozenset(LOAN_EVENTS) - {"repaid", "instalment_due", "drawn"}


def timelines(measured: Measured, truth: Truth) -> dict[str, list[Timeline]]:
    """Return both kinds of timelines, under the report's field names."""
    spread = _spread(measured.panel.values)
    return {
        "misses": [_timeline(measured, truth, spread, *one) for one in misses(measured)],
        "false_alarms": [_timeline(measured, truth, spread, who, NONE) for who in false_alarms(measured)],
    }


def misses(measured: Measured) -> list[tuple[int, float]]:
    """Return (enterprise, lead) of defaults with a late warning or none, the latest first, then the best scored."""
    judge, panel = measured.judge, measured.panel
    who = np.flatnonzero(judge.standing.goes_bad)
    steps = urgent(judge.everything)
    found = leads(judge.named(steps.owner, steps.day), who, judge.standing.bad_day[who])
    best = np.full(judge.n, -np.inf)
    best[panel.enterprise] = panel.score_milli  # of the last month end: rows ascend by day
    order = np.lexsort((who, -np.nan_to_num(best[who], nan=-np.inf), found))
    return [(int(who[i]), float(found[i])) for i in order.tolist() if found[i] < LATE_LEAD_DAYS][:SHOWN]


def false_alarms(measured: Measured) -> list[int]:
    """Return the borrowers without a known default that have the most cases of orange or red."""
    judge = measured.judge
    steps = urgent(judge.everything)
    counted = sums(steps.owner[judge.at_risk(steps.owner, steps.day)], judge.n)
    counted[judge.standing.bad_day < NEVER] = 0
    order = np.lexsort((np.arange(judge.n), -counted))[:SHOWN]
    return [who for who in order.tolist() if counted[who]]


def _timeline(measured: Measured, truth: Truth, spread: Floats, who: int, lead: float) -> Timeline:
    judge, world = measured.judge, measured.judge.world
    bad_day = int(judge.standing.bad_day[who])
    end = min(world.last_day, bad_day + AFTER_DAYS)
    first = max(world.first_day, min(bad_day, world.last_day) - BEFORE_DAYS)
    steps = urgent(judge.everything.only(judge.everything.owner == who))
    scores = world.scores
    # A week that has not ended may get another last score.
    whole = min(end, week_start_day(week_of_day(world.last_day + 1)) - 1)
    rows = np.flatnonzero((scores.enterprise == who) & (scores.day >= first) & (scores.day <= whole))
    weeks = np.array([week_of_day(day) for day in scores.day[rows].tolist()], np.int64)
    rows = rows[np.diff(weeks, append=NEVER) > 0]  # of each week the last
    return Timeline(
        enterprise_id=world.ids[who],
        scenario=truth.scenario[who],
        industry=_trait(judge, "industry", who),
        size=_trait(judge, "size", who),
        bad_on=_date(bad_day),
        default_on=_date(int(truth.default[who])),
        onset_on=_date(int(truth.onset[who])),
        lead_days=None if lead == NONE else int(lead),
        cases=int(judge.at_risk(steps.owner, steps.day).sum()),
        scores=[
            (_text(day), milli / 1000)
            for day, milli in zip(scores.day[rows].tolist(), scores.milli[rows].tolist(), strict=True)
        ],
        moved=_moved(measured, spread, who, first, min(end, bad_day)),
        episodes=_episodes(judge, who, first, end),
        events=_events(judge, who, first, end),
    )


def _moved(measured: Measured, spread: Floats, who: int, first: int, last: int) -> list[Moved]:
    """Return the indicators that changed most in the half year to the last month end, in interquartile ranges."""
    world = measured.judge.world
    rows = np.flatnonzero((world.months.enterprise == who) & (world.months.day >= first) & (world.months.day <= last))
    if len(rows) < 2:
        return []
    values = world.months.values[rows].astype(np.float64)
    change = values[-1] - values[max(0, len(rows) - 1 - COMPARED_MONTHS)]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(spread > 0, np.abs(change) / spread, np.nan)
    risky = directions()
    found = []
    for column in np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")[:MOVED_SHOWN].tolist():
        if not size[column] > 0:
            continue
        name = world.indicators[column]
        found.append(
            Moved(
                indicator=name,
                by=number(float(change[column] / spread[column])) or 0.0,
                is_worse=bool(change[column] * risky.get(name, 0) > 0),
                values=[
                    (_text(day), number(value))
                    for day, value in zip(world.months.day[rows].tolist(), values[:, column].tolist(), strict=True)
                ],
            )
        )
    return found


def _spread(values: npt.NDArray[np.float32]) -> Floats:
    """Return the interquartile range of each indicator (indicators,) over all rows of the panel."""
    if not len(values):
        return np.zeros(values.shape[1])
    known = ~np.isnan(values).all(axis=0)
    spread = np.zeros(values.shape[1])
    low, high = np.nanquantile(values[:, known].astype(np.float64), (0.25, 0.75), axis=0)
    spread[known] = high - low
    return spread


def _episodes(judge: Judge, who: int, first: int, last: int) -> list[Episode]:
    """Return the episodes with a part in these days, in the order in which they were raised."""
    revisions = judge.world.revisions
    rows = np.flatnonzero((revisions.enterprise == who) & (revisions.day <= last))
    found = []
    for episode in _in_order(revisions.episode[rows]):
        of = rows[revisions.episode[rows] == episode]
        days, levels = revisions.day[of], revisions.level[of]
        if levels[-1] == 0 and days[-1] < first:
            continue
        changed = np.flatnonzero(np.diff(levels, prepend=-1))
        revisions_shown = [(_text(max(first, int(days[i]))), int(levels[i])) for i in changed.tolist()]
        found.append(Episode(signal=judge.world.signals[revisions.signal[of[0]]], levels=revisions_shown))
    return found


def _in_order(numbers: Ints) -> list[int]:
    values, places = np.unique(numbers, return_index=True)
    return [int(value) for value in values[np.argsort(places)]]


def _events(judge: Judge, who: int, first: int, last: int) -> list[tuple[str, str]]:
    loans = judge.world.loans
    rows = np.flatnonzero((loans.enterprise == who) & (loans.day >= first) & (loans.day <= last))
    found = []
    for row in rows.tolist():
        event, dpd = LOAN_EVENTS[loans.event[row]], int(loans.dpd[row])
        if event in SHOWN_EVENTS:
            found.append((_text(int(loans.day[row])), f"{event} {dpd}" if event == "overdue" and dpd >= 0 else event))
    return found


def _trait(judge: Judge, name: str, who: int) -> str:
    trait = judge.world.traits[name]
    return trait.names[trait.of[who]]


def _text(day: int) -> str:
    return date_of(day).isoformat()


def _date(day: int) -> str | None:
    return None if day >= NEVER else _text(day)
