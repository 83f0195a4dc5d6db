"""The lines of a change add up to the millipoint, for any vectors and models."""

import random

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.prior import prior_snapshot
from detectors.score_change import CAP, MODEL, Vector, change, vector_of_day
from detectors.scorecard import CEILING_MILLI, scorecard
from detectors.snapshot import MICRO
from features import layout
from features.fields import UTILITY_PPM_MOST
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import NULL_NAMES, VALUE
from features.indicators.repayment import DPD_MAX
from tests.detectors.snapshots import nulls_of, seeds, snapshots, vector_of
from tests.detectors.test_card_of_levels import assess


def moment(seed, snapshot):
    """Return a vector: what the scorecard reads of an enterprise."""
    rnd = random.Random(seed)
    value, null = np.array(vector_of(seed, snapshot)), np.array(nulls_of(seed), np.uint8)
    null[DPD_MAX] = VALUE
    last = np.array([rnd.randint(0, UTILITY_PPM_MOST) for _ in CORE], np.int32)
    dpd = int(value[DPD_MAX])
    most = 449_000 if dpd > 90 else 499_000 if dpd > 30 else CEILING_MILLI
    return Vector(value=value, null=null, last_ppm=last, most_milli=most)


pairs = st.tuples(snapshots, snapshots, seeds, seeds).map(
    lambda drawn: (*drawn[:2], moment(drawn[2], drawn[0]), moment(drawn[3], drawn[1]))
)


def scored(vector, snapshot):
    row = layout.allocate(1)
    row["utility_ppm"][0] = vector.last_ppm
    return assess(scorecard(snapshot), vector.value, vector.null, row=row)


@settings(deadline=None)
@given(pairs)
def test_before_and_lines_are_after_and_both_are_the_scores_of_the_engine(pair):
    old, new, before, after = pair
    found = change(before, old, after, new)
    assert found.before_milli + sum(line.points_milli for line in found.deltas) == found.after_milli
    assert found.before_milli == int(scored(before, old)["score_milli"])
    assert found.after_milli == int(scored(after, new)["score_milli"])
    by_line = {line.what: line.points_milli for line in found.deltas}
    assert len(by_line) == len(found.deltas)
    assert 0 not in by_line.values()
    moved = scored(after, new)["points_milli"] - scored(before, new)["points_milli"]
    assert [by_line.get(name, 0) for name in CORE] == moved.tolist()
    under_new = int(scored(before, new)["score_milli"])
    assert by_line.get(MODEL, 0) == under_new - found.before_milli
    assert by_line.get(CAP, 0) == int(scored(after, new)["cap_milli"]) - int(scored(before, new)["cap_milli"])


@settings(deadline=None)
@given(pairs)
def test_under_one_model_there_is_no_line_of_the_model(pair):
    _, model, before, after = pair
    recalibrated = msgspec.structs.replace(model, intercept_micro=model.intercept_micro + 1)
    assert MODEL not in {line.what for line in change(before, recalibrated, after, model).deltas}


@settings(deadline=None)
@given(pairs)
def test_a_switch_alone_is_the_line_of_the_model(pair):
    old, new, before, _ = pair
    assert {line.what for line in change(before, old, before, new).deltas} <= {MODEL}


def test_a_days_record_gives_its_vector():
    null_reasons = {CORE[0]: "feed_stalled", CORE[1]: "a reason of another engine", CORE[3]: ""}
    values = dict.fromkeys(CORE[4:], 2 * MICRO)
    vector = vector_of_day(values, null_reasons, 499_000)
    names = [NULL_NAMES[code] for code in vector.null]
    assert names[:5] == ["feed_stalled", "not_reported", "not_reported", "not_reported", ""]
    assert vector.value[4:].tolist() == [2.0] * (CORE_COUNT - 4)
    assert vector.most_milli == 499_000
    assert change(vector, prior_snapshot(), vector, prior_snapshot()).deltas == ()


def test_a_days_arrears_freeze_or_earlier_cap_hold_its_score_down():
    def most(capped_at=CEILING_MILLI, **values):
        return vector_of_day({name: value * MICRO for name, value in values.items()}, {}, capped_at).most_milli

    assert most() == most(dpd_max_days=30, judicial_freeze_active_flag=0) == CEILING_MILLI
    assert most(dpd_max_days=31) == most(judicial_freeze_active_flag=1) == most(capped_at=499_000) == 499_000
    assert most(dpd_max_days=91) == most(dpd_max_days=31, capped_at=449_000) == 449_000
