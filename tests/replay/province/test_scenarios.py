"""Each scenario leaves its mark in the accounts, and false alarms look ill without being so."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from domain.calendar import month_of_day
from replay.province.layout import (
    BUY,
    CUSTOMER_LOSS,
    DEAD_FEED,
    DEBT_SPIRAL,
    DEFAULT,
    FAILS,
    FRAUD,
    IS_CREDIT,
    NEVER,
    NEW_LENDER,
    OVER_EXPANSION,
    PRIVATE_LENDER,
    PRIVATE_REPAY,
    PROJECT_GAP,
    RECOVERS,
    SALE,
    SALE_PLATFORM,
    SEASONAL_STOP,
    SHADOW_REPAY,
    SIPHONING,
    SLOW_DECAY,
    SOUND,
    SUDDEN_STOP,
    TO_COMPANY,
    TO_PERSON,
    WINDOW_DRESSING,
)
from replay.province.lending import LATE_DAYS
from replay.province.population import Population
from replay.province.simulation import Simulation

MONTHS = 24
POPULATION = Population(seed=77, enterprises=1_500, months=MONTHS, before_months=12, after_months=8, default_rate=0.12)


@dataclass(frozen=True, slots=True)
class Seen:
    """By enterprise and month of the log: amounts in yuan by kind of posting; the yuan held at the month's end."""

    firms: Any
    by_kind: np.ndarray  # enterprises, kinds, months
    held: np.ndarray  # enterprises, months
    month_end_sales: np.ndarray  # of the last three business days, enterprises, months
    default_day: np.ndarray
    start_month: int

    def sum(self, who: np.ndarray, kinds: tuple[int, ...], first: np.ndarray, count: int) -> np.ndarray:
        """Return sums over `count` months from each one's own first month on, against its usual month's sales."""
        months = first[:, None] + np.arange(count)
        taken = self.by_kind[who[:, None], :, months].sum(axis=1)[:, list(kinds)].sum(axis=1)
        return taken / count / (self.firms["base"][who] / 100)

    def month(self, day: np.ndarray) -> np.ndarray:
        """The index of the month that holds a day."""
        return np.array([month_of_day(int(each)) for each in day], np.int64) - self.start_month


SALES = (SALE, SALE + 1, SALE_PLATFORM)


@pytest.fixture(scope="module")
def seen() -> Seen:
    simulation = Simulation(POPULATION)
    w, n = simulation.state, POPULATION.enterprises
    start, end, start_month = POPULATION.start_day, POPULATION.end_day, month_of_day(POPULATION.start_day)
    by_kind, held = np.zeros((n, len(IS_CREDIT), MONTHS)), np.zeros((n, MONTHS))
    month_end, default = np.zeros((n, MONTHS)), np.full(n, NEVER, np.int64)
    yuan, firm = w.accounts["dollars"] == 0, w.accounts["firm"]
    left = dict(zip(w.calendar["day"].tolist(), w.calendar["left_in_month"].tolist(), strict=True))
    for today in simulation.days():
        for fact in today.facts[today.facts["event"] == DEFAULT]:
            number = w.loans["firm"][fact["loan"]]
            default[number] = min(default[number], today.day)
        if start <= today.day < end:
            at, moves = month_of_day(today.day) - start_month, today.moves[yuan[today.moves["account"]]]
            owner, kind = firm[moves["account"]].astype(np.int64), moves["kind"].astype(np.int64)
            sums = np.bincount(owner * len(IS_CREDIT) + kind, moves["amount"] / 100, n * len(IS_CREDIT))
            by_kind[:, :, at] += sums.reshape(n, -1)
            held[:, at] = np.bincount(firm[yuan], w.accounts["balance"][yuan] / 100.0, n)
            if left[today.day] <= 2:
                month_end[:, at] += sums.reshape(n, -1)[:, list(SALES)].sum(axis=1)
    return Seen(w.firms.copy(), by_kind, held, month_end, default, start_month)


def of(seen: Seen, scenario: int, ending: int | None = None, *, before: int = 4, after: int = 4) -> np.ndarray:
    """Return the enterprises of a scenario with so many months of the log before their onset and after their turn."""
    firms = seen.firms
    which = firms["scenario"] == scenario
    if ending is not None:
        which &= firms["ending"] == ending
    onset, turn = (np.clip(seen.month(np.minimum(firms[name], 30_000)), -99, 999) for name in ("onset", "turn"))
    found = np.flatnonzero(which & (onset >= before) & (turn + after <= MONTHS))
    assert len(found) >= 5, f"too few to see scenario {scenario}"
    return found


def change(seen: Seen, who: np.ndarray, kinds: tuple[int, ...], *, at: str = "turn", months: int = 3) -> float:
    """Return the median of bookings in the last months before `at`, against the months before the onset."""
    later = seen.month(seen.firms[at][who]) - (months if at == "turn" else 0)
    earlier = np.minimum(seen.month(seen.firms["onset"][who]), later) - months
    usual = seen.sum(who, kinds, earlier, months)
    return float(np.median(seen.sum(who, kinds, later, months) - usual))


def test_sales_fall_where_customers_leave_or_business_decays_and_not_where_it_is_fraud(seen: Seen) -> None:
    for scenario in (CUSTOMER_LOSS, SLOW_DECAY):
        assert change(seen, of(seen, scenario, FAILS), SALES) < -0.15
    assert abs(change(seen, of(seen, FRAUD, FAILS), SALES)) < 0.25


def test_a_sudden_stop_takes_weeks_and_a_decay_many_months(seen: Seen) -> None:
    takes = {
        scenario: np.median((seen.firms["turn"] - seen.firms["onset"])[of(seen, scenario, FAILS, before=0)])
        for scenario in (SUDDEN_STOP, SLOW_DECAY)
    }
    assert takes[SUDDEN_STOP] < 120 < 240 < takes[SLOW_DECAY]
    who = of(seen, SUDDEN_STOP, FAILS)
    assert np.median(seen.sum(who, SALES, seen.month(seen.firms["turn"][who]) + 1, 3)) < 0.3


def test_siphoned_money_goes_to_companions_and_persons(seen: Seen) -> None:
    who = of(seen, SIPHONING, FAILS)
    out = change(seen, who, (BUY, TO_COMPANY, TO_PERSON))
    assert out - change(seen, who, SALES) > 0.05, "more goes out than sales account for"


def test_a_debt_spiral_has_new_lenders_and_repays_them(seen: Seen) -> None:
    who = of(seen, DEBT_SPIRAL)
    others = np.flatnonzero(seen.firms["scenario"] == SOUND)
    first = np.zeros(len(others), np.int64)
    assert seen.sum(others, (NEW_LENDER,), first, MONTHS).sum() == 0
    assert change(seen, who, (NEW_LENDER, PRIVATE_LENDER)) > 0.01
    assert change(seen, who, (SHADOW_REPAY, PRIVATE_REPAY)) > 0


def test_expansion_sells_more_before_it_sells_less(seen: Seen) -> None:
    who = of(seen, OVER_EXPANSION)
    onset, turn = (seen.month(seen.firms[name][who]) for name in ("onset", "turn"))
    usual = seen.sum(who, SALES, onset - 3, 3)
    best = seen.sum(who, SALES, onset + (0.5 * (turn - onset)).astype(np.int64) - 1, 3)
    assert np.median(best / np.maximum(usual, 0.05)) > 1.1


def test_window_dressing_sells_at_the_month_s_end(seen: Seen) -> None:
    share = seen.month_end_sales.sum(axis=1) / np.maximum(seen.by_kind[:, list(SALES)].sum(axis=(1, 2)), 1.0)
    assert np.median(share[of(seen, WINDOW_DRESSING, before=0)]) > 1.25 * np.median(
        share[seen.firms["scenario"] == SOUND]
    )


def test_a_failing_enterprise_loses_business_and_defaults_if_it_borrows(seen: Seen) -> None:
    who = np.flatnonzero((seen.firms["ending"] == FAILS) & (seen.firms["borrows"] > 0))
    who = who[(seen.firms["turn"][who] > POPULATION.start_day) & (seen.firms["turn"][who] < POPULATION.end_day)]
    assert np.mean(seen.default_day[who] < NEVER) > 0.7  # the others have no loan open then
    days = (seen.default_day - seen.firms["turn"])[who][seen.default_day[who] < NEVER]
    assert (days >= 91 - LATE_DAYS - 1).all()  # some are late already when they fail
    assert np.median(days) < 140
    at = seen.month(seen.firms["turn"][who])
    inside = (at >= 6) & (at < MONTHS)
    held = seen.held[who[inside], at[inside]] / np.maximum(seen.firms["target"][who[inside]] / 100, 1.0)
    assert np.median(held) < 0.15


def test_nobody_else_defaults_and_who_recovers_is_back_in_business(seen: Seen) -> None:
    others = seen.firms["ending"] != FAILS
    assert not (seen.default_day[others] < NEVER).any()
    over = seen.month(np.minimum(seen.firms["over"], 30_000))
    who = np.flatnonzero((seen.firms["ending"] == RECOVERS) & (over > 2) & (over + 4 < MONTHS))
    who = who[seen.firms["scenario"][who] != CUSTOMER_LOSS]
    again = seen.sum(who, SALES, over[who], 4)
    assert np.median(again) > 0.6


def test_false_alarms_look_ill_and_are_not(seen: Seen) -> None:
    gap = of(seen, PROJECT_GAP, before=3, after=0)
    assert change(seen, gap, SALES, at="onset", months=2) < -0.2
    stops = np.flatnonzero(seen.firms["scenario"] == SEASONAL_STOP)
    sales = seen.by_kind[stops][:, list(SALES)].sum(axis=1) / (seen.firms["base"][stops, None] / 100)
    assert np.median(sales.min(axis=1)) < 0.25 < 0.7 < np.median(np.median(sales, axis=1))
    assert (seen.firms["scenario"] == DEAD_FEED).any()
    ill = np.isin(seen.firms["scenario"], (PROJECT_GAP, SEASONAL_STOP, DEAD_FEED))
    assert not (seen.default_day[ill] < NEVER).any()
    assert (seen.firms["ending"][ill] == 0).all()


def test_defaults_come_at_the_rate_that_was_asked_for() -> None:
    population = Population(seed=3, enterprises=6_000, months=12, before_months=12, after_months=0)
    simulation = Simulation(population)
    defaulted: set[int] = set()
    for today in simulation.days():
        if today.day >= population.start_day:
            loans = today.facts["loan"][today.facts["event"] == DEFAULT]
            defaulted.update(simulation.state.loans["firm"][loans].tolist())
    borrowers = int((simulation.state.firms["borrows"] > 0).sum())
    assert 0.02 <= len(defaulted) / borrowers <= 0.04


def test_as_many_fail_and_recover_as_was_asked_for_however_far_their_risks_differ() -> None:
    for spread, rate in ((0.0, 0.035), (1.0, 0.035), (2.5, 0.035), (3.0, 0.3)):
        population = Population(
            seed=9, enterprises=8_000, months=12, risk_spread=spread, default_rate=rate, contagion=0.0
        )
        years = (population.last_day - population.first_day) / 365.25
        ending = Simulation(population).state.firms["ending"]
        failed, recovered = np.mean(ending == FAILS), np.mean(ending == RECOVERS)
        assert failed == pytest.approx(1.0 - np.exp(-rate * years), rel=0.08), (spread, rate)
        assert recovered == pytest.approx(min(1.0 - failed, population.recoveries * failed), rel=0.1), (spread, rate)
