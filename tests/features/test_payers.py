"""The laws of the list of payers, against a fold that keeps every payment."""

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import layout
from features.state import decay, payers
from kernels.decorators import allocating_kernel

FIRST_DAY = 19_800
STEP = np.dtype([("who", "<u8"), ("day", "<i8"), ("fen", "<i8"), ("sign", "<i8")])
payments = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 400), st.integers(1, 10**12)), min_size=1, max_size=80)


@allocating_kernel
def take(state, steps):
    for s in steps:
        if s.sign > 0:
            payers.add(state[0], s.who, s.day, s.day * 86_400_000, s.fen)
        else:
            payers.take(state[0], s.who, s.day, s.fen)


def listed(steps):
    """The row after (who, day, fen[, sign]) of each step."""
    state = layout.allocate(1)
    take(state, np.array([(who, FIRST_DAY + day, fen, *(sign or (1,))) for who, day, fen, *sign in steps], STEP))
    return state[0]


def weights(steps, half_life=90):
    """The decayed inflow of each payer, summed from the payments; 0 is who is not named."""
    true = defaultdict(float)
    for who, day, fen, *sign in steps:
        true[who] += (sign or [1])[0] * fen * 2.0 ** ((FIRST_DAY + day - decay.LANDMARK_DAY) / half_life)
    return true


def by_payer(row, field):
    return {int(who): row[field][i] for i, who in enumerate(row["payer"]) if who}


@given(payments)
def test_a_weight_is_never_under_the_payers_own_and_over_it_by_the_lightest_at_most(steps):
    row, true = listed(steps), weights(steps)
    held = by_payer(row, "payer_weight")
    error_max = min(held.values(), default=0.0) if len(true.keys() - {0}) > payers.PLACES else 0.0
    for who, weight in held.items():
        assert true[who] * (1 - 1e-9) <= weight <= (true[who] + error_max) * (1 + 1e-9)


@given(payments)
def test_the_weights_add_up_to_the_named_inflow_and_majorize_the_true_ones(steps):
    row, true = listed(steps), weights(steps)
    named = sorted((w for who, w in true.items() if who), reverse=True)
    held = sorted(by_payer(row, "payer_weight").values(), reverse=True)
    assert float(row["payer_named"]) == pytest.approx(sum(named))
    assert sum(held) == pytest.approx(sum(named))
    for k in range(1, len(held) + 1):
        assert sum(held[:k]) >= sum(named[:k]) * (1 - 1e-9)
    assert float(row["payer_all"]) == pytest.approx(sum(true.values()))


@given(payments, st.randoms(use_true_random=False))
def test_sixteen_payers_are_exact_in_any_order(steps, random):
    steps = [(who % 17, day, fen) for who, day, fen in steps]
    random.shuffle(steps)
    row = listed(steps)
    for field, half_life in (("payer_weight", 90), ("payer_slow", 180)):
        true = weights(steps, half_life)
        assert by_payer(row, field) == {who: pytest.approx(w) for who, w in true.items() if who}
    days, seen = defaultdict(list), 86_400
    for who, day, _ in steps:
        days[who].append((FIRST_DAY + day) * seen)
    assert by_payer(row, "payer_count") == {who: len(at) for who, at in days.items() if who}
    assert by_payer(row, "payer_first") == {who: min(at) for who, at in days.items() if who}
    assert by_payer(row, "payer_last") == {who: max(at) for who, at in days.items() if who}
    assert float(row["payer_named_slow"]) == pytest.approx(sum(w for who, w in weights(steps, 180).items() if who))


@given(payments)
def test_slow_weight_count_and_times_are_never_overstated(steps):
    row, slow = listed(steps), weights(steps, 180)
    for who, held in by_payer(row, "payer_slow").items():
        assert held <= slow[who] * (1 + 1e-9)
        assert by_payer(row, "payer_count")[who] <= sum(payer == who for payer, _, _ in steps)


@given(payments)
def test_a_removed_payment_leaves_no_weight(steps):
    row = listed([*steps, *((*step, -1) for step in steps)])
    whole = sum(weights(steps).values())
    for field in ("payer_named", "payer_all"):
        assert float(row[field]) == pytest.approx(0, abs=1e-9 * whole)
    if len({who for who, _, _ in steps} - {0}) <= payers.PLACES:
        assert row["payer_weight"].sum() == pytest.approx(0, abs=1e-9 * whole)
        assert not row["payer_count"].any()


def test_decay_halves_in_its_half_life():
    assert decay.growth(90) == 2.0
    assert decay.growth(-90) == 0.5
    assert decay.growth(45) == pytest.approx(2**0.5)
    assert decay.slow_weight(decay.LANDMARK_DAY + 180) == 2.0
    assert decay.slow_weight(decay.LANDMARK_DAY - 90) == pytest.approx(2**-0.5)
    assert Fraction(decay.weight(decay.LANDMARK_DAY)) == 1
