"""The course of each enterprise: failure, recovery, or a false alarm.

A failure is drawn as a day of the whole time, at a rate in proportion to the enterprise's risk. Its scenario and the
time since its onset follow. The other scenarios go to enterprises without trouble.
"""

import numpy as np
import numpy.typing as npt

from domain.calendar import date_of, day_of_date
from replay.province import chance
from replay.province.chance import Floats, Integers
from replay.province.layout import (
    CUSTOMER_LOSS,
    DEAD_FEED,
    FAILS,
    NEVER,
    PROJECT_GAP,
    RECOVERS,
    SALE,
    SALE_GOVERNMENT,
    SEASONAL_STOP,
    SOUND,
    Firms,
    Links,
)
from replay.province.links import Trade
from replay.province.population import Population

DAYS_A_MONTH, DAYS_A_YEAR = 365.25 / 12, 365.25
RECOVERY_MONTHS = (1.5, 8.0)
ARREARS_BEFORE_TURN, ARREARS_DAYS = (0, 40), (4, 60)  # with the days to the next due date fewer than a default takes
RECOVERED = 0.6  # depth of trouble of a recovering enterprise against a failing one
RISK_ROOT = 0.6  # exponent of risk in the rate of recoveries
FOUND_AGAIN_DAYS, FOUND_AGAIN_SHARE = (20, 150), (0.4, 1.1)
CONTAGION_FROM = 0.3
CONTAGION_FAILS = 0.4
DRIFT_HIDES = 0.3  # of the depth of a failure, once all has drifted
CERTAIN = 20.0  # the most expected events; `exponential` is exact up to there


def draw_fates(population: Population, firms: Firms, trade: Trade) -> Trade:
    """Set the courses of the enterprises; return the links with those that begin or end by them."""
    draws = _Draws(population, len(firms))
    _fail(population, firms, draws)
    _recover(population, firms, draws)
    _spread(population, firms, trade)
    _look_ill(population, firms, draws)
    _arrears(population, firms, draws)
    lost = _lose_customers(population, firms, trade, draws)
    return _find_customers(population, trade, lost)


class _Draws:
    def __init__(self, population: Population, n: int) -> None:
        self._seed, self._places = population.seed, np.arange(n)
        self.first, self.last = population.first_day, population.last_day
        self.years = (self.last - self.first) / DAYS_A_YEAR

    def uniform(self, *name: object) -> Floats:
        return chance.uniform(chance.key(self._seed, "fate", *name), self._places)

    def ranged(self, name: str, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return low + (high - low) * self.uniform(name)

    def day(self, name: str) -> Integers:
        found: Integers = self.first + (self.uniform(name) * (self.last - self.first)).astype(np.int64)
        return found

    def happens(self, name: str, a_year: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return whether an event of this yearly rate happens at least once in the whole time, bool (enterprises,)."""
        found: npt.NDArray[np.bool_] = self.uniform(name) < _share(np.asarray(a_year) * self.years)
        return found


def _take_scenario(
    population: Population, firms: Firms, draws: _Draws, who: Integers, weights: Floats, name: str
) -> None:
    """Set the scenarios of `who` by `weights`, with depth, strain and onset, which is `turn` less the duration."""
    scenario = np.searchsorted(np.cumsum(weights), draws.uniform(name, "scenario") * weights.sum(), side="right")
    firms["scenario"][who] = np.minimum(scenario, len(weights) - 1)[who]
    _shape(population, firms, draws, who, name)


def _shape(population: Population, firms: Firms, draws: _Draws, who: Integers, name: str) -> None:
    rows = population.scenarios
    of = firms["scenario"][who]
    low, median, high = (np.array([row.months[i] for row in rows])[of] for i in range(3))
    u = draws.uniform(name, "months")[who]
    up, down = np.maximum(2 * u - 1, 0.0), np.minimum(2 * u, 1.0)
    months = low + (median - low) * down + (high - median) * up * up
    for field, at in (("depth", "depth"), ("strain", "strain"), ("squeeze", "squeeze")):
        bounds = [np.array([getattr(row, at)[i] for row in rows])[of] for i in (0, 1)]
        firms[field][who] = bounds[0] + (bounds[1] - bounds[0]) * draws.uniform(name, field)[who]
    firms["onset"][who] = firms["turn"][who] - (months * DAYS_A_MONTH).astype(np.int64)


def _fail(population: Population, firms: Firms, draws: _Draws) -> None:
    drifted_years = (draws.last - population.drift_day) / DAYS_A_YEAR
    share = float(_share(population.default_rate * (draws.years + population.drift * drifted_years)))
    who = np.flatnonzero(draws.uniform("fails") < _levelled(share, firms["risk"]))
    firms["ending"][who] = FAILS
    firms["turn"][who] = _failure_days(population, draws)[who]
    weights = np.array([row.fails for row in population.scenarios], float)
    has_drifted = firms["turn"][who] >= population.drift_day
    _take_scenario(population, firms, draws, who[~has_drifted], weights, "fails")
    _take_scenario(population, firms, draws, who[has_drifted], _drifted(weights, population.drift), "fails")
    firms["depth"][who[has_drifted]] *= 1.0 - DRIFT_HIDES * population.drift


def _failure_days(population: Population, draws: _Draws) -> Integers:
    """Return a day for each enterprise: of the drifted world, each day is by `drift` more likely."""
    if not population.drift:
        return draws.day("failure")
    before = population.drift_day - draws.first
    after = (draws.last - population.drift_day) * (1.0 + population.drift)
    at = draws.uniform("failure") * (before + after)
    late = before + (at - before) / (1.0 + population.drift)
    found: Integers = draws.first + np.where(at < before, at, late).astype(np.int64)
    return found


def _drifted(weights: Floats, drift: float) -> Floats:
    """Return the weights of scenarios (k,) with frequent ones swapped for rare ones, of those that there are."""
    found, there = weights.copy(), np.flatnonzero(weights)
    order = there[np.argsort(weights[there], kind="stable")]
    found[order] += drift * (weights[order[::-1]] - weights[order])
    return found


def _recover(population: Population, firms: Firms, draws: _Draws) -> None:
    others = np.flatnonzero(firms["ending"] == 0)
    share = population.recoveries * (len(firms) - len(others)) / max(len(others), 1)
    risk = chance.exponential(RISK_ROOT * _log(firms["risk"][others]))
    who = others[draws.uniform("recovers")[others] < _levelled(share, risk)]
    firms["ending"][who] = RECOVERS
    firms["turn"][who] = draws.day("turn")[who]
    weights = np.array([row.recovers for row in population.scenarios], float)
    _take_scenario(population, firms, draws, who, weights, "recovers")
    _get_over(firms, draws, who)


def _get_over(firms: Firms, draws: _Draws, who: Integers) -> None:
    for name in ("depth", "squeeze", "strain"):
        firms[name][who] *= RECOVERED
    firms["over"][who] = (
        firms["turn"][who] + (draws.ranged("over", *RECOVERY_MONTHS) * DAYS_A_MONTH).astype(np.int64)[who]
    )


def _share(expected: npt.ArrayLike) -> Floats:
    """Return the probability of at least one event where `expected` are expected (Poisson)."""
    found: Floats = 1.0 - chance.exponential(-np.minimum(expected, CERTAIN))
    return found


def _levelled(share: float, risk: Floats) -> Floats:
    """Return probabilities (n,) with mean `share`, of at least one event each at a rate in proportion to `risk`.

    Plain rates in proportion would give a lower mean, since an event counts once for an enterprise.
    """
    low, high = 0.0, 2.0**20
    for _ in range(64):
        factor = 0.5 * (low + high)
        low, high = (low, factor) if _share(factor * risk).sum() > share * len(risk) else (factor, high)
    return _share(low * risk)


def _log(x: Floats) -> Floats:
    """Return the natural logarithm by Newton's method on `exponential`, for 1e-3 < x < 1e3."""
    found = np.zeros_like(x)
    for _ in range(12):
        power = chance.exponential(found)
        found = np.clip(found + 2.0 * (x - power) / (x + power), -8.0, 8.0)
    return found


def _spread(population: Population, firms: Firms, trade: Trade) -> None:
    """Bring some suppliers of a failing enterprise into trouble."""
    links = trade.links
    failing = trade.inside & (firms["ending"][links["firm"]] == FAILS) & (trade.of_sales >= CONTAGION_FROM / 2)
    key = chance.key(population.seed, "fate", "contagion")
    for i in np.flatnonzero(failing).tolist():
        supplier = int(links["party"][i])
        u = chance.uniform(key, [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]).tolist()
        if firms["ending"][supplier] or u[0] >= population.contagion * trade.of_sales[i] / CONTAGION_FROM:
            continue
        row = population.scenarios[CUSTOMER_LOSS]
        since = int(firms["turn"][links["firm"][i]])
        lasts = int((row.months[0] + (row.months[1] - row.months[0]) * 2 * u[1]) * DAYS_A_MONTH)
        firms["scenario"][supplier], firms["onset"][supplier] = CUSTOMER_LOSS, since
        firms["turn"][supplier] = since + lasts
        firms["depth"][supplier] = row.depth[0] + (row.depth[1] - row.depth[0]) * u[2]
        if u[3] < CONTAGION_FAILS:
            firms["ending"][supplier] = FAILS
        else:
            firms["ending"][supplier] = RECOVERS
            firms["depth"][supplier] *= RECOVERED
            firms["over"][supplier] = since + lasts + int(RECOVERY_MONTHS[1] * u[3] * DAYS_A_MONTH)


def _look_ill(population: Population, firms: Firms, draws: _Draws) -> None:
    """Set the three false-alarm scenarios, and moves to another bank."""
    sound = firms["ending"] == 0
    stops = sound & (firms["stop_month"] > 0)
    firms["stop_month"][~stops] = -1
    _take_alarm(population, firms, draws, np.flatnonzero(stops), SEASONAL_STOP, "stop")
    begins = [_first_of_month(draws.first, int(month)) for month in firms["stop_month"][stops]]
    firms["onset"][stops] = begins
    firms["over"][stops] = np.array(begins, np.int64) + (firms["stop_months"][stops] * DAYS_A_MONTH).astype(np.int64)
    firms["turn"][stops] = firms["over"][stops]
    gaps = sound & (firms["projects"] > 0) & draws.happens("gap", population.project_gap)
    _take_alarm(population, firms, draws, np.flatnonzero(gaps), PROJECT_GAP, "gap")
    dead = sound & ~stops & ~gaps & draws.happens("dead feed", population.dead_feed)
    _take_alarm(population, firms, draws, np.flatnonzero(dead), DEAD_FEED, "dead feed")
    moves = (firms["ending"] == 0) & ~dead & draws.happens("moves", population.bank_change)
    firms["moves_on"] = np.where(moves, draws.day("move"), NEVER)


def _take_alarm(population: Population, firms: Firms, draws: _Draws, who: Integers, scenario: int, name: str) -> None:
    firms["scenario"][who] = scenario
    firms["turn"][who] = firms["over"][who] = draws.day(f"{name} ends")[who]
    _shape(population, firms, draws, who, name)


def _first_of_month(first_day: int, month: int) -> int:
    """Return the first day of calendar month `month` that is not before `first_day`."""
    when = date_of(first_day)
    year = when.year + (month < when.month or (month == when.month and when.day > 1))
    return day_of_date(when.replace(year=year, month=month, day=1))


def _arrears(population: Population, firms: Firms, draws: _Draws) -> None:
    """Set the days without payments to lenders: from the failure on, or for some days before the turn."""
    fails = firms["ending"] == FAILS
    firms["arrears_from"][fails] = firms["turn"][fails]
    late = (firms["ending"] == RECOVERS) & (draws.uniform("late") < population.late_cure)
    before = draws.ranged("arrears", *ARREARS_BEFORE_TURN).astype(np.int64)
    u = draws.uniform("arrears days")
    lasts = (ARREARS_DAYS[0] + (ARREARS_DAYS[1] - ARREARS_DAYS[0]) * u * u).astype(np.int64) + 20
    since = np.maximum(firms["turn"] - before, firms["onset"])
    firms["arrears_from"][late], firms["arrears_until"][late] = since[late], (since + lasts)[late]
    firms["over"][late] = np.maximum(firms["over"], firms["arrears_until"])[late]


def _lose_customers(population: Population, firms: Firms, trade: Trade, draws: _Draws) -> Integers:
    """End links: of customer loss by its depth, of some sound enterprises one; return those to be replaced."""
    links, of_sales = trade.links, trade.of_sales
    customers = np.isin(links["kind"], (SALE, SALE_GOVERNMENT)) & ~trade.inside
    order = np.flatnonzero(customers)
    order = order[np.lexsort((-of_sales[order], links["firm"][order]))]  # the largest first
    owner = links["firm"][order]
    share = of_sales[order]
    before = np.cumsum(share) - share
    before -= before[np.searchsorted(owner, owner)]
    jitter = (chance.uniform(chance.key(population.seed, "fate", "lost days"), order) * 40).astype(np.int64)
    lost = (firms["scenario"][owner] == CUSTOMER_LOSS) & (before < 0.85 * firms["depth"][owner])
    links["until"][order[lost]] = (firms["onset"][owner] + jitter)[lost]
    sound = np.isin(firms["scenario"], (SOUND, DEAD_FEED)) & draws.happens("loses one", population.lost_customer)
    rank = np.arange(len(order)) - np.searchsorted(owner, owner)
    chosen = (draws.uniform("which") * 3).astype(np.int64)[owner] == rank
    one = sound[owner] & chosen
    links["until"][order[one]] = draws.day("lost day")[owner][one]
    recovering = lost & (firms["ending"][owner] == RECOVERS)
    return order[recovering | one]


def _find_customers(population: Population, trade: Trade, lost: Integers) -> Trade:
    """Return the trade with new customers some time after the lost ones."""
    key = chance.key(population.seed, "fate", "found again")
    added = trade.links[lost].copy()
    days = chance.between(key, 4 * lost, *FOUND_AGAIN_DAYS)
    added["from"] = np.minimum(added["until"] + days, NEVER)
    added["until"] = NEVER
    low, high = FOUND_AGAIN_SHARE
    added["share"] *= low + (high - low) * chance.uniform(key, 4 * lost + 1)
    links: Links = np.concatenate([trade.links, added])
    inside = np.concatenate([trade.inside, np.zeros(len(added), bool)])
    return Trade(links, np.concatenate([trade.of_sales, added["share"]]), inside)
