"""The worth of namings, with intervals: share of defaults warned of, leads, precision, and the load on desks."""

from dataclasses import dataclass

import numpy as np

from detectors.learning import statistics
from detectors.learning.statistics import Flags, Floats, Ints, Weights
from replay.backtest.cases import ORANGE, Steps, rises, steps_of
from replay.backtest.naming import NONE, Namings, is_right, leads, namings
from replay.backtest.panel import LEAD_DAYS, PRECISION_DAYS, Standing, Window, exposure_months, sums
from replay.backtest.report import Figure, Lead, Worth, figure
from replay.backtest.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A world, its judged enterprises, and the weights of the bootstrap."""

    world: World
    window: Window
    standing: Standing
    weights: Weights
    exposure: Floats  # (enterprises,) borrower-months at risk
    exposed: statistics.Sum  # of them
    everything: Steps  # of the cases that desks get

    @property
    def n(self) -> int:
        """Return the number of enterprises."""
        return len(self.world.ids)

    def at_risk(self, owner: Ints, day: Ints) -> Flags:
        """Return whether each owner is a judged borrower, not bad yet, on each day of the window, bool (n,)."""
        inside = (day >= self.window.first) & (day <= self.window.last) & self.standing.judged[owner]
        inside &= day < self.standing.bad_day[owner]
        inside[inside] = self.world.borrows.holds(owner[inside], day[inside])
        return inside

    def steps(self, wanted: Flags) -> Steps:
        """Return the steps of cases as high as the highest of the `wanted` revisions: all or none of an episode's."""
        rows = self.world.revisions
        columns = rows.enterprise, rows.moment, rows.day, rows.before, rows.level
        return steps_of(*(column[wanted] for column in columns))

    def named(self, owner: Ints, day: Ints) -> Namings:
        """Return the namings of borrowers at risk; the others do not count."""
        counted = self.at_risk(owner, day)
        return namings(owner[counted], day[counted])

    def warned(self, named: Namings, ahead: int) -> tuple[Floats, Floats]:
        """Return by enterprise the defaults warned of `ahead` days before, and those with room for such a warning."""
        who = np.flatnonzero(self.standing.goes_bad)
        bad_day = self.standing.bad_day[who]
        could = self.window.could_warn(bad_day, ahead)
        who, bad_day = who[could], bad_day[could]
        found = leads(named, who, bad_day) >= max(ahead, 1)
        return sums(who, self.n, found), sums(who, self.n)

    def right(self, named: Namings, horizon: int) -> tuple[Floats, Floats, int]:
        """Return by enterprise the right namings and those whose horizon (days) has passed, and the censored count."""
        matured = named.day + horizon <= self.window.known_until
        right = is_right(named, self.standing.bad_day, horizon)
        owner = named.owner[matured]
        return sums(owner, self.n, right[matured]), sums(owner, self.n), int((~matured).sum())

    def worth(self, policy: str, named: Namings, budget: int = 0, count: Floats | None = None) -> Worth:
        """Return the worth of namings. count (enterprises,): the steps behind them, where there are several a day."""
        counted = sums(named.owner, self.n) if count is None else count
        # Only defaults with room for the longest lead: the others would lower the quartiles.
        longest = LEAD_DAYS[-1] if self.window.seen_days is None else self.window.seen_days - 1
        who = np.flatnonzero(self.standing.goes_bad & self.window.could_warn(self.standing.bad_day, longest))
        found = leads(named, who, self.standing.bad_day[who])
        precision, censored = dict[str, Figure](), dict[str, int]()
        for horizon in PRECISION_DAYS:
            right, matured, rest = self.right(named, horizon)
            precision[str(horizon)] = figure(statistics.ratio(right, matured, self.weights))
            censored[str(horizon)] = rest
        quartiles = [figure(statistics.quantile(found, who, share, self.weights)) for share in (0.25, 0.5, 0.75)]
        return Worth(
            policy=policy,
            budget=budget,
            named=round(float(counted.sum())),
            per_1000_borrowers=self.rate(counted),
            warned={
                str(ahead): figure(statistics.ratio(*self.warned(named, ahead), self.weights))
                for ahead in (1, *LEAD_DAYS)
            },
            lead=Lead(
                lower_quartile=quartiles[0],
                median=quartiles[1],
                upper_quartile=quartiles[2],
                none=int((found == NONE).sum()),
            ),
            precision=precision,
            censored=censored,
        )

    def rate(self, counted: Floats) -> Figure:
        """Return a count by enterprise per 1,000 borrowers at risk and month; n: the sum of the count."""
        n = round(float(counted.sum()))
        return figure(statistics.ratio(counted, self.exposed, self.weights, n), 1000)


def judge(world: World, window: Window, stands: Standing, weights: Weights) -> Judge:
    """Return the judge of a world."""
    rows = world.revisions
    exposure = np.where(stands.judged, exposure_months(world, window, stands.bad_day), 0.0)
    exposed = statistics.total(exposure, weights)
    return Judge(
        world=world,
        window=window,
        standing=stands,
        weights=weights,
        exposure=exposure,
        exposed=exposed,
        everything=rises(rows.enterprise, rows.moment, rows.day, rows.case),
    )


def urgent(found: Steps) -> Steps:
    """Return the steps to orange or red."""
    return found.only(found.after >= ORANGE)
