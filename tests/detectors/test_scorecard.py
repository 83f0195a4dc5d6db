"""The scorecard's promises: it adds up, it is bounded, and a better indicator never lowers it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import indicators
from detectors import scorecard
from detectors.prior import prior_id, prior_snapshot
from detectors.snapshot import SnapshotError, content_id, decode
from features import layout
from features.indicators import CORE
from features.indicators.core import BASE_TOO_SMALL, DPD_MAX, NOT_APPLICABLE, VALUE
from streams.score import outbook

CARD = scorecard.scorecard(prior_snapshot())
values = st.tuples(
    st.floats(0, 1e10), st.floats(0, 500), st.floats(0, 5000), st.floats(-1, 20), st.floats(0, 1), st.floats(0, 400)
)
nulls = st.tuples(*(st.sampled_from((VALUE, VALUE, NOT_APPLICABLE, BASE_TOO_SMALL)) for _ in CORE))


ALL_KNOWN = (VALUE,) * len(CORE)


def assess(value, null=ALL_KNOWN, closing=False, row=None):
    x, e = np.zeros(1, outbook.ROW), layout.allocate(1) if row is None else row
    x["value"][0, : len(CORE)], x["null"][0, : len(CORE)], x["history_days"][0] = value, null, 400
    e["txn_count"] = 1_000
    scorecard.assess(CARD, e[0], x[0], closing)
    return x[0]


@given(values, nulls)
def test_points_and_cap_add_up_to_the_score_within_its_bounds(value, null):
    x = assess(value, null)
    assert 400_000 + int(x["points_milli"].sum()) + int(x["cap_milli"]) == int(x["score_milli"])
    assert 400_000 <= int(x["score_milli"]) <= 700_000
    assert int(x["cap_milli"]) <= 0


@given(values, st.integers(0, len(CORE) - 1), st.floats(0, 10))
def test_a_better_indicator_never_lowers_the_score(value, i, step):
    better = list(value)
    better[i] += -step if indicators()[CORE[i]].higher_is_riskier else step
    if i == DPD_MAX:
        better[i] = max(0.0, better[i])
    assert int(assess(better)["score_milli"]) >= int(assess(value)["score_milli"])


@given(values, st.integers(0, len(CORE) - 1))
def test_hiding_an_input_never_pays(value, i):
    null = [VALUE] * len(CORE)
    null[i] = BASE_TOO_SMALL
    row = layout.allocate(1)
    shown = int(assess(value, row=row)["points_milli"][i])
    assert int(assess(value, null, row=row)["points_milli"][i]) <= shown


@pytest.mark.parametrize(("dpd", "most"), [(30, 700), (31, 499), (90, 499), (91, 449)])
def test_arrears_cap_the_score(dpd, most):
    assert int(assess((1e9, 0, 1000, 1, 0.01, dpd))["score_milli"]) <= most * 1000


@given(st.floats(-1e15, 1e15))
def test_log10_1p_is_within_two_ulp_of_libm(x):
    exact = math.copysign(math.log10(1 + abs(x)), x)
    assert scorecard.log10_1p(x) == pytest.approx(exact, rel=1e-14, abs=1e-15)


def test_the_prior_odds_are_twenty_to_one_at_550_and_double_every_thirty_points():
    p = scorecard.probabilities_ppm(prior_snapshot())
    odds = [(1_000_000 - x) / x for x in p]
    assert odds[150] == pytest.approx(20, rel=1e-3)
    assert odds[180] == pytest.approx(40, rel=1e-3)
    assert list(p) == sorted(p, reverse=True)


def test_a_published_grade_moves_past_its_margin_or_after_three_closes():
    row = layout.allocate(1)
    row["published_grade"] = 2  # C: 550 to 599
    x = np.zeros(1, outbook.ROW)
    x["score_milli"] = 603_000
    moves = []
    for _ in range(3):
        scorecard._publish(row[0], x[0], True)
        moves.append(int(row[0]["published_grade"]))
    assert moves == [2, 2, 1]
    row["published_grade"] = 2
    x["score_milli"] = 605_000
    scorecard._publish(row[0], x[0], False)
    assert int(row[0]["published_grade"]) == 1


def test_a_snapshot_is_refused_where_one_bit_is_not_its_own():
    body = prior_snapshot().encode()
    assert decode(body, prior_id()) == prior_snapshot()
    flipped = bytes([body[0] ^ 1]) + body[1:]
    with pytest.raises(SnapshotError, match="hash to"):
        decode(flipped, prior_id())
    wrong = body.replace(b'"dpd_max_days":70000', b'"dpd_max_days":70001')
    with pytest.raises(SnapshotError, match="weights sum to 300001"):
        decode(wrong, content_id(wrong))
