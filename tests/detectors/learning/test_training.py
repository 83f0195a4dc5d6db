"""The champion: learned from a prior and examples, read as a scorecard, equal everywhere."""

import math
import random
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import indicators
from detectors.learning import training
from detectors.learning.anchors import QUANTILES, Population
from detectors.learning.calibration import LogitLine, calibrated, places, probabilities
from detectors.learning.examples import Examples
from detectors.learning.rescoring import scores_milli
from detectors.learning.training import Policy, Trainer, largest_move_milli, largest_remainder, scorecard_weights
from detectors.prior import prior_snapshot
from detectors.scorecard import scorecard
from detectors.snapshot import MICRO, SCORE, WEIGHT_SUM_MILLI, SnapshotError, content_id, decode
from features.indicators import CORE, INDICATORS
from tests.faults import Fault
from tests.model_months import RISKIER, SAFER, examples

GROUPS = {name: row.group for name, row in indicators().items()}
PRIOR = prior_snapshot()


QUICK = {"folds": 2}  # where it does not matter how well the number of anchors is chosen: two thirds of the time


def trained(seen: Examples, **policy: int) -> Trainer:
    trainer = Trainer(PRIOR, GROUPS, Policy(**policy))
    trainer.fit(seen)
    return trainer


def log_loss(p: np.ndarray, bad: np.ndarray) -> float:
    return float(-np.log(np.where(bad, p, 1.0 - p)).mean())


def test_the_champion_beats_the_frozen_prior_on_others_and_finds_what_matters(seed: int) -> None:
    print(f"seed {seed}")
    trainer, others = trained(examples(6_000, seed % 2**32)), examples(4_000, (seed + 1) % 2**32)
    assert log_loss(trainer.predict(others), others["bad"]) < 0.9 * log_loss(
        trainer.prior_predict(others), others["bad"]
    )
    heaviest = sorted(CORE, key=trainer.champion.weights_milli.__getitem__)[-2:]
    assert set(heaviest) == {INDICATORS[SAFER], INDICATORS[RISKIER]}
    expected, observed = float(trainer.predict(others).sum()), int(others["bad"].sum())
    assert observed == pytest.approx(expected, rel=0.2)


def test_too_few_labels_leave_the_prior() -> None:
    seen = examples(200, 3)
    seen["bad"][:] = False
    few = trained(seen).champion
    assert few.prior
    assert few.scores_as(PRIOR)
    assert (few.trained_labels_count, few.trained_bad_count) == (200, 0)
    assert trained(seen[:0]).champion == PRIOR


def test_without_evidence_an_increment_is_the_experts_less_the_rate_over_the_inverse_variance_and_0_at_least():
    seen = examples(500, 3)
    population, nothing = Population(seen, CORE), np.zeros(len(seen))
    plain, sparse = (
        training.fitted(PRIOR, population, seen, nothing, training.Variant(9, strength=3.0, sparsity=rate))
        for rate in (0.0, 0.1)
    )
    shape = plain.shape
    for first, anchors in zip(shape.first.tolist(), shape.size.tolist(), strict=True):
        of = slice(first + 1, first + anchors)
        expected = np.maximum(0.0, plain.theta[of] - 0.1 / (3.0 * (anchors - 1)))
        assert sparse.theta[of] == pytest.approx(expected, abs=1e-6)
    assert 0 < np.count_nonzero(sparse.theta) < np.count_nonzero(plain.theta)


def test_the_snapshot_is_read_back_and_scores_as_the_model_predicts(seed: int) -> None:
    print(f"seed {seed}")
    seen = examples(3_000, seed % 2**32)
    trainer = trained(seen)
    body = trainer.snapshot("parent", {"events.v1:0": 7}).encode()
    snapshot = decode(body, content_id(body))
    assert (snapshot.trained_labels_count, snapshot.trained_bad_count) == (3_000, int(seen["bad"].sum()))
    assert (snapshot.trained_from_day, snapshot.trained_until_day) == (seen["day"].min(), seen["matured_on"].max())
    assert snapshot.log_offsets == {"events.v1:0": 7}
    assert snapshot.policy["anchors"] in QUANTILES
    assert set(snapshot.reference) == {*CORE, SCORE}
    scores = scores_milli(snapshot, seen)
    assert ((scores >= 400_000) & (scores <= 700_000)).all()
    of_scores = probabilities(training.line_of(snapshot), places(scores))
    assert trainer.predict(seen) == pytest.approx(of_scores, rel=1e-9)
    scorecard(snapshot)  # no null of it pays


def test_the_same_examples_give_the_same_bytes_on_any_cpu_with_any_number_of_threads(seed: int) -> None:
    """Another process comes to the same id, with other threads, and compiled for the plainest of CPUs."""
    print(f"seed {seed}")
    code = (
        "import sys; from tests.detectors.learning.test_training import trained, examples, content_id; "
        "print(content_id(trained(examples(1_500, int(sys.argv[1]))).snapshot('parent', {}).encode()))"
    )
    ids = set()
    for threads, cpu in (("1", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}), ("3", {})):
        environment = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, **cpu}
        made = subprocess.run(
            [sys.executable, "-c", code, str(seed % 2**32)],
            env={**_environment(), **environment}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        ids.add(made.stdout.strip())
    assert ids == {content_id(trained(examples(1_500, seed % 2**32)).snapshot("parent", {}).encode())}


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.getcwd(), "NPY_DISABLE_CPU_FEATURES": "AVX2 AVX512F FMA3"}


def test_nulls_have_levels_of_their_own_and_none_of_them_pays() -> None:
    """The level of a null follows those who hide an indicator, and never rises over that of the bad value."""
    seen = examples(6_000, 5, effect=0.0, base=-1.0)
    hides = np.random.default_rng(5).random(len(seen)) < 0.3
    seen["null"][:, SAFER] = np.where(hides, 5, 0)
    seen["value"][:, SAFER] = np.where(hides, np.nan, np.random.default_rng(6).normal(size=len(seen)))
    for is_worse in (True, False):
        seen["bad"] = np.random.default_rng(7).random(len(seen)) < np.where(hides == is_worse, 0.5, 0.1)
        snapshot = trained(seen, **QUICK).champion
        name = INDICATORS[SAFER]
        row = scorecard(snapshot).rows[CORE.index(name)]
        level, most = snapshot.null_levels_micro[name]["not_reported"], _level_of_bad_value(row, snapshot, name)
        assert level <= most
        assert level < MICRO // 10, "it is worse, or it is better, and that is not believed"


def _level_of_bad_value(row: np.void, snapshot: msgspec.Struct, name: str) -> int:
    from detectors.scorecard import utility

    return math.floor(MICRO * utility(row, snapshot.unknown_at_micro[name] / MICRO))


def test_old_labels_fade_by_the_half_life() -> None:
    old, new = examples(3_000, 1, base=-3.0), examples(1_500, 2, base=0.0)
    new["matured_on"] += 2_000
    seen, others = np.concatenate([old, new]), examples(2_000, 3, base=0.0)
    observed = float(others["bad"].mean())
    kept, faded = (float(trained(seen, half_life_days=days, **QUICK).predict(others).mean()) for days in (0, 200))
    assert abs(faded - observed) < abs(kept - observed) / 2


def test_thinned_examples_stand_for_all(seed: int) -> None:
    print(f"seed {seed}")
    seen = examples(9_000, seed % 2**32)
    rows, factor = training.thinned(seen, 3_000)
    assert len(rows) < len(seen)
    assert set(np.flatnonzero(seen["bad"])) <= set(rows.tolist())
    assert factor[seen["bad"][rows]].tolist() == [1.0] * int(seen["bad"].sum())
    whole, part = trained(seen), trained(seen, examples_max=3_000, selection_max=2_000)
    others = examples(3_000, 11)
    losses = [log_loss(one.predict(others), others["bad"]) for one in (whole, part)]
    assert losses[1] < losses[0] * 1.1


def test_a_calibration_moves_no_score_and_meets_what_was_observed(seed: int) -> None:
    print(f"seed {seed}")
    champion = trained(examples(4_000, seed % 2**32)).snapshot("parent", {})
    newest = examples(4_000, (seed + 1) % 2**32, base=-1.0)
    moved = training.recalibrated(champion, newest, Policy())
    assert moved.scores_as(champion)
    assert moved != champion
    expected = float(training.predicted(moved, newest).sum())
    assert expected == pytest.approx(int(newest["bad"].sum()), rel=0.05)


def test_pd_12m_is_null_until_enough_have_matured() -> None:
    seen = examples(3_000, 9)
    seen["default_12m"] = -1
    seen["default_12m"][:500] = 0
    seen["default_12m"][:29] = 1
    assert trained(seen, **QUICK).champion.default_12m is None
    seen["default_12m"][29] = 1
    assert trained(seen, **QUICK).champion.default_12m is not None


@given(st.integers(0, 2**32 - 1), st.floats(-5, 2), st.floats(0.5, 20))
def test_calibration_recovers_a_line(seed: int, intercept: float, slope: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.random(4_000)
    p = 1 / (1 + np.exp(-(intercept - slope * x)))
    found = calibrated(LogitLine(-2.0, 7.0), x, rng.random(4_000) < p, np.ones(4_000))
    assert math.isfinite(found.intercept)
    assert found.slope > 0
    assert probabilities(found, x).sum() == pytest.approx(p.sum(), abs=6 * math.sqrt(p.sum()) + 6)


def test_a_score_that_is_not_finite_calibrates_nothing() -> None:
    with pytest.raises(ValueError, match="not finite"):
        calibrated(LogitLine(-2.0, 7.0), np.array([0.5, np.nan]), np.array([True, False]), np.ones(2))


def test_anchors_are_the_populations_and_a_common_value_is_one_of_them() -> None:
    seen = examples(4_000, 4)
    place = INDICATORS.index("returned_debits_30d_count")
    seen["value"][:, place] = np.where(np.arange(4_000) % 10 < 9, 0.0, np.arange(4_000) % 7)
    seen["null"][:, place] = 0
    of_few = INDICATORS.index("dscr_12m_ratio")
    seen["null"][29:, of_few] = 2
    population = Population(seen, CORE)
    counts = population.anchors(CORE.index("returned_debits_30d_count"), 9)
    assert counts[0] == 0
    assert counts[-1] == 6 * MICRO
    assert population.anchors(CORE.index("dscr_12m_ratio"), 9) == PRIOR.anchors_micro["dscr_12m_ratio"]
    for i in range(len(CORE)):
        for count in QUANTILES:
            assert list(anchors := population.anchors(i, count)) == sorted(set(anchors))


def test_fault_29_a_flipped_bit_is_refused_by_name(seed: int, fault: Fault) -> None:
    body = PRIOR.encode()
    name = content_id(body)
    bit = random.Random(seed).randrange(len(body) * 8)
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    assert bytes(flipped) != body
    with pytest.raises(SnapshotError, match=name):
        decode(bytes(flipped), name)
    bits = sum((one ^ other).bit_count() for one, other in zip(flipped, body, strict=True))
    fault(injected=bits, observed=f"bit {bit} of {len(body)} bytes, refused by id")


FOUR = {"a": "x", "b": "x", "c": "y", "d": "y"}


@given(st.fixed_dictionaries({name: st.one_of(st.just(0.0), st.floats(0, 50)) for name in FOUR}))
def test_weights_sum_to_300_points_and_no_group_vanishes(betas: dict[str, float]) -> None:
    weights, slope = scorecard_weights(betas, dict.fromkeys(FOUR, 75_000), FOUR)
    assert sum(weights.values()) == WEIGHT_SUM_MILLI
    assert min(weights.values()) >= 0
    assert slope >= 0.1
    for group in set(FOUR.values()):
        members = [name for name in FOUR if FOUR[name] == group]
        if not any(betas[name] for name in members):
            assert sum(weights[name] for name in members) >= WEIGHT_SUM_MILLI // 110


@given(st.dictionaries(st.text(min_size=1), st.floats(1e-6, 1e6), min_size=1), st.integers(1, 10**6))
def test_largest_remainder_adds_up_and_is_within_one(weights: dict[str, float], total: int) -> None:
    whole = math.fsum(weights.values())
    shares = {name: weight / whole for name, weight in weights.items()}
    parts = largest_remainder(shares, total)
    assert sum(parts.values()) == total
    assert all(abs(parts[name] - share * total) < 1 + 1e-6 for name, share in shares.items())


def test_the_largest_move_is_named() -> None:
    moved = msgspec.structs.replace(PRIOR, weights_milli={**PRIOR.weights_milli, "dpd_max_days": 0})
    assert largest_move_milli(moved, PRIOR) == ("dpd_max_days", PRIOR.weights_milli["dpd_max_days"])
