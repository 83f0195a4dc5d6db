"""Test-then-train, and the model read as a scorecard."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.learning.labels import Label
from detectors.learning.training import Trainer, largest_move_milli, largest_remainder, scorecard_weights
from detectors.snapshot import MICRO, WEIGHT_SUM_MILLI, SnapshotError, content_id, decode, of_format_1
from domain.outputs import Observation
from tests.faults import Fault

GROUPS = {"a": "x", "b": "x", "c": "y", "d": "y"}
PRIOR = of_format_1(
    parent_id=None,
    prior=True,
    weights_milli=dict.fromkeys(GROUPS, 75_000),
    intercept_micro=470_000,
    slope_micro=6_931_472,
    anchors_micro=dict.fromkeys(GROUPS, (0, 1, 2, 3, 4)),
)


def labels(n: int, seed: int) -> list[Label]:
    """Return observations whose outcome depends on `a` alone."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        u = {name: rng.randrange(MICRO + 1) for name in GROUPS}
        p = 1 / (1 + math.exp(-(0.5 - 6 * u["a"] / MICRO)))
        observation = Observation(
            observation_id=f"o{i:06d}", enterprise_id=f"E{i % 50}", kind="month", loan_id=None, day=i // 100, as_of=0,
            score_milli=0, p_overdue30_90d_ppm=0, utilities_ppm=u, values_micro={}, model_id="m", offset=i, seq=0,
        )  # fmt: skip
        made.append(Label(observation=observation, bad=rng.random() < p, matured_on=90 + i // 100))
    return made


def test_each_label_is_predicted_before_it_is_learned(seed: int) -> None:
    """The log loss of the first label is the prior's: nothing of it was known."""
    (label,) = labels(1, seed)
    trainer = Trainer(PRIOR, GROUPS)
    trainer.learn([label])
    assert trainer.metrics()["log_loss"] == trainer.metrics()["log_loss_of_prior"]
    trainer.learn([label])
    assert trainer.metrics()["log_loss"] < trainer.metrics()["log_loss_of_prior"]


def test_the_champion_beats_the_frozen_prior_and_finds_what_matters(seed: int) -> None:
    print(f"seed {seed}")
    trainer = Trainer(PRIOR, GROUPS)
    trainer.learn(labels(6_000, seed))
    said = trainer.metrics()
    assert said["log_loss"] < said["log_loss_of_prior"]
    snapshot = trainer.snapshot("parent", {})
    assert max(snapshot.weights_milli, key=snapshot.weights_milli.__getitem__) == "a"
    assert largest_move_milli(snapshot, PRIOR)[1] > 10_000


def test_the_snapshot_is_the_model_as_a_scorecard(seed: int) -> None:
    """The probability by its weights, slope and intercept is that of the River pipeline, to the rounding."""
    trainer = Trainer(PRIOR, GROUPS)
    trainer.learn(labels(1_000, seed))
    snapshot = decode(body := trainer.snapshot("parent", {"events.v1:0": 7}).encode(), content_id(body))
    assert snapshot.trained_labels_count == 1_000
    assert snapshot.trained_until_day == 90 + 9
    for label in labels(50, seed + 1):
        u = label.observation.utilities_ppm
        points = sum(snapshot.weights_milli[name] * u[name] / MICRO for name in u) / WEIGHT_SUM_MILLI
        logit = (snapshot.intercept_micro - snapshot.slope_micro * points) / MICRO
        expected = trainer._pipeline.predict_proba_one(u)[True]
        assert math.isclose(1 / (1 + math.exp(-logit)), expected, rel_tol=1e-4)


def test_equal_labels_give_equal_bytes_and_another_order_other_ones(seed: int) -> None:
    made = labels(300, seed)
    bodies = []
    for stream in (made, made, made[::-1]):
        trainer = Trainer(PRIOR, GROUPS)
        trainer.learn(stream)
        bodies.append(trainer.snapshot("parent", {}).encode())
    assert bodies[0] == bodies[1] != bodies[2]
    assert b" " not in bodies[0]


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


def test_an_observation_without_a_utility_of_the_model_is_counted_not_learned() -> None:
    (label,) = labels(1, 1)
    del label.observation.utilities_ppm["d"]
    trainer = Trainer(PRIOR, GROUPS)
    assert trainer.learn([label]) == 0
    assert trainer.counts == {"unusable": 1}
    assert trainer.metrics() == {}


@given(st.fixed_dictionaries({name: st.one_of(st.just(0.0), st.floats(0, 50)) for name in GROUPS}))
def test_weights_sum_to_300_points_and_no_group_vanishes(betas: dict[str, float]) -> None:
    weights, slope = scorecard_weights(betas, PRIOR.weights_milli, GROUPS)
    assert sum(weights.values()) == WEIGHT_SUM_MILLI
    assert min(weights.values()) >= 0
    assert slope >= 0.1
    for group in set(GROUPS.values()):
        members = [name for name in GROUPS if GROUPS[name] == group]
        if not any(betas[name] for name in members):
            assert sum(weights[name] for name in members) >= WEIGHT_SUM_MILLI // 110


@given(st.dictionaries(st.text(min_size=1), st.floats(1e-6, 1e6), min_size=1), st.integers(1, 10**6))
def test_largest_remainder_adds_up_and_is_within_one(weights: dict[str, float], total: int) -> None:
    whole = math.fsum(weights.values())
    shares = {name: weight / whole for name, weight in weights.items()}
    parts = largest_remainder(shares, total)
    assert sum(parts.values()) == total
    assert all(abs(parts[name] - share * total) < 1 + 1e-6 for name, share in shares.items())
