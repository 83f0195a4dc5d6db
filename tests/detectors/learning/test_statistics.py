"""Statistics against known answers, other libraries, and laws; intervals against how often they hold the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from detectors.learning import statistics
from detectors.learning.statistics import poisson_weights, quantile, ratio, separation

ONES = np.ones((1, 400), np.uint8)


@st.composite
def observations(draw) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 60))
    risk = draw(arrays.arrays(np.float64, n, elements=st.integers(-4, 4).map(float)))  # with many ties
    bad = draw(arrays.arrays(np.bool_, n))
    bad[0], bad[1] = True, False
    return risk, bad


@given(observations())
def test_auc_and_ks_are_those_of_other_libraries(given_: tuple[np.ndarray, np.ndarray]) -> None:
    risk, bad = given_
    found = separation(risk, bad, np.arange(len(risk)), ONES)
    assert found.auc.value == pytest.approx(roc_auc_score(bad, risk))
    assert found.ks.value == pytest.approx(ks_2samp(risk[bad], risk[~bad]).statistic)
    assert found.bad == bad.sum()
    assert found.auc.n == len(risk)


@given(observations(), st.integers(0, 2**32 - 1))
def test_a_weight_of_two_is_an_observation_given_twice(given_: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    risk, bad = given_
    weights = np.random.default_rng(seed).integers(0, 4, (1, len(risk))).astype(np.uint8)
    weights[0, :2] = 1  # both kinds are there
    repeated = np.repeat(np.arange(len(risk)), weights[0])
    drawn = separation(risk, bad, np.arange(len(risk)), weights)
    # Of one resample both ends of the interval are its statistic.
    assert drawn.auc.low == pytest.approx(roc_auc_score(bad[repeated], risk[repeated]))
    ks = ks_2samp(risk[repeated][bad[repeated]], risk[repeated][~bad[repeated]]).statistic
    assert drawn.ks.high == pytest.approx(ks)


@given(observations())
def test_auc_turns_with_the_risk_and_stays_under_what_keeps_its_order(given_: tuple[np.ndarray, np.ndarray]) -> None:
    risk, bad = given_
    owner = np.arange(len(risk))
    auc = separation(risk, bad, owner, ONES).auc.value
    assert separation(-risk, bad, owner, ONES).auc.value == pytest.approx(1 - auc)
    assert separation(np.exp(risk), bad, owner, ONES).auc.value == pytest.approx(auc)
    assert separation(risk, ~bad, owner, ONES).auc.value == pytest.approx(1 - auc)
    shuffled = np.random.default_rng(0).permutation(len(risk))
    assert separation(risk[shuffled], bad[shuffled], owner, ONES).auc.value == pytest.approx(auc)


def test_without_bad_or_without_good_ones_nothing_separates() -> None:
    for bad in ([0, 0], [1, 1]):
        found = separation([1.0, 2.0], bad, [0, 1], ONES)
        assert math.isnan(found.auc.value)
        assert math.isnan(found.ks.value)
    with pytest.raises(ValueError, match="NaN"):
        separation([np.nan, 1.0], [0, 1], [0, 1], ONES)


@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.integers(-9, 9).map(float)),
    st.sampled_from([0.25, 0.5, 0.75, 0.9]),
    st.integers(0, 2**32 - 1),
)
def test_a_quantile_is_numpys_inverted_distribution(values: np.ndarray, share: float, seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 3, (1, len(values))).astype(np.uint8)
    weights[0, 0] = 1
    found = quantile(values, np.arange(len(values)), share, weights)
    assert found.value == np.quantile(values, share, method="inverted_cdf")
    repeated = np.repeat(values, weights[0])
    assert found.low == np.quantile(repeated, share, method="inverted_cdf")


def test_a_quantile_may_fall_among_those_that_were_not_warned() -> None:
    found = quantile([-np.inf, -np.inf, -np.inf, 40.0], [0, 1, 2, 3], 0.5, ONES)
    assert found.value == -np.inf
    assert found.n == 4
    assert math.isnan(quantile([], [], 0.5, ONES).value)


def test_a_ratio_has_its_n_and_none_without_a_denominator() -> None:
    found = ratio([3, 0, 1], [4, 4, 2], poisson_weights(200, 3, 1))
    assert (found.value, found.n) == (0.4, 10)
    assert found.low <= 0.4 <= found.high
    assert math.isnan(ratio([0, 0], [0, 0], poisson_weights(9, 2, 1)).value)
    # Where most resamples hold none of the one enterprise that counts, no interval is given.
    alone = ratio([1], [1], np.array([[0], [0], [1]], np.uint8))
    assert alone.value == 1
    assert math.isnan(alone.low)


@given(
    arrays.arrays(np.float64, 12, elements=st.integers(-3, 3).map(float)),
    arrays.arrays(np.float64, 12, elements=st.integers(0, 3).map(float)),
)
def test_a_ratio_is_that_of_the_weighted_sums_of_each_resample(over: np.ndarray, under: np.ndarray) -> None:
    under[0] = 1000  # there is always something to divide by, but where the first is not drawn
    weights = poisson_weights(80, 12, 5)
    weights[:, 0] = 1
    found, drawn = ratio(over, under, weights), (weights @ over) / (weights @ under)
    assert found.value == pytest.approx(over.sum() / under.sum())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))
    assert ratio(over, statistics.total(under, weights), weights)[:3] == found[:3]


def test_weights_follow_from_the_seed_alone_and_have_the_mean_of_one() -> None:
    weights = poisson_weights(50, 300, 9)
    assert (weights == poisson_weights(50, 300, 9)).all()
    assert (weights != poisson_weights(50, 300, 10)).any()
    assert weights.mean() == pytest.approx(1, abs=0.05)


def test_pieces_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    risk, bad, owner = random.normal(size=300), random.random(300) < 0.2, random.integers(0, 80, 300)
    weights = poisson_weights(64, 80, 4)
    whole = separation(risk, bad, owner, weights), quantile(risk, owner, 0.5, weights)
    monkeypatch.setattr(statistics, "_AT_ONCE", 301)
    assert (separation(risk, bad, owner, weights), quantile(risk, owner, 0.5, weights)) == whole


def covered(draws: int, once) -> float:
    """In how many of `draws` samples the interval of `once(random)` holds the true value that it returns."""
    random = np.random.default_rng(20_26)
    found = [once(random) for _ in range(draws)]
    return sum(low <= true <= high for low, high, true in found) / draws


def test_the_interval_of_a_share_holds_the_truth_as_often_as_it_says() -> None:
    """Enterprises with one to twelve months each and a share of their own: months alone would be too sure."""

    def once(random: np.random.Generator) -> tuple[float, float, float]:
        months = random.integers(1, 13, 400)
        right = random.binomial(months, random.beta(1.0, 4.0, 400))
        found = ratio(right, months, poisson_weights(300, 400, int(random.integers(2**32))))
        return found.low, found.high, 0.2

    assert 0.91 <= covered(400, once) <= 0.98


def test_the_interval_of_auc_holds_the_truth_as_often_as_it_says() -> None:
    """Bad ones one standard deviation higher, six alike months an enterprise; true AUC: Phi(1 / sqrt 2)."""

    def once(random: np.random.Generator) -> tuple[float, float, float]:
        bad = np.repeat(random.random(300) < 0.15, 6)
        level = np.repeat(random.normal(size=300), 6) * math.sqrt(0.8)
        risk = bad + level + random.normal(size=1_800) * math.sqrt(0.2)
        owner = np.repeat(np.arange(300), 6)
        auc = separation(risk, bad, owner, poisson_weights(300, 300, int(random.integers(2**32)))).auc
        return auc.low, auc.high, 0.5 * (1 + math.erf(1 / math.sqrt(2) / math.sqrt(2)))

    assert 0.90 <= covered(250, once) <= 0.98
