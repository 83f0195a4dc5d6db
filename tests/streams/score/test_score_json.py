"""The compiled writer gives msgspec's bytes for the same score, for any row."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import indicators
from detectors import scorecard
from detectors.prior import core_snapshot, prior_id
from detectors.rules.artefact import packaged_rules
from detectors.snapshot import MICRO
from domain.outputs import GROUPS, ReasonCode, Score
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import VALUE
from streams.score import outbook, outputs_json
from streams.score.json_text import MICRO_MAX
from streams.score.score_json import BYTES_MAX
from streams.score.version import engine_version
from tests.streams.score.kit import written_rows

SNAPSHOT = core_snapshot()
PROBABILITY_PPM = scorecard.probabilities_ppm(SNAPSHOT)
RULES_ID = packaged_rules().id
CARD = scorecard.scorecard(SNAPSHOT)
TERMS = outputs_json.terms(SNAPSHOT, CARD, prior_id(), RULES_ID, engine_version())
rows = st.fixed_dictionaries(
    {
        "score_milli": st.integers(400_000, 700_000),
        "cap_milli": st.integers(-300_000, 0),
        "coverage_ppm": st.integers(0, 10**6),
        "status": st.integers(0, 2),
        "status_reason": st.integers(0, 4),
        "published_grade": st.integers(0, 5),
        "value": st.lists(st.floats(-1e16, 1e16), min_size=CORE_COUNT, max_size=CORE_COUNT),
        "null": st.lists(st.integers(0, 5), min_size=CORE_COUNT, max_size=CORE_COUNT),
        "points_milli": st.lists(st.integers(0, 300_000), min_size=CORE_COUNT, max_size=CORE_COUNT),
        "reasons": st.permutations(range(CORE_COUNT)).flatmap(
            lambda order: st.integers(0, 5).map(lambda n: [*order[:n], *[-1] * (5 - n)])
        ),
        "as_of_ms": st.integers(0, 2**53),
        "offset": st.integers(0, 2**62),
        "seq": st.integers(0, 2**31 - 1),
        "provisional_calendar": st.integers(0, 1),
    }
)


def half_even(milli):
    return round(milli / 1000)


def reference(cells, enterprise_id):
    """Return the struct of the same numbers, made in Python."""
    groups = dict.fromkeys(GROUPS, 0)
    for name, points in zip(CORE, cells["points_milli"], strict=True):
        groups[indicators()[name].group] += points
    reasons = []
    for i in cells["reasons"]:
        if i < 0:
            break
        scaled = min(max(int(np.rint(cells["value"][i] * MICRO)), -MICRO_MAX), MICRO_MAX)
        reasons.append(
            ReasonCode(
                indicator=CORE[i],
                points_milli=cells["points_milli"][i] - SNAPSHOT.weights_milli[CORE[i]] // 2,
                value_micro=scaled if cells["null"][i] == VALUE else None,
                baseline_micro=SNAPSHOT.anchors_micro[CORE[i]][2],
            )
        )
    shown = half_even(cells["score_milli"])
    return Score(
        enterprise_id=enterprise_id, score=shown, score_milli=cells["score_milli"],
        p_overdue30_90d_ppm=PROBABILITY_PPM[shown - 400], pd_12m_ppm=None,
        status=scorecard.STATUS_NAMES[cells["status"]], status_reason=scorecard.STATUS_REASONS[cells["status_reason"]],
        grade=scorecard.GRADES[int(scorecard.grade_of(cells["score_milli"]))],
        published_grade=scorecard.GRADES[cells["published_grade"]], groups_milli=groups,
        cap_milli=cells["cap_milli"], coverage_ppm=cells["coverage_ppm"], prior=True, reason_codes=reasons,
        model_id=prior_id(), rules_id=RULES_ID, engine_version=engine_version(), as_of=cells["as_of_ms"],
        offset=cells["offset"], seq=cells["seq"],
        provisional_calendar=True if cells["provisional_calendar"] else msgspec.UNSET,
    )  # fmt: skip


@settings(max_examples=300)
@given(st.lists(rows, min_size=1, max_size=3), st.text("0123456789ABCDEFGHJKLMNPQRTUWXY_-", min_size=1, max_size=32))
def test_bytes_equal_those_of_msgspec(many, enterprise_id):
    expected = [msgspec.json.encode(reference(cells, enterprise_id)) for cells in many]
    assert written_rows(outbook.SCORE, many, enterprise_id, TERMS) == expected


def test_the_longest_row_fits_its_place():
    longest = {
        "score_milli": 700_000, "cap_milli": -300_000, "coverage_ppm": 10**6, "status": 1, "status_reason": 4,
        "published_grade": 5, "value": [-1e16] * CORE_COUNT, "null": [0] * CORE_COUNT,
        "points_milli": [0] * CORE_COUNT, "reasons": [0, 1, 2, 3, 4], "as_of_ms": 2**53, "offset": 2**62,
        "seq": 2**31 - 1, "provisional_calendar": 1,
    }  # fmt: skip
    assert len(msgspec.json.encode(reference(longest, "X" * 32))) < BYTES_MAX


@pytest.mark.parametrize("milli", [400_500, 401_500, 401_501, 401_499, 699_500])
def test_a_half_point_is_shown_to_even(milli):
    assert scorecard.displayed(milli) == half_even(milli)
