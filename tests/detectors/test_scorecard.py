"""The scorecard's promises: it adds up, it is bounded, and a better indicator never lowers it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import anchors, expert_points, indicators
from detectors import scorecard
from detectors.prior import prior_id, prior_snapshot
from detectors.snapshot import SnapshotError, content_id, decode
from features import layout
from features.indicators import CORE, EXTENDED, INDICATORS, SLOT
from features.indicators.nulls import BASE_TOO_SMALL, NEVER_SEEN, NOT_APPLICABLE, SHORT_HISTORY, VALUE
from features.indicators.repayment import DPD_MAX
from streams.score import outbook

CARD = scorecard.scorecard(prior_snapshot())


def around(name):
    """Numbers within the anchors of an indicator and well past them."""
    low, *_, high = anchors()[name]
    return st.floats(0 if name == "dpd_max_days" else low - (high - low), high + (high - low))


values = st.tuples(*map(around, CORE))
BEST = tuple(anchors()[name][0 if indicators()[name].higher_is_riskier else 4] for name in CORE)
nulls = st.tuples(*(st.sampled_from((VALUE, VALUE, NOT_APPLICABLE, BASE_TOO_SMALL)) for _ in CORE))


UNWEIGHED = ("bal_min_90d_cny", "instalment_to_inflow_12m_ratio")  # no expert weight: learning alone weighs them
ALL_KNOWN = (VALUE,) * len(CORE)


def assess(value, null=ALL_KNOWN, closing=False, row=None, card=CARD):
    x, e = np.zeros(1, outbook.ROW), layout.allocate(1) if row is None else row
    x["value"][0, : len(CORE)], x["null"][0, : len(CORE)], x["history_days"][0] = value, null, 400
    e["txn_count"] = 1_000
    scorecard.assess(card, e[0], x[0], closing)
    return x[0]


@given(values, nulls)
def test_points_and_cap_add_up_to_the_score_within_its_bounds(value, null):
    x = assess(value, null)
    assert 400_000 + int(x["points_milli"].sum()) + int(x["cap_milli"]) == int(x["score_milli"])
    assert 400_000 <= int(x["score_milli"]) <= 700_000
    assert int(x["cap_milli"]) <= 0


@given(values, values, nulls, st.sets(st.integers(0, len(CORE) - 1)))
def test_earlier_calls_of_a_card_change_nothing(value, before, null, same):
    before = [value[i] if i in same else x for i, x in enumerate(before)]
    asked, fresh = CARD.own(), scorecard.scorecard(prior_snapshot())
    assess(before, card=asked)
    assert assess(value, null, card=asked).tobytes() == assess(value, null, card=fresh).tobytes()


@given(values, st.integers(0, len(CORE) - 1), st.floats(0, 10))
def test_a_better_indicator_never_lowers_the_score(value, i, step):
    better = list(value)
    low, *_, high = anchors()[CORE[i]]
    step *= (high - low) / 10
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
    value = [dpd if name == "dpd_max_days" else best for name, best in zip(CORE, BEST, strict=True)]
    assert int(assess(value)["score_milli"]) <= most * 1000
    assert int(assess(value)["cap_milli"]) == min(0, most * 1000 - 400_000 - int(assess(value)["points_milli"].sum()))


def test_the_best_of_everything_is_700_and_the_worst_400():
    worst = [anchors()[name][4 if indicators()[name].higher_is_riskier else 0] for name in CORE]
    assert int(assess(BEST)["score_milli"]) == 700_000
    assert int(assess(worst)["score_milli"]) == 400_000


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
    of_dpd = b'"dpd_max_days":%d' % prior_snapshot().weights_milli["dpd_max_days"]
    wrong = body.replace(of_dpd, of_dpd + b"0")
    with pytest.raises(SnapshotError, match="weights sum to"):
        decode(wrong, content_id(wrong))
    no_text = body.replace(b'"dpd_max_days":', b'"\xff\xfe":')
    with pytest.raises(SnapshotError, match=f"model {content_id(no_text)}: 'utf-8' codec"):
        decode(no_text, content_id(no_text))


def test_the_catalogue_the_anchors_and_the_code_agree_on_what_scores():
    assert set(anchors()) == set(expert_points()) == set(CORE)
    assert {indicators()[name].tier for name in CORE} == {"core"}
    assert {indicators()[name].tier for name in EXTENDED} == {"extended"}
    assert len(set(INDICATORS)) == len(INDICATORS)
    for name in CORE:
        assert sorted(set(anchors()[name])) == list(anchors()[name]), name
        assert expert_points()[name] >= 0, name
    assert {name for name in CORE if not expert_points()[name]} == set(UNWEIGHED)


def test_an_indicator_without_points_is_none_of_the_priors_which_keeps_its_bytes():
    assert list(prior_snapshot().weights_milli) == [name for name in CORE if name not in UNWEIGHED]
    assert prior_id() == "dd8b7385342a216f1d7e0b8b3ba8685dd31b8292670f703d1759ea2a541537dc"


@given(values, nulls, values, nulls)
def test_an_indicator_without_points_moves_nothing_under_the_prior(value, null, others, other_nulls):
    swapped = [others[i] if name in UNWEIGHED else value[i] for i, name in enumerate(CORE)]
    swapped_nulls = [other_nulls[i] if name in UNWEIGHED else null[i] for i, name in enumerate(CORE)]
    x, y = assess(value, null), assess(swapped, swapped_nulls)
    for field in ("points_milli", "score_milli", "cap_milli", "coverage_ppm", "status", "status_reason", "reasons"):
        assert np.array_equal(x[field], y[field]), field
    assert not any(x["points_milli"][SLOT[name]] or SLOT[name] in x["reasons"] for name in UNWEIGHED)


@pytest.mark.parametrize(
    ("group", "points"),
    [("fund_scale", 45), ("flow_stability", 55), ("transaction_activity", 35), ("income_growth", 50),
     ("counterparty_structure", 45), ("repayment_capacity", 70)],
)  # fmt: skip
def test_a_group_weighs_what_the_catalogue_says_and_its_indicators_in_proportion(group, points):
    weights = prior_snapshot().weights_milli
    of_group = {name: expert_points()[name] for name in CORE if indicators()[name].group == group}
    assert sum(weights.get(name, 0) for name in of_group) == points * 1_000
    for name, its in of_group.items():
        assert weights.get(name, 0) == pytest.approx(points * 1_000 * its / sum(of_group.values()), abs=1)


def status_with(**null):
    nulls = [VALUE] * len(CORE)
    for name in CORE:
        if name in null or "others" in null:
            nulls[SLOT[name]] = null.get(name, null.get("others"))
    x = assess(BEST, nulls)
    return scorecard.STATUS_NAMES[x["status"]], scorecard.STATUS_REASONS[x["status_reason"]], int(x["coverage_ppm"])


def test_indicators_not_computable_for_age_alone_do_not_lower_the_coverage():
    known = dict.fromkeys(CORE[:12], VALUE)
    assert status_with(**known, others=NOT_APPLICABLE)[2] == 1_000_000
    assert status_with(**known, others=SHORT_HISTORY)[2] == 1_000_000
    assert status_with(**known, others=BASE_TOO_SMALL)[2] < 600_000


def test_of_an_enterprise_of_which_only_silence_is_known_no_score_is_published():
    silent = dict.fromkeys(scorecard.SILENCE, VALUE)
    assert status_with(**silent, others=SHORT_HISTORY)[:2] == ("withheld", "only_silence")
    assert status_with(**silent, op_credit_30d_count=VALUE, others=SHORT_HISTORY)[0] == "published"
    assert status_with(**silent, others=NEVER_SEEN)[:2] == ("withheld", "coverage")


def test_half_of_the_repayment_capacity_must_be_known():
    unknown = {name: BASE_TOO_SMALL for name in CORE if indicators()[name].group == "repayment_capacity"}
    assert status_with(**unknown)[:2] == ("provisional", "repayment_coverage")
