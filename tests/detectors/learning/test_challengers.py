"""One contract for all challengers: finite, seeded, restart-safe, deaf to NaN and infinity, monotone where promised."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from river import checks
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from detectors.learning import challengers as challengers_module
from detectors.learning.challenger_rows import (
    EDGES_AT,
    GOODS_PER_BAD,
    NULL_RANK,
    QUANTILES,
    Edges,
    lots,
    shares,
)
from detectors.learning.challengers import BADS_MIN, CHALLENGERS, Challengers
from detectors.learning.examples import Examples
from detectors.learning.platt import Platt
from detectors.models.monotone_stumps import BINS_MAX, MonotoneStumps
from features.indicators import INDICATOR_COUNT, INDICATORS
from tests.model_months import RISKIER, SAFER, examples

NAMES = tuple(CHALLENGERS)
RIVER: dict[str, Callable[[], Any]] = {
    name: getattr(challengers_module, name) for name in ("amf", "arf", "hat", "ftrl")
}
TRAIN, TEST = (examples(3_000, seed, effect=3.0, base=-3.0) for seed in (1, 2))


@pytest.fixture(scope="module")
def taught() -> Challengers:
    """All challengers, after TRAIN at once."""
    made = Challengers()
    made.learn(TRAIN)
    return made


@pytest.fixture(scope="module")
def about_others(taught: Challengers) -> dict[str, np.ndarray]:
    """Return what each says of TEST."""
    return taught.month(TEST)


# River makes one update of a whole batch, which is another model. Nothing here learns in batches.
LEFT_OUT = {("ftrl", "check_learn_many_matches_learn_one")}


def said(one: Challengers, about: Examples = TEST[:200]) -> dict[str, list[float]]:
    return {name: p.tolist() for name, p in one.month(about).items()}


@pytest.mark.parametrize(
    ("make", "check"),
    [
        pytest.param(make, check, id=f"{name}-{check.__name__}-{number}")
        for name, make in RIVER.items()
        for number, check in enumerate(checks.yield_checks(make()))
        if (name, check.__name__) not in LEFT_OUT
    ],
)
def test_rivers_own_checks_pass(make: Callable[[], Any], check: Callable[[Any], None]) -> None:
    check(make())


@pytest.mark.parametrize("name", NAMES)
def test_each_finds_a_planted_effect_and_says_probabilities(about_others: dict[str, np.ndarray], name: str) -> None:
    p = about_others[name]
    assert np.isfinite(p).all()
    assert p.min() >= 0
    assert p.max() <= 1
    assert roc_auc_score(TEST["bad"], p) > 0.65
    assert p.mean() == pytest.approx(TEST["bad"].mean(), rel=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_how_examples_are_batched_and_what_is_asked_between_changes_nothing(name: str) -> None:
    whole, parts, asked, again = (Challengers([name]) for _ in range(4))
    some = TRAIN[:500]
    whole.learn(some)
    for first, last in itertools.pairwise((0, 0, 1, 49, 50, 51, 200, 451, 500)):  # at, beside and between new edges
        parts.learn(some[first:last])
        asked.learn(some[first:last])
        asked.month(TEST[:3])
    again.learn(TEST[:300])
    again.rebuild(some)
    expected = said(whole)
    assert np.isfinite(expected[name]).all()
    for other in (parts, asked, again):
        assert said(other) == expected


@pytest.mark.parametrize("name", NAMES)
def test_when_the_oldest_are_dropped_those_that_are_left_make_the_same_model_as_after_a_restart(name: str) -> None:
    long_lived, restarted = Challengers([name]), Challengers([name])
    long_lived.learn(TRAIN[:800])
    long_lived.rebuild(TRAIN[300:800])
    restarted.rebuild(TRAIN[300:500])
    restarted.learn(TRAIN[500:800])  # the months after the restart
    restarted.rebuild(TRAIN[300:800])
    assert said(long_lived) == said(restarted)
    continued = Challengers([name])
    continued.rebuild(TRAIN[300:500])
    continued.learn(TRAIN[500:800])
    assert said(continued) == said(restarted)


def said_with_seventh(null: int, value: float) -> dict[str, list[float]]:
    """Return what challengers say of it that have learned this as all values of one indicator."""
    train, about = TRAIN[:400].copy(), TEST[:60].copy()
    for examples_ in (train, about):
        examples_["null"][:, 7], examples_["value"][:, 7] = null, value
    made = Challengers()
    made.learn(train)
    return said(made, about)


def test_what_is_not_finite_counts_as_null_and_reaches_no_model() -> None:
    clean = said_with_seventh(2, np.nan)
    assert np.isfinite(list(clean.values())).all()
    for odd in (np.nan, np.inf, -np.inf):
        assert said_with_seventh(0, odd) == clean, odd


@pytest.mark.parametrize("name", NAMES)
def test_each_is_silent_until_it_has_learned_enough_and_some_bad_ones(name: str) -> None:
    made = Challengers([name])
    assert np.isnan(made.month(TEST[:9])[name]).all()
    made.learn(TRAIN[: EDGES_AT[0] - 1])
    assert np.isnan(made.month(TEST[:9])[name]).all()
    good = TRAIN[~TRAIN["bad"]]
    made.rebuild(good[:600])
    assert np.isnan(made.month(TEST[:9])[name]).all(), "no bad one is known"
    if silent_until := CHALLENGERS[name].silent_until:
        made.rebuild(TRAIN[:silent_until])
        assert TRAIN["bad"][:silent_until].sum() > 2 * BADS_MIN
        assert np.isnan(made.month(TEST[:9])[name]).all(), "its grace period"
    made.rebuild(TRAIN[:1_000])
    assert np.isfinite(made.month(TEST[:9])[name]).all()


@pytest.mark.parametrize("name", [name for name, kind in CHALLENGERS.items() if kind.monotone])
def test_a_riskier_value_never_lowers_the_probability(name: str) -> None:
    taught = Challengers([name])
    taught.learn(TRAIN)
    about = np.repeat(TEST[:40], 60).copy()
    steps = np.tile(np.linspace(-4, 4, 60), 40)
    for i, indicator in enumerate(INDICATORS):
        direction = challengers_module.direction(indicator)
        seen = about.copy()
        seen["value"][:, i], seen["null"][:, i] = steps, 0
        moves = np.diff(taught.month(seen)[name].reshape(40, 60), axis=1)
        assert (direction * moves >= 0).all(), indicator
    assert {name for name, kind in CHALLENGERS.items() if kind.monotone} == {"stumps"}


def test_good_examples_are_thinned_to_a_share_and_their_weights_make_up_for_it() -> None:
    rare = examples(30_000, 5, base=-5.0, effect=0.8)
    share = shares(rare["bad"], 0, 0)
    learned = rare["bad"] | (lots(rare) < share)
    weight = 1 / np.where(rare["bad"], 1.0, share)
    assert rare["bad"].mean() < 0.02
    goods = (learned & ~rare["bad"])[5_000:].sum()
    assert goods == pytest.approx(GOODS_PER_BAD * rare["bad"][5_000:].sum(), rel=0.25)
    assert weight[learned].sum() == pytest.approx(len(rare), rel=0.1)
    # In pieces they are the same ones.
    first = rare[:7_000]["bad"]
    later = shares(rare[7_000:]["bad"], int((~first).sum()), int(first.sum()))
    assert (later == share[7_000:]).all()


def test_with_few_bad_ones_thinning_keeps_what_is_said_a_probability() -> None:
    train, test = (examples(20_000, seed, base=-5.5, effect=2.0) for seed in (5, 6))
    made = Challengers(["ftrl", "stumps"])
    made.learn(train)
    for name, p in made.month(test).items():
        assert p.mean() == pytest.approx(test["bad"].mean(), rel=0.35), name
        assert roc_auc_score(test["bad"], p) > 0.7


def test_lots_are_uniform_and_follow_from_enterprise_and_day_alone() -> None:
    some = examples(20_000, 8)
    some["enterprise"], some["day"] = np.arange(20_000) % 200, 19_000 + np.arange(20_000) // 200
    found = lots(some)
    assert np.histogram(found, 10, (0, 1))[0] == pytest.approx(np.full(10, 2_000), rel=0.1)
    assert len(np.unique(found)) == 20_000
    assert (lots(some[::-1])[::-1] == found).all()


def test_ranks_keep_the_order_of_values_and_bins_are_few() -> None:
    seen = examples(4_000, 9)
    rows = Edges(seen).rows(seen)
    assert rows.bins.max() <= QUANTILES + 1 < BINS_MAX
    for i in (SAFER, RISKIER, 3):
        there = seen["null"][:, i] == 0
        order = np.argsort(seen["value"][there, i])
        assert (np.diff(rows.ranks[there, i][order]) >= 0).all()
        assert (np.diff(rows.bins[there, i][order].astype(int)) >= 0).all()
        assert len(np.unique(rows.bins[there, i])) == QUANTILES + 1
        assert set(rows.ranks[~there, i]) == {NULL_RANK}
        assert set(rows.bins[~there, i]) == {0}


def test_calibration_is_that_of_weighted_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    raw = rng.uniform(0.01, 0.99, 3_000)
    logit = np.log(raw / (1 - raw))
    bad, weight = rng.random(3_000) < 1 / (1 + np.exp(2 - 0.6 * logit)), rng.uniform(1, 5, 3_000)
    made = Platt()
    for one in zip(raw.tolist(), bad.tolist(), weight.tolist(), strict=True):
        made.add(*one)
    fitted = LogisticRegression(C=1e6, tol=1e-9).fit(logit[:, None], bad, sample_weight=weight)
    assert made.coefficients() == pytest.approx((fitted.intercept_[0], fitted.coef_[0, 0]), abs=0.01)


def test_calibration_turns_no_model_around_and_survives_one_that_is_always_sure() -> None:
    rng = np.random.default_rng(3)
    wrong, sure = Platt(), Platt()
    for _ in range(500):
        bad = bool(rng.random() < 0.2)
        wrong.add(0.1 if bad else 0.8, bad, 1.0)
        sure.add(float(bad), bad, 1.0)
    assert wrong.coefficients()[1] == 0.0
    assert wrong.calibrated(np.array([0.1, 0.8, np.nan])).tolist()[:2] == pytest.approx([0.2, 0.2], abs=0.05)
    assert np.isnan(wrong.calibrated(np.array([np.nan]))).all()
    assert np.isfinite(sure.calibrated(np.array([0.0, 0.5, 1.0]))).all()


def test_stumps_find_what_boosting_finds_and_refuse_one_class() -> None:
    import lightgbm

    train, test = examples(6_000, 11), examples(6_000, 12)
    edges = Edges(train)
    directions = [challengers_module.direction(name) for name in INDICATORS]
    model = MonotoneStumps(directions)
    model.fit(edges.rows(train).bins, train["bad"], np.ones(len(train)))
    data = lightgbm.Dataset(edges.rows(train).bins.astype(float), train["bad"].astype(float))
    usual = {"objective": "binary", "num_leaves": 2, "learning_rate": 0.1, "lambda_l2": 5.0, "verbosity": -1}
    booster = lightgbm.train({**usual, "num_threads": 1}, data, 200)
    bins = edges.rows(test).bins
    ours, theirs = (roc_auc_score(test["bad"], p) for p in (model.logits(bins), booster.predict(bins)))
    assert ours > theirs - 0.005
    before = model.table.copy()
    for bad in (np.zeros(9, bool), np.ones(9, bool)):
        with pytest.raises(ValueError, match="good and bad"):
            model.fit(bins[:9], bad, np.ones(9))
    with pytest.raises(ValueError, match=f"there are {BINS_MAX}"):
        model.fit(np.full((9, INDICATOR_COUNT), BINS_MAX, np.uint8), np.arange(9) < 3, np.ones(9))
    assert (model.table == before).all(), "what was fitted stands"
