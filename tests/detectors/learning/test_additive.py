"""The additive monotone model: the optimum that an independent optimiser finds, its bounds, and its arithmetic."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from detectors.learning import additive
from features.indicators.nulls import NOT_APPLICABLE, SHORT_HISTORY, VALUE

FALLING = np.array([False, True])
LOGARITHMIC = np.array([True, False])
ANCHORS = [np.array([10.0, 100.0, 1_000.0, 10_000.0]), np.array([0.0, 1.0, 5.0])]
SHAPE = additive.shape_of(ANCHORS, np.array([100.0, 5.0]), LOGARITHMIC, FALLING)


def sample(n: int, seed: int, null_share: float = 0.2) -> tuple[additive.Placed, Any, Any, Any]:
    """Return placed observations, labels, values and null codes; bad ones have little of the first and much of both."""
    rng = np.random.default_rng(seed)
    values = np.column_stack([10 ** rng.uniform(0.5, 4.5, n), rng.uniform(-1, 7, n)])
    nulls = rng.choice(
        [VALUE, NOT_APPLICABLE, SHORT_HISTORY], (n, 2), p=[1 - null_share, null_share / 2, null_share / 2]
    ).astype(np.uint8)
    logit = -1.0 - 1.5 * (np.log10(1 + values[:, 0]) - 2.5) + 0.6 * (values[:, 1] - 3.0)
    bad = rng.random(n) < 1 / (1 + np.exp(-logit))
    return additive.place(SHAPE, values, nulls), bad, values, nulls


def prior() -> tuple[Any, Any]:
    theta, penalty = np.zeros(SHAPE.parameters), np.ones(SHAPE.parameters)
    for first, size in zip(SHAPE.first, SHAPE.size, strict=True):
        theta[first + 1 : first + size] = 0.5
        theta[first + size : first + size + additive.KINDS] = 0.3
    theta[-1] = 0.2
    return theta, penalty


def test_the_fit_is_the_optimum_that_scipy_finds(seed: int) -> None:
    print(f"seed {seed}")
    placed, bad, _, _ = sample(400, seed, null_share=0.0)  # the bounds of nulls move with the levels
    weight = np.random.default_rng(seed + 1).uniform(0.5, 2.0, 400)
    before, penalty = prior()
    for first, size in zip(SHAPE.first, SHAPE.size, strict=True):
        before[first + size : first + size + additive.KINDS] = 0.0
    found = additive.fit(SHAPE, placed, bad, weight, before, penalty)

    def objective(theta: Any) -> float:
        logit = additive.logits(SHAPE, theta, placed)
        loss = np.logaddexp(0.0, np.where(bad, -logit, logit))
        return float((weight * loss).sum() + 0.5 * (penalty * (theta - before) ** 2).sum())

    bounds = [(0.0, None)] * (SHAPE.parameters - 1) + [(None, None)]
    for first in SHAPE.first.tolist():
        bounds[first] = (0.0, 0.0)
    best = minimize(objective, found * 0.9, bounds=bounds, method="L-BFGS-B", options={"maxiter": 5_000})
    assert objective(found) <= best.fun + 1e-3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_better_value_never_raises_the_logit_and_a_null_never_pays(seed: int) -> None:
    placed, bad, _, _ = sample(120, seed)
    theta = additive.fit(SHAPE, placed, bad, np.ones(120), *prior())
    level = additive.levels(SHAPE, theta)
    grid = np.sort(np.random.default_rng(seed).uniform(-5, 20_000, 50))
    for i, falls in enumerate(FALLING):
        values = np.tile([100.0, 2.0], (50, 1))
        values[:, i] = grid
        logit = additive.logits(SHAPE, theta, additive.place(SHAPE, values, np.zeros((50, 2), np.uint8)))
        steps = np.diff(logit)
        assert (steps >= -1e-12).all() if falls else (steps <= 1e-12).all()
        hidden = np.zeros((1, 2), np.uint8)
        hidden[0, i] = SHORT_HISTORY
        at_bad = np.array([[100.0, 2.0]])
        at_bad[0, i] = (100.0, 5.0)[i]
        without = additive.logits(SHAPE, theta, additive.place(SHAPE, at_bad, hidden))
        known = additive.logits(SHAPE, theta, additive.place(SHAPE, at_bad, np.zeros((1, 2), np.uint8)))
        assert without[0] >= known[0] - 1e-2, "what is not computable counts no better than the bad value"
    assert (np.diff(level[:4]) >= 0).all()


def test_without_labels_the_fit_is_the_prior() -> None:
    placed, bad, _, _ = sample(1, 7)
    before, penalty = prior()
    found = additive.fit(SHAPE, placed[:0], bad[:0], np.zeros(0), before, penalty)
    level = additive.levels(SHAPE, before)
    for first, size in zip(SHAPE.first, SHAPE.size, strict=True):
        assert found[first : first + size] == pytest.approx(before[first : first + size], abs=1e-6)
        assert (found[first + size : first + size + additive.KINDS] <= level[first + size - 1]).all()
    assert found[-1] == pytest.approx(before[-1], abs=1e-6)


def test_equal_examples_give_equal_bits_and_a_weight_of_two_is_the_example_twice(seed: int) -> None:
    print(f"seed {seed}")
    placed, bad, _, _ = sample(300, seed)
    one = additive.fit(SHAPE, placed, bad, np.ones(300), *prior())
    assert one.tobytes() == additive.fit(SHAPE, placed, bad, np.ones(300), *prior()).tobytes()
    twice = np.repeat(np.arange(300), 2)
    doubled = additive.fit(SHAPE, placed[twice], bad[twice], np.ones(600), *prior())
    weighted = additive.fit(SHAPE, placed, bad, np.full(300, 2.0), *prior())
    assert doubled == pytest.approx(weighted, abs=1e-3)
