"""The guard: what holds a candidate, each by its name, and how often learn may switch by itself."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import LearnSettings
from detectors import scorecard
from detectors.learning.examples import EXAMPLE, Examples
from detectors.learning.guard import is_due, judge, regraded_count
from detectors.learning.rescoring import scores_milli
from detectors.prior import core_snapshot, prior_snapshot
from detectors.snapshot import MICRO, SnapshotError
from domain.outputs import HeldReason
from features import layout
from features.indicators import CORE, CORE_COUNT, INDICATOR_COUNT
from features.indicators.nulls import NEVER_SEEN, NOT_APPLICABLE, NOT_REPORTED, SHORT_HISTORY, VALUE
from features.indicators.repayment import DPD_MAX, FREEZE
from streams.score import outbook
from tests.detectors.test_scorecard import around

PRIOR = prior_snapshot()
TRAINED = msgspec.structs.replace(
    PRIOR, prior=False, trained_labels_count=500, trained_bad_count=40, intercept_micro=PRIOR.intercept_micro + 1
)
SETTINGS = LearnSettings()
MOVED = ("runway_30d_days", "dpd_max_days")


def observed(n: int, seed: int = 0) -> Examples:
    """Enterprises of all kinds: values between the outer anchors."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, EXAMPLE)
    rows["value"], rows["null"], rows["enterprise"] = np.nan, NOT_REPORTED, np.arange(n)
    for i, name in enumerate(CORE):
        anchors = np.array(core_snapshot().anchors_micro[name]) / MICRO
        rows["value"][:, i] = rng.uniform(anchors[0], anchors[-1], n)
        rows["null"][:, i] = VALUE
    rows["value"][:, DPD_MAX] = 0
    return rows


def moved(milli: int) -> object:
    """The trained model with so many millipoints moved from one indicator to another."""
    weights = dict(TRAINED.weights_milli)
    weights[MOVED[0]] -= milli
    weights[MOVED[1]] += milli
    return msgspec.structs.replace(TRAINED, weights_milli=weights)


@given(
    st.tuples(*map(around, CORE)),
    st.tuples(*(st.sampled_from((VALUE, VALUE, NOT_APPLICABLE, NEVER_SEEN, SHORT_HISTORY)) for _ in CORE)),
    st.booleans(),
)
def test_scores_are_those_of_the_kernel(value: tuple[float, ...], null: tuple[int, ...], frozen: bool) -> None:
    row = np.zeros(1, EXAMPLE)
    row["value"][0, :CORE_COUNT], row["null"][0, :CORE_COUNT] = value, null
    row["value"][0, FREEZE], row["null"][0, CORE_COUNT:] = frozen, VALUE
    x, e = np.zeros(1, outbook.ROW), layout.allocate(1)
    x["value"][0, :INDICATOR_COUNT], x["null"][0, :INDICATOR_COUNT] = row["value"][0], row["null"][0]
    e["frozen"] = frozen
    scorecard.assess(scorecard.scorecard(PRIOR), e[0], x[0], False)
    assert scores_milli(PRIOR, row).tolist() == [int(x["score_milli"][0])]


def test_nothing_holds_a_candidate_that_differs_little() -> None:
    found = judge(moved(100), PRIOR, SETTINGS, newest=observed(500))  # type: ignore[arg-type]
    assert found.reasons == ()
    assert found.moves_scores
    assert found.observed_count == 500
    assert found.regraded_count is not None
    assert 0 <= found.regraded_count < 10


def test_an_enterprise_with_a_grant_on_the_months_last_day_counts_once() -> None:
    rows = observed(6)
    rows["enterprise"] //= 2
    assert judge(moved(100), PRIOR, SETTINGS, newest=rows).observed_count == 3  # type: ignore[arg-type]


def test_a_candidate_that_moves_no_score_has_no_grade_changed() -> None:
    found = judge(TRAINED, PRIOR, SETTINGS, newest=observed(10))
    assert (found.reasons, found.moves_scores, found.regraded_count) == ((), False, 0)


def test_each_reason_has_its_name_number_and_limit() -> None:
    few = msgspec.structs.replace(TRAINED, trained_labels_count=99, trained_bad_count=9)
    found = judge(few, PRIOR, SETTINGS, newest=observed(10), drift=["psi of x is 0.4"], loss_change_low_micro=1_001)
    assert found.reasons == (
        HeldReason(code="drift", subject="psi of x is 0.4"),
        HeldReason(code="few_labels", value_micro=99 * MICRO, limit_micro=100 * MICRO),
        HeldReason(code="few_bads", value_micro=9 * MICRO, limit_micro=10 * MICRO),
        HeldReason(code="log_loss_worse", value_micro=1_001, limit_micro=1_000),
    )
    assert judge(TRAINED, PRIOR, SETTINGS, newest=observed(10), loss_change_low_micro=1_000).reasons == ()


def test_a_weight_over_its_limit_holds() -> None:
    limit = msgspec.structs.replace(SETTINGS, weight_move_points_max=0.1)
    assert judge(moved(100), PRIOR, limit, newest=observed(0)).reasons == ()  # type: ignore[arg-type]
    (reason,) = judge(moved(101), PRIOR, limit, newest=observed(0)).reasons  # type: ignore[arg-type]
    assert (reason.code, reason.subject in MOVED) == ("weight_moved", True)
    assert (reason.value_micro, reason.limit_micro) == (101_000, 100_000)


def test_too_many_grades_changed_hold() -> None:
    rows = observed(400)
    turned = msgspec.structs.replace(
        TRAINED, levels_micro={name: tuple(reversed(levels)) for name, levels in PRIOR.levels_micro.items()}
    )
    changed = regraded_count(turned, PRIOR, rows)
    grades = [[scorecard.grade_of(int(milli)) for milli in scores_milli(model, rows)] for model in (turned, PRIOR)]
    assert changed == sum(a != b for a, b in zip(*grades, strict=True))
    some = msgspec.structs.replace(SETTINGS, grades_changed_share_max=changed / 400 if changed else 1.0)
    assert judge(turned, PRIOR, some, newest=rows).reasons == ()
    far = moved(PRIOR.weights_milli[MOVED[0]])
    tight = msgspec.structs.replace(SETTINGS, grades_changed_share_max=0.001)
    (reason,) = judge(far, PRIOR, tight, newest=rows).reasons  # type: ignore[arg-type]
    assert reason.code == "grades_changed"
    assert reason.value_micro == regraded_count(far, PRIOR, rows) * MICRO // 400  # type: ignore[arg-type]


def test_a_model_that_this_engine_cannot_score_with_is_held_by_name() -> None:
    weights = {("no_such" if name == MOVED[0] else name): milli for name, milli in PRIOR.weights_milli.items()}
    odd = msgspec.structs.replace(TRAINED, weights_milli=weights)
    with pytest.raises(SnapshotError):
        regraded_count(odd, PRIOR, observed(1))
    found = judge(odd, PRIOR, SETTINGS, newest=observed(5))
    assert found.regraded_count is None
    (reason,) = [one for one in found.reasons if one.code == "not_scorable"]
    assert "no_such" in reason.subject


def test_arrears_and_a_freeze_cap_the_score_as_the_kernel_caps_it() -> None:
    rows = observed(4)
    rows["value"][:, DPD_MAX] = (0, 31, 91, 0)
    rows["value"][3, FREEZE], rows["null"][3, FREEZE] = 1, VALUE
    caps = scores_milli(PRIOR, rows)
    assert caps[1] <= 499_000
    assert caps[2] <= 449_000
    assert caps[3] <= 499_000


@pytest.mark.parametrize(
    ("day", "last", "moves_scores", "due"),
    [(100, None, True, True), (99, 11, True, False), (100, 11, True, True), (12, 11, False, True)],
)
def test_learn_switches_no_more_often_than_it_may(day: int, last: int | None, moves_scores: bool, due: bool) -> None:
    assert is_due(day, last, SETTINGS, moves_scores=moves_scores) is due
