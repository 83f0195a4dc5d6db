"""The smallest single change that restores a grade: it does restore it, and no smaller one would."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import anchors
from detectors import scorecard
from detectors.prior import prior_snapshot
from detectors.snapshot import MICRO
from features import layout
from features.indicators import CORE, SLOT
from features.indicators.nulls import VALUE
from streams.score import outbook
from streams.score.explain import _counterfactual
from tests.detectors.snapshots import seeds, snapshots, vector_of

CARD = scorecard.scorecard(prior_snapshot())
WEIGHTS = CARD.weight_milli.tolist()


def assess(values, published=-1, card=CARD):
    x, row = np.zeros(1, outbook.ROW), layout.allocate(1)
    x["value"][0, : len(CORE)], x["null"][0, : len(CORE)], row["published_grade"] = values, VALUE, published
    scorecard.assess(card, row[0], x[0], np.bool_(False))
    return x[0]


@st.composite
def enterprises(draw):
    """Values within the anchors, not so overdue that the score is capped."""
    values = [draw(st.floats(anchors()[name][0], anchors()[name][4])) for name in CORE]
    values[SLOT["dpd_max_days"]] = draw(st.floats(0, 30))
    return values


@given(enterprises(), st.integers(-1, 5))
def test_the_change_brings_exactly_the_grade_that_was_published_or_the_next_better(values, published):
    x = assess(values, published)
    raw, shown = int(scorecard.grade_of(x["score_milli"])), int(x["published_grade"])
    change = _counterfactual(CARD, prior_snapshot(), x)
    wanted = shown if shown < raw else raw - 1
    if change is None:
        lacking = 650_000 - 50_000 * wanted - int(x["score_milli"])
        assert wanted < 0 or all(p + lacking > w for p, w in zip(x["points_milli"].tolist(), WEIGHTS, strict=True))
        return
    assert change.grade == scorecard.GRADES[wanted]
    i = SLOT[change.indicator]
    changed = list(values)
    changed[i] = change.value_needed
    after = int(assess(changed)["score_milli"])
    assert abs(after - (650_000 - 50_000 * wanted)) <= 1  # a millipoint, where the value is between two floats
    share = change.points_milli / WEIGHTS[i]
    for other, (points, weight) in enumerate(zip(x["points_milli"].tolist(), WEIGHTS, strict=True)):
        assert points + change.points_milli > weight or change.points_milli / weight >= share, CORE[other]


def test_a_cap_is_lifted_by_no_other_indicator():
    values = [anchors()[name][2] for name in CORE]
    values[SLOT["dpd_max_days"]] = 40
    x = assess(values)
    assert x["cap_milli"] < 0
    assert _counterfactual(CARD, prior_snapshot(), x) is None


@settings(deadline=None)
@given(snapshots, seeds, st.integers(-1, 5))
def test_with_learned_levels_the_change_restores_the_grade_and_none_smaller_by_an_anchor_does(snapshot, seed, shown):
    card, values = scorecard.scorecard(snapshot), vector_of(seed, snapshot)
    values[SLOT["dpd_max_days"]] = min(30.0, values[SLOT["dpd_max_days"]])
    x = assess(values, shown, card)
    change = _counterfactual(card, snapshot, x)
    if change is None:
        return
    i, wanted = SLOT[change.indicator], scorecard.GRADES.index(change.grade)

    def grade_with(value):
        changed = [value if j == i else each for j, each in enumerate(values)]
        return int(scorecard.grade_of(assess(changed, shown, card)["score_milli"]))

    assert grade_with(values[i]) > wanted
    assert grade_with(change.value_needed) <= wanted
    low, high = sorted((values[i], change.value_needed))
    needed, weight = int(x["points_milli"][i]) + change.points_milli, int(card.weight_milli[i])
    for anchor in snapshot.anchors_micro[change.indicator]:
        if low + 1e-6 < anchor / MICRO < high - 1e-6:  # the value is found to a millionth
            assert weight * scorecard.utility(card.rows[i], anchor / MICRO) < needed
