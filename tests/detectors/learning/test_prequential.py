"""The prequential record against scikit-learn and by hand: exact metrics, windows, silence, differences, columns."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

from detectors.learning import curves
from detectors.learning.prequential import AS_SCORED, MICRO, Prequential, log_losses
from domain.outputs import ModelMetrics
from tests.model_months import FIRST_MONTH, examples


def record(months: int = 14, each: int = 300) -> tuple[Prequential, np.ndarray, dict[str, np.ndarray]]:
    """A record of months; `amf` is silent in the first four. Also the examples, and what each model said."""
    made, seen, said = Prequential(resamples=60), [], {"champion": [], "prior": [], "amf": []}
    for i in range(months):
        one = examples(each, i)
        p = one["p_ppm"] / MICRO
        now = {"champion": p, "prior": np.full(each, 0.1), "amf": np.full(each, np.nan) if i < 4 else p**1.5}
        made.month(FIRST_MONTH + i, one, now if i >= 4 else {name: now[name] for name in ("champion", "prior")})
        seen.append(one)
        for name, values in now.items():
            said[name].append(values)
    return made, np.concatenate(seen), {name: np.concatenate(values) for name, values in said.items()}


def metrics_of(made: Prequential) -> dict[tuple[str, str], ModelMetrics]:
    return {(one.model, one.window): one for one in made.metrics()}


def test_metrics_are_those_of_scikit_learn_over_both_windows() -> None:
    made, seen, said = record()
    found = metrics_of(made)
    for window, rows in (("all", slice(None)), ("12m", slice(2 * 300, None))):
        bad, p = seen["bad"][rows], said["champion"][rows]
        one = found["champion", window]
        assert (one.n, one.bad, one.silent) == (len(bad), bad.sum(), 0)
        assert one.auc.value_micro == pytest.approx(MICRO * roc_auc_score(bad, p), abs=1)
        assert one.gini.value_micro == pytest.approx(2 * one.auc.value_micro - MICRO, abs=2)
        assert one.brier.value_micro == pytest.approx(MICRO * brier_score_loss(bad, p), abs=1)
        assert one.log_loss.value_micro == pytest.approx(MICRO * log_loss(bad, p), abs=1)
        good_shares, bad_shares, _ = roc_curve(bad, p)
        assert one.ks.value_micro == pytest.approx(MICRO * np.abs(bad_shares - good_shares).max(), abs=1)
        for figure in (one.auc, one.ks, one.gini, one.log_loss, one.brier):
            assert figure.low_micro < figure.value_micro < figure.high_micro


def test_ten_thresholds_are_not_enough_and_are_not_used() -> None:
    # River's ROCAUC() says so much less at a bad rate of 5% that a good model looks like a poor one.
    from river import metrics

    seen = examples(4_000, 3, base=-4.5)
    p, rough = seen["p_ppm"] / MICRO, metrics.ROCAUC()
    for y, one in zip(seen["bad"].tolist(), p.tolist(), strict=True):
        rough.update(y, one)
    made = Prequential(resamples=10)
    made.month(FIRST_MONTH, seen, {"champion": p})
    exact = roc_auc_score(seen["bad"], p)
    assert metrics_of(made)["champion", "all"].auc.value_micro == pytest.approx(MICRO * exact, abs=1)
    assert rough.get() < exact - 0.02


def test_a_silent_model_is_measured_on_what_it_said_and_its_silence_is_counted() -> None:
    made, seen, said = record()
    found = metrics_of(made)["amf", "all"]
    assert (found.n, found.silent) == (10 * 300, 4 * 300)
    spoke = ~np.isnan(said["amf"])
    assert found.auc.value_micro == pytest.approx(MICRO * roc_auc_score(seen["bad"][spoke], said["amf"][spoke]), abs=1)
    # One that never spoke has nothing that is defined.
    made.month(FIRST_MONTH + 14, seen[:50], {"hat": np.full(50, np.nan)})
    never = metrics_of(made)["hat", "all"]
    assert (never.n, never.silent, never.auc.value_micro, never.roc_ppm, never.bins) == (0, 14 * 300 + 50, None, (), ())


def test_the_difference_to_itself_is_nothing_and_to_a_worse_model_has_an_interval_beside_0() -> None:
    made, seen, said = record()
    found = {one.model: one for one in made.differences()}
    assert list(found) == ["prior", AS_SCORED, "amf"]
    assert found[AS_SCORED].auc.value_micro == found[AS_SCORED].auc.low_micro == found[AS_SCORED].auc.high_micro == 0
    assert found["prior"].auc.value_micro == pytest.approx(
        MICRO * (roc_auc_score(seen["bad"], said["champion"]) - 0.5), abs=1
    )
    assert found["prior"].auc.low_micro > 0 > found["prior"].log_loss.high_micro
    # Both keep the same order: their resamples are the same ones, so their AUC never differs, and their loss does.
    assert (found["amf"].auc.low_micro, found["amf"].auc.high_micro) == (0, 0)
    assert found["amf"].log_loss.high_micro < 0
    assert found["amf"].n == 10 * 300
    assert [one.n for one in made.differences(labels_max=500)] == [500, 500, 500]


def test_grades_and_scores_say_what_became_of_what_officers_saw() -> None:
    made, seen, _ = record()
    recent = seen[2 * 300 :]
    for one in made.grades():
        place = "FEDCBA".index(one.grade)
        rows = recent[np.minimum((recent["score_milli"] - 400_000) // 50_000, 5) == place]
        assert (one.n, one.bad) == (len(rows), rows["bad"].sum())
        assert one.expected.value_micro == pytest.approx(rows["p_ppm"].mean(), abs=1)
        assert one.observed.value_micro == pytest.approx(MICRO * rows["bad"].mean(), abs=1)
    scores = made.scores()
    assert sum(one.bad for one in scores) == recent["bad"].sum()
    assert sum(one.good + one.bad for one in scores) == len(recent)
    assert all(one.to_points - one.from_points == 10 for one in scores)


def test_the_highest_score_has_a_grade() -> None:
    best = examples(40, 1)
    best["score_milli"] = 700_000
    made = Prequential(resamples=5)
    made.month(FIRST_MONTH, best, {})
    assert [one.grade for one in made.grades()] == ["A"]
    assert [(one.from_points, one.to_points) for one in made.scores()] == [(690, 700)]


def test_columns_make_the_same_record_again_and_survive_a_file() -> None:
    made, _, _ = record(months=6)
    again = Prequential.from_bytes(made.to_bytes(), resamples=60)
    assert Prequential.from_columns(made.to_columns()).to_bytes() == made.to_bytes()
    assert msgspec.json.encode(list(again.metrics())) == msgspec.json.encode(list(made.metrics()))
    one = examples(30, 77)
    for each in (made, again):
        each.month(FIRST_MONTH + 6, one, {"champion": one["p_ppm"] / MICRO})
    assert again.differences() == made.differences()
    with pytest.raises(ValueError, match="no prequential record"):
        Prequential.from_columns(np.zeros(3, [("month", "<i4")]))


def test_what_is_cut_off_is_as_if_it_had_never_been() -> None:
    made, seen, said = record()
    made.cut(FIRST_MONTH + 10)
    assert len(made) == 4 * 300
    late = Prequential(resamples=60)
    for i in range(10, 14):
        rows = slice(i * 300, (i + 1) * 300)
        late.month(FIRST_MONTH + i, seen[rows], {name: p[rows] for name, p in said.items()})
    assert metrics_of(made)["champion", "all"] == metrics_of(late)["champion", "all"]


def test_what_no_model_may_say_is_refused_by_name() -> None:
    made, one = Prequential(), examples(5, 0)
    for said, message in (
        ([0.1] * 4, "champion says"),
        ([0.1, 0.2, 0.3, 0.4, 1.5], "champion says a probability outside"),
        ([0.1, 0.2, 0.3, 0.4, np.inf], "champion says a probability outside"),
    ):
        with pytest.raises(ValueError, match=message):
            made.month(FIRST_MONTH, one, {"champion": said})
    assert len(made) == 0
    made.month(FIRST_MONTH, one, {"champion": [0.1] * 5})
    with pytest.raises(ValueError, match=f"month {FIRST_MONTH} comes after month {FIRST_MONTH}"):
        made.month(FIRST_MONTH, one, {"champion": [0.1] * 5})


def test_an_empty_month_and_an_empty_record_say_nothing_and_fail_nothing() -> None:
    made = Prequential()
    assert made.differences() == made.grades() == made.scores() == []
    made.month(FIRST_MONTH, examples(0, 0), {"champion": []})
    assert {one.n for one in made.metrics()} == {0}


def test_a_sure_model_that_is_wrong_has_a_finite_loss() -> None:
    assert log_losses(np.array([0.0, 1.0]), np.array([True, False])).max() == pytest.approx(-np.log(1e-6))


@given(st.integers(2, 400), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_thinned_roc_curve_keeps_its_ends_its_ks_and_its_area(n: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    bad, risk = rng.random(n) < 0.4, rng.integers(0, levels, n) / levels
    bad[:2] = True, False
    whole, thin = curves.roc(risk, bad, points_max=n + 9), curves.roc(risk, bad, points_max=25)
    assert len(thin) <= 27
    for curve in (whole, thin):
        assert curve[0].tolist() == [0.0, 0.0]
        assert curve[-1].tolist() == [1.0, 1.0]
        assert all((b >= a).all() for a, b in pairwise(curve))
    ks = [np.abs(curve[:, 1] - curve[:, 0]).max() for curve in (whole, thin)]
    assert ks[0] == ks[1]
    assert np.trapezoid(whole[:, 1], whole[:, 0]) == pytest.approx(roc_auc_score(bad, risk))
    assert np.trapezoid(thin[:, 1], thin[:, 0]) == pytest.approx(roc_auc_score(bad, risk), abs=0.05)


def test_bins_of_probability_hold_each_example_once() -> None:
    p = np.array([0.0, 0.0025, 0.3, 0.32, 1.0, 0.5])
    bad = np.array([False, False, True, False, True, True])
    found = curves.reliability(p, bad, np.arange(6), np.ones((3, 6), np.uint8))
    assert [(one.low, one.n, one.bad) for one in found] == [(0.0, 1, 0), (0.0025, 1, 0), (0.16, 1, 1), (0.32, 3, 2)]
    assert found[-1].expected.value == pytest.approx((0.32 + 1.0 + 0.5) / 3)
    assert found[-1].observed.value == pytest.approx(2 / 3)
