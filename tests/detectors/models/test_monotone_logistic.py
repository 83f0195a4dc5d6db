"""River's own checks on our estimator, and the properties of a scorecard."""

import math
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks, compose, optim

from detectors.models.monotone_logistic import MonotoneLogistic
from tests.faults import Fault

# River's checks import scikit-learn's data sets for multi-output models before they look at the model.
if "sklearn" not in sys.modules:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        sys.modules["sklearn"] = types.ModuleType("sklearn")
        sys.modules["sklearn"].datasets = None  # type: ignore[attr-defined]

MODELS = {
    "plain": lambda: MonotoneLogistic(),
    "with a prior": lambda: MonotoneLogistic(1.0, {"empty_server_form_handler": 2.0}, optim.SGD(0.2), pull=0.01),
}


@pytest.mark.parametrize(
    ("make", "check"),
    [
        pytest.param(make, check, id=f"{name}-{check.__name__}-{number}")
        for name, make in MODELS.items()
        for number, check in enumerate(checks.yield_checks(make()))
    ],
)
def test_rivers_own_checks_pass(make: Callable[[], Any], check: Callable[[Any], None]) -> None:
    check(make())


U = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1)


@given(st.lists(st.tuples(U, st.booleans()), max_size=60), U, st.sampled_from("abcdef"), st.floats(0, 1))
def test_a_better_utility_never_raises_the_probability_of_bad(
    stream: list[tuple[dict[str, float], bool]], u: dict[str, float], name: str, better: float
) -> None:
    model = MonotoneLogistic(0.5, {"a": 3.0, "b": 0.01}, optim.SGD(2.0))
    for x, y in stream:
        model.learn_one(x, y)
    assert all(weight >= 0 and math.isfinite(weight) for weight in model.weights.values())
    raised = {**u, name: max(better, u.get(name, 0.0))}
    assert model.predict_proba_one(raised)[True] <= model.predict_proba_one(u)[True]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_fault_12_a_number_that_is_not_finite_never_reaches_the_weights(value: float, fault: Fault) -> None:
    model = MonotoneLogistic(0.0, {"a": 1.0})
    calls = (lambda: model.learn_one({"a": value}, True), lambda: model.predict_proba_one({"a": value}))
    for call in calls:
        with pytest.raises(ValueError, match="utility a"):
            call()
    assert (model.weights, model.bias) == ({"a": 1.0}, 0.0)
    fault(injected=len(calls), observed=f"{value} refused by each, weights {model.weights}")


def test_weights_of_unseen_features_return_to_the_prior() -> None:
    model = MonotoneLogistic(0.0, {"a": 1.0, "b": 1.0}, optim.SGD(0.1), pull=0.1)
    for _ in range(200):
        model.learn_one({"a": 1.0, "b": 1.0}, True)
    moved = model.weights["b"]
    assert moved < 0.9
    for _ in range(2_000):
        model.learn_one({"a": 1.0}, True)
    assert abs(model.weights["b"] - 1.0) < 1e-3 < abs(moved - 1.0)


def _fractions(ppm: dict[str, int]) -> dict[str, float]:
    return {name: value / 1_000_000 for name, value in ppm.items()}


def test_it_stands_in_a_river_pipeline() -> None:
    pipeline = compose.FuncTransformer(_fractions) | MonotoneLogistic(0.0, {"a": 2.0})
    before = pipeline.predict_proba_one({"a": 500_000})[True]
    assert math.isclose(before, 1 / (1 + math.e))
    pipeline.learn_one({"a": 500_000}, True)
    assert pipeline.predict_proba_one({"a": 500_000})[True] > before
