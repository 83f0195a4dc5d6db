"""A drift: from the second year on failures are more frequent, of other kinds, show less, and everybody sells less."""

import numpy as np
import pytest

from replay.province.calendar import days, seasons
from replay.province.fates import _Draws, _drifted, _failure_days
from replay.province.layout import FAILS
from replay.province.population import Population
from replay.province.simulation import Simulation

SIZE = {"enterprises": 3_000, "months": 24, "before_months": 6, "after_months": 6, "default_rate": 0.1}


@pytest.fixture(scope="module")
def worlds() -> tuple[Simulation, Simulation]:
    return Simulation(Population(**SIZE)), Simulation(Population(drift=1.0, **SIZE))  # type: ignore[arg-type]


def failures(one: Simulation) -> np.ndarray:
    firms = one.state.firms
    return firms[firms["ending"] == FAILS]


def test_failures_come_twice_as_often_and_of_other_kinds(worlds: tuple[Simulation, Simulation]) -> None:
    plain, drifted = map(failures, worlds)
    day = Population(**SIZE, drift=1.0).drift_day  # type: ignore[arg-type]
    before, after = ((drifted["turn"] < day).sum(), (drifted["turn"] >= day).sum())
    assert after / before == pytest.approx(2.0 * (plain["turn"] >= day).sum() / (plain["turn"] < day).sum(), rel=0.2)
    early, late = (
        np.bincount(some["scenario"], minlength=16)
        for some in (drifted[drifted["turn"] < day], drifted[drifted["turn"] >= day])
    )
    assert early.argmax() != late.argmax(), "what was frequent is rare"
    assert drifted["depth"][drifted["turn"] >= day].mean() < 0.85 * drifted["depth"][drifted["turn"] < day].mean()


def test_sales_fall_within_half_a_year_and_not_before() -> None:
    plain, drifted = Population(**SIZE), Population(**SIZE, drift=1.0)  # type: ignore[arg-type]
    calendar = days(plain)
    share = seasons(drifted, calendar) / seasons(plain, calendar)
    first = int(np.searchsorted(calendar["day"], drifted.drift_day))
    assert (share[:, : first + 1] == 1.0).all()
    assert share[:, first + 182 :] == pytest.approx(0.8)
    assert (np.diff(share[0]) < 1e-9).all()


def test_days_of_failure_are_drawn_within_the_time_and_the_draws_of_a_world_without_drift_stay() -> None:
    plain, drifted = Population(**SIZE), Population(**SIZE, drift=1.0)  # type: ignore[arg-type]
    draws = _Draws(plain, 20_000)
    assert (_failure_days(plain, draws) == draws.day("failure")).all()
    found = _failure_days(drifted, draws)
    assert draws.first <= found.min() <= found.max() < draws.last
    a_day = [
        np.mean((found >= low) & (found < high)) / (high - low)
        for low, high in ((draws.first, drifted.drift_day), (drifted.drift_day, draws.last))
    ]
    assert a_day[1] / a_day[0] == pytest.approx(2.0, rel=0.05)


def test_weights_are_swapped_among_what_there_is() -> None:
    weights = np.array([0.0, 5.0, 1.0, 3.0])
    assert _drifted(weights, 0.0).tolist() == weights.tolist()
    assert _drifted(weights, 1.0).tolist() == [0.0, 1.0, 5.0, 3.0]
    assert _drifted(weights, 0.5).tolist() == [0.0, 3.0, 3.0, 3.0]
