"""Drift: PSI by hand and against planted moves, bins that are the same everywhere, and ADWIN on a loss that rises."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.learning.drift import (
    FLOOR,
    PSI_EXAMPLES_MIN,
    Drift,
    drift_of,
    drift_reasons,
    loss_has_risen,
    moved,
    psi,
    psi_micro,
    psi_of_model,
    reference_of,
)
from detectors.learning.prequential import log_losses
from detectors.learning.rescoring import rescored
from detectors.prior import prior_snapshot
from detectors.snapshot import MICRO, SCORE
from features.indicators import CORE, INDICATORS
from features.indicators.repayment import DPD_MAX
from tests.model_months import examples

FIRST, SECOND, THIRD = (INDICATORS.index(name) for name in CORE[:3])


def test_the_population_itself_has_not_moved_and_shares_are_whole() -> None:
    seen = examples(5_000, 1)
    reference = reference_of(seen, CORE)
    assert set(reference) == {*CORE, SCORE}
    for name, one in reference.items():
        assert sum(one.shares_ppm) == MICRO
        assert len(one.shares_ppm) == len(one.edges_micro) + 1 == 10
        assert list(one.edges_micro) == sorted(set(one.edges_micro))
        assert all(abs(share - MICRO / 10) < 2_000 for share in one.shares_ppm), name
    assert reference[SCORE].null_ppm == 0
    assert reference[CORE[0]].null_ppm == pytest.approx(100_000, abs=20_000)
    assert max(psi_micro(seen, reference).values()) < 10


def test_psi_finds_what_moved_and_nothing_else() -> None:
    reference, later = reference_of(examples(5_000, 1), CORE), examples(5_000, 2)
    later["value"][:, FIRST] += 1.0
    later["null"][:2_500, SECOND], later["value"][:2_500, SECOND] = 2, np.nan  # half of them are not there any more
    found = psi_micro(later, reference)
    assert found[CORE[0]] > 500_000
    assert found[CORE[1]] > 250_000
    assert all(value < 25_000 for name, value in found.items() if name not in CORE[:2])


def test_psi_is_the_sum_of_its_definition_with_a_floor_for_empty_bins() -> None:
    seen, later = examples(1_000, 1), examples(600, 2)
    seen["null"][:, FIRST] = later["null"][:, FIRST] = 0
    seen["value"][:, FIRST], later["value"][:, FIRST] = np.arange(1_000) % 10, 3.0
    reference = reference_of(seen, CORE[:1])
    shares, expected = np.zeros(11), np.array([*[0.1] * 10, 0.0])
    shares[3] = 1.0
    by_hand = sum((max(a, FLOOR) - max(e, FLOOR)) * math.log(max(a, FLOOR) / max(e, FLOOR))
                  for a, e in zip(shares, expected, strict=True))  # fmt: skip
    assert psi_micro(later, reference)[CORE[0]] == round(MICRO * by_hand)


def test_masses_of_equal_values_are_bins_and_constants_have_none() -> None:
    seen = examples(1_000, 1)
    seen["null"][:] = 0
    seen["value"][:, FIRST] = np.where(np.arange(1_000) < 950, 0.0, np.arange(1_000))
    seen["value"][:, SECOND] = 7.0
    seen["null"][:, THIRD] = 3
    found = reference_of(seen, CORE[:3])
    assert (found[CORE[0]].edges_micro, found[CORE[0]].shares_ppm) == ((950 * MICRO,), (950_000, 50_000))
    assert (found[CORE[1]].edges_micro, found[CORE[1]].shares_ppm) == ((), (MICRO,))
    assert (found[CORE[2]].shares_ppm, found[CORE[2]].null_ppm) == ((MICRO,), MICRO)
    with pytest.raises(ValueError, match="no examples"):
        reference_of(seen[:0], CORE)
    assert psi_micro(seen[:0], found) == {}


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_bins_are_ascending_hold_something_and_do_not_depend_on_the_order(values: list[int], random) -> None:
    seen = examples(len(values), 1)
    seen["null"][:, FIRST] = 0
    seen["value"][:, FIRST] = values
    one = reference_of(seen, CORE[:1])
    assert all(share > 0 for share in one[CORE[0]].shares_ppm)
    random.shuffle(values)
    seen["value"][:, FIRST] = values
    assert reference_of(seen, CORE[:1])[CORE[0]] == one[CORE[0]]


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12), st.lists(st.integers(0, 50), min_size=2, max_size=12))
def test_psi_is_never_negative_and_symmetric(a: list[int], b: list[int]) -> None:
    size = min(len(a), len(b))
    one, other = ([count / max(1, sum(each[:size])) for count in each[:size]] for each in (a, b))
    assert psi(one, other) >= 0
    assert psi(one, other) == pytest.approx(psi(other, one))


def test_reasons_name_the_worst_and_say_nothing_of_few_observations() -> None:
    moved = {f"i{n}": 300_000 + n for n in range(8)} | {"calm": 100_000}
    (said,) = drift_reasons(Drift(psi_micro=moved, examples=PSI_EXAMPLES_MIN, concept=False), psi_max=0.25)
    assert said.startswith("PSI over 0.25: i7 0.300, i6 0.300")
    assert said.endswith("and 3 more")
    assert "calm" not in said
    few = Drift(psi_micro=moved, examples=PSI_EXAMPLES_MIN - 1, concept=True)
    assert drift_reasons(few, psi_max=0.25) == ["the champion's log loss has risen (ADWIN)"]
    assert drift_reasons(Drift(psi_micro={"calm": 1}, examples=10**6, concept=False), psi_max=0.25) == []


def test_a_model_is_held_against_its_own_population_with_its_own_scores_and_the_prior_has_none() -> None:
    seen = examples(5_000, 1)
    seen["value"][:, DPD_MAX], seen["null"][:, DPD_MAX] = 0.0, 0  # arrears would cap the scores
    learned = msgspec.structs.replace(prior_snapshot(), reference=reference_of(rescored(prior_snapshot(), seen), CORE))
    later = seen.copy()
    later["score_milli"] = 400_000  # of another model
    assert set(psi_of_model(learned, later).values()) == {0}
    later["value"][:, FIRST] += 1.0
    found = psi_of_model(learned, later)
    assert moved(found, len(later), psi_max=0.25) == (CORE[0],)
    assert moved(found, PSI_EXAMPLES_MIN - 1, psi_max=0.25) == ()
    assert psi_of_model(prior_snapshot(), later) == {}


def losses(rng: np.random.Generator, n: int, rate: float) -> np.ndarray:
    p = np.full(n, 0.01)
    return log_losses(p, rng.random(n) < rate)


def test_a_loss_that_rises_is_called_and_one_that_falls_or_stays_is_not() -> None:
    rng = np.random.default_rng(4)
    calm, worse, better = losses(rng, 40_000, 0.01), losses(rng, 8_000, 0.03), losses(rng, 8_000, 0.0)
    assert not loss_has_risen(calm, 8_000)
    assert loss_has_risen(np.concatenate((calm, worse)), 8_000)
    assert not loss_has_risen(np.concatenate((calm, better)), 8_000)
    # It is said in the month in which it happened, not for ever after.
    assert not loss_has_risen(np.concatenate((calm, worse, losses(rng, 8_000, 0.03))), 8_000)


def test_streams_without_drift_are_seldom_called_one() -> None:
    calls = sum(loss_has_risen(losses(np.random.default_rng(seed), 20_000, 0.01), 20_000) for seed in range(60))
    assert calls <= 2


def test_a_month_says_both() -> None:
    seen, rng = examples(2_000, 1), np.random.default_rng(2)
    reference = reference_of(seen, CORE)
    calm, worse = losses(rng, 20_000, 0.01), losses(rng, 5_000, 0.05)
    found = drift_of(seen, reference, np.concatenate((calm, worse)), 5_000)
    assert (found.concept, found.examples) == (True, 2_000)
    assert found.psi_micro == psi_micro(seen, reference)
