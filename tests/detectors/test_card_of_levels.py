"""The scorecard's promises under any snapshot of format 2, and format 1 as it always was."""

import itertools
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import indicators
from detectors import scorecard
from detectors.prior import prior_id, prior_snapshot
from detectors.snapshot import (
    ANCHORS_MAX,
    MICRO,
    NOT_APPLICABLE,
    NULL_LEVELS_MICRO,
    V1,
    V2,
    Calibration,
    Snapshot,
    SnapshotError,
    content_id,
    decode,
)
from features import layout
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import BASE_TOO_SMALL, NULL_NAMES, VALUE
from features.indicators.repayment import DPD_MAX
from streams.score import outbook
from tests.detectors.snapshots import made, nulls_of, of_catalogue, seeds, snapshots, value_of, vector_of, wide

KNOWN = (VALUE,) * CORE_COUNT
FALLING = "dpd_max_days"
RISING = "runway_30d_days"


def assess(card, value, null=KNOWN, row=None, closing=False):
    x, e = np.zeros(1, outbook.ROW), layout.allocate(1) if row is None else row
    x["value"][0, :CORE_COUNT], x["null"][0, :CORE_COUNT], x["history_days"][0] = value, null, 400
    e["txn_count"] = 1_000
    scorecard.assess(card, e[0], x[0], closing)
    return x[0]


with_vector = st.tuples(snapshots, seeds).map(lambda pair: (pair[0], vector_of(pair[1], pair[0])))
nulls = seeds.map(nulls_of)


@settings(deadline=None)
@given(with_vector, nulls)
def test_points_and_cap_add_up_to_the_score_within_its_bounds(given_, null):
    snapshot, value = given_
    x = assess(scorecard.scorecard(snapshot), value, null)
    assert 400_000 + int(x["points_milli"].sum()) + int(x["cap_milli"]) == int(x["score_milli"])
    assert 400_000 <= int(x["score_milli"]) <= 700_000
    assert int(x["cap_milli"]) <= 0
    assert all(0 <= points <= weight for points, weight in zip(x["points_milli"], weights(snapshot), strict=True))


def weights(snapshot):
    return [snapshot.weights_milli[name] for name in CORE]


@settings(deadline=None)
@given(with_vector, st.data())
def test_a_better_indicator_never_lowers_the_score(given_, data):
    snapshot, value = given_
    i = data.draw(st.integers(0, CORE_COUNT - 1))
    other = value_of(random.Random(data.draw(seeds)), CORE[i], snapshot)
    worse, better = (max, min) if indicators()[CORE[i]].higher_is_riskier else (min, max)
    at = [[*value[:i], pick(value[i], other), *value[i + 1 :]] for pick in (worse, better)]
    card = scorecard.scorecard(snapshot)
    low, high = (int(assess(card, each)["score_milli"]) for each in at)
    assert low <= high


@settings(deadline=None)
@given(with_vector, st.data())
def test_hiding_an_input_never_pays(given_, data):
    snapshot, value = given_
    i, code = data.draw(st.integers(0, CORE_COUNT - 1)), data.draw(st.integers(2, len(NULL_NAMES) - 1))
    null = [*KNOWN]
    null[i] = code
    card, row = scorecard.scorecard(snapshot), layout.allocate(1)
    shown = assess(card, value, row=row)
    hidden = assess(card, value, null, row=row)
    assert int(hidden["points_milli"][i]) <= int(shown["points_milli"][i])
    assert hidden["u"][i] <= snapshot.null_levels_micro[CORE[i]][NULL_NAMES[code]] / MICRO
    never_seen = assess(card, value, null)  # nothing was computable before
    assert never_seen["u"][i] == snapshot.null_levels_micro[CORE[i]][NULL_NAMES[code]] / MICRO


@settings(deadline=None)
@given(with_vector)
def test_what_is_not_applicable_counts_as_its_level(given_):
    snapshot, value = given_
    x = assess(scorecard.scorecard(snapshot), value, [1] * CORE_COUNT)
    assert x["u"].tolist() == [snapshot.null_levels_micro[name][NOT_APPLICABLE] / MICRO for name in CORE]


@settings(deadline=None)
@given(snapshots)
def test_a_utility_is_the_level_at_each_anchor_and_constant_beyond_the_outer_ones(snapshot):
    card = scorecard.scorecard(snapshot)
    for row, name in zip(card.rows, CORE, strict=True):
        anchors, levels = snapshot.anchors_micro[name], snapshot.levels_micro[name]
        for anchor, level in zip(anchors, levels, strict=True):
            assert scorecard.utility(row, anchor / MICRO) == pytest.approx(level / MICRO, abs=1e-12)
        below, above = anchors[0] / MICRO - 5.0, anchors[-1] / MICRO * 3 + 5.0
        assert (scorecard.utility(row, below), scorecard.utility(row, above)) == (levels[0] / MICRO, levels[-1] / MICRO)


@settings(deadline=None)
@given(with_vector, nulls)
def test_reasons_are_those_furthest_below_the_median_worst_first(given_, null):
    snapshot, value = given_
    card = scorecard.scorecard(snapshot)
    x = assess(card, value, null)
    median = assess(card, [snapshot.medians_micro[name] / MICRO for name in CORE])["points_milli"]
    assert np.abs(median - card.rows["median_milli"]).max() <= 1  # there rounded half to even, here down
    below = x["points_milli"] - card.rows["median_milli"]
    ranked = sorted((i for i in range(CORE_COUNT) if below[i] < 0), key=lambda i: (below[i], i))
    assert [i for i in x["reasons"].tolist() if i >= 0] == ranked[: scorecard.REASONS_MAX]


@settings(deadline=None)
@given(with_vector, st.data())
def test_the_value_needed_is_the_nearest_that_earns_so_many_points(given_, data):
    snapshot, value = given_
    card = scorecard.scorecard(snapshot)
    i = data.draw(st.sampled_from([i for i in range(CORE_COUNT) if weights(snapshot)[i]]))
    now, weight = int(assess(card, value)["points_milli"][i]), weights(snapshot)[i]
    if now == weight:
        return
    wanted = data.draw(st.integers(now + 1, weight))
    anchors, falls = snapshot.anchors_micro[CORE[i]], indicators()[CORE[i]].higher_is_riskier
    needed = scorecard.value_at(card, i, value[i], anchors[0 if falls else -1] / MICRO, wanted)

    def earned(x):
        return int(assess(card, [*value[:i], x, *value[i + 1 :]])["points_milli"][i])

    assert earned(needed) >= wanted
    one_less = needed + 1e-6 if falls else needed - 1e-6
    assert scorecard.utility(card.rows[i], one_less) * weight < wanted
    for anchor in anchors:  # nothing smaller by an anchor does
        if one_less < anchor / MICRO <= value[i] if falls else value[i] <= anchor / MICRO < one_less:
            assert scorecard.utility(card.rows[i], anchor / MICRO) * weight < wanted


def test_a_flat_piece_is_left_at_its_near_end():
    anchors_micro = {name: wide().anchors_micro[name] for name in CORE}
    anchors_micro[RISING] = (0, 10 * MICRO, 20 * MICRO, 30 * MICRO)
    anchors_micro[FALLING] = (0, 10 * MICRO, 20 * MICRO, 30 * MICRO)
    levels_micro = {name: wide().levels_micro[name] for name in CORE}
    levels_micro |= {name: of_catalogue(name, [0, MICRO // 2, MICRO // 2, MICRO]) for name in (RISING, FALLING)}
    card = scorecard.scorecard(msgspec.structs.replace(wide(), anchors_micro=anchors_micro, levels_micro=levels_micro))
    rising, falling = CORE.index(RISING), CORE.index(FALLING)
    half = [int(card.weight_milli[i]) // 2 for i in (rising, falling)]
    assert scorecard.value_at(card, rising, 1.0, 30.0, half[0]) == pytest.approx(10.0, abs=1e-3)
    assert scorecard.value_at(card, falling, 29.0, 0.0, half[1]) == pytest.approx(20.0, abs=1e-3)
    assert scorecard.value_at(card, rising, 1.0, 30.0, half[0] + 2) == pytest.approx(20.0, abs=1e-2)
    assert scorecard.value_at(card, falling, 29.0, 0.0, half[1] + 2) == pytest.approx(10.0, abs=1e-2)


def old_utility(anchors, falling, logarithmic, x):
    """The utility of five anchors with quarters, as format 1 has always computed it."""
    if logarithmic:
        x = scorecard.log10_1p(x)
        anchors = [scorecard.log10_1p(a) for a in anchors]
    k = sum(x >= anchor for anchor in anchors[1:4])
    u = (k + min(1.0, max(0.0, (x - anchors[k]) * (1.0 / (anchors[k + 1] - anchors[k]))))) * 0.25
    return 1.0 - u if falling else u


@settings(deadline=None, max_examples=300)
@given(seeds.map(lambda seed: vector_of(seed, prior_snapshot())), nulls)
def test_format_1_gives_the_bits_that_it_always_gave(value, null):
    snapshot = prior_snapshot()
    x = assess(scorecard.scorecard(snapshot), value, null)
    for i, name in enumerate(CORE):
        if name not in snapshot.weights_milli:
            assert x["points_milli"][i] == 0
            continue
        says = indicators()[name]
        anchors = [anchor / MICRO for anchor in snapshot.anchors_micro[name]]
        u = old_utility(anchors, says.higher_is_riskier, says.unit == "cny", value[i])
        if null[i] != VALUE:
            u = 0.5 if null[i] == 1 else 350_000 / 1_000_000.0
        assert float(x["u"][i]).hex() == float(u).hex(), name
        assert int(x["points_milli"][i]) == int(np.rint(snapshot.weights_milli[name] * u))
    medians = [snapshot.weights_milli.get(name, 0) // 2 for name in CORE]
    assert scorecard.scorecard(snapshot).rows["median_milli"].tolist() == medians


@settings(deadline=None)
@given(snapshots)
def test_a_snapshot_is_read_as_it_was_written(snapshot):
    body = snapshot.encode()
    assert decode(body, content_id(body)) == snapshot
    assert scorecard.scorecard(snapshot).rows["weight_milli"].tolist() == weights(snapshot)


def test_format_1_is_read_with_the_levels_that_it_implies():
    body = prior_snapshot().encode()
    read = decode(body, prior_id())
    assert read.format == V1
    assert b"levels_micro" not in body
    same = msgspec.structs.replace(read, format=V2, unknown_at_micro=read.medians_micro)
    of_2 = decode(same.encode(), content_id(same.encode()))
    assert of_2.scores_as(read)
    assert scorecard.scorecard(of_2).rows.tobytes() == scorecard.scorecard(read).rows.tobytes()


def changed(name, **fields):
    """Return `wide` with other parts of one indicator."""
    old = wide()
    return msgspec.structs.replace(
        old, **{field: {**getattr(old, field), name: value} for field, value in fields.items()}
    )


def without(field, name):
    kept = {each: value for each, value in getattr(wide(), field).items() if each != name}
    return msgspec.structs.replace(wide(), **{field: kept})


def bounding_what_has_no_nulls():
    """Return a snapshot that does not score RISING, but has a bound of its nulls."""
    made = without("null_levels_micro", RISING)
    weights = dict(made.weights_milli)
    weights[FALLING] += weights.pop(RISING)
    return msgspec.structs.replace(made, weights_milli=weights)


_NULLS = dict.fromkeys(NULL_LEVELS_MICRO, 0)
_QUARTERS = (0, 250_000, 500_000, 750_000, MICRO)
_FIVE = (0, 1, 2, 3, 4)
REFUSED: dict[str, tuple[Snapshot, str]] = {
    "too many anchors": (changed(RISING, anchors_micro=tuple(range(ANCHORS_MAX + 1))), f"{RISING} has 17 anchors"),
    "one anchor": (changed(RISING, anchors_micro=(5,)), f"{RISING} has 1 anchors, not 2 to 16"),
    "no anchors": (without("anchors_micro", RISING), f"{RISING} has 0 anchors"),
    "anchors that fall": (changed(RISING, anchors_micro=(0, 2, 1)), f"anchors of {RISING} do not ascend"),
    "an anchor twice": (changed(RISING, anchors_micro=(0, 1, 1)), f"anchors of {RISING} do not ascend"),
    "a level too few": (changed(RISING, anchors_micro=_FIVE, levels_micro=(0, MICRO)), f"levels of {RISING} are not"),
    "levels that rise and fall": (
        changed(RISING, anchors_micro=_FIVE, levels_micro=(0, 500_000, 400_000, 750_000, MICRO)),
        f"levels of {RISING} rise and fall",
    ),
    "levels that fall where they must rise": (
        changed(RISING, anchors_micro=_FIVE, levels_micro=_QUARTERS[::-1]),
        f"levels of {RISING} fall, against the direction of the catalogue",
    ),
    "levels that rise where they must fall": (
        changed(FALLING, anchors_micro=_FIVE, levels_micro=_QUARTERS),
        f"levels of {FALLING} rise, against the direction of the catalogue",
    ),
    "levels that do not reach 1": (
        changed(RISING, anchors_micro=_FIVE, levels_micro=(0, 1, 2, 3, 4)),
        f"levels of {RISING} are not one an anchor, from 0 to 1,000,000",
    ),
    "a level over 1": (
        changed(RISING, anchors_micro=_FIVE, levels_micro=(0, 1, 2, MICRO, MICRO + 1)),
        "Expected `int` <= 1000000",
    ),
    "no bound of nulls": (without("unknown_at_micro", RISING), f"{RISING} lacks the value that bounds"),
    "a bound of no nulls": (bounding_what_has_no_nulls(), f"{RISING} has a value that bounds its nulls, and no nulls"),
    "an unknown null": (
        changed(RISING, null_levels_micro=_NULLS | {"lost": 0}),
        f"{RISING} has a level for lost, which is no kind of null",
    ),
    "a null without a level": (
        changed(RISING, null_levels_micro={k: v for k, v in _NULLS.items() if k != "history"}),
        f"{RISING} has no level for history",
    ),
    "no median": (without("medians_micro", RISING), f"the median of {RISING} is missing"),
    "weights that do not sum": (changed(RISING, weights_milli=1), "weights sum to"),
    "a negative weight": (changed(RISING, weights_milli=-1), "Expected `int` >= 0"),
    "an anchor beyond all numbers": (changed(RISING, anchors_micro=(0, 10**400)), "anchors_micro"),
    "no slope": (msgspec.structs.replace(wide(), slope_micro=0), "slope_micro"),
    "a slope beyond all logits": (msgspec.structs.replace(wide(), slope_micro=10**15), "slope_micro"),
    "a calibration beyond all logits": (
        msgspec.structs.replace(wide(), default_12m=Calibration(intercept_micro=10**18, slope_micro=1)),
        "default_12m.intercept_micro",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_snapshot_that_cannot_be_scored_with_is_refused_by_name(what):
    snapshot, why = REFUSED[what]
    body = msgspec.json.encode(
        {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}, order="sorted"
    ) if what != "an anchor beyond all numbers" else wide().encode().replace(
        b'"runway_30d_days":[', b'"runway_30d_days":[-1%s,' % (b"0" * 400), 1
    )  # fmt: skip
    with pytest.raises(SnapshotError, match=f"model {content_id(body)}: .*{why}"):
        decode(body, content_id(body))


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        (b'"xinliu.model/2"', b'"xinliu.model/3"', "Invalid enum value 'xinliu.model/3'"),
        (b'"xinliu.model/2"', b'"xinliu.model/1"', "format xinliu.model/1 has no default_12m, levels_micro"),
        (b'"population"', b'"people"', "people"),
        (b'"prior":true', b'"prior":NaN', "malformed"),
        (b'"slope_micro":', b'"slope_micro":1e999,"x":', "slope_micro|out of range"),
    ],
)
def test_a_body_of_another_format_or_field_is_refused_by_name(was, becomes, why):
    body = wide().encode().replace(was, becomes)
    with pytest.raises(SnapshotError, match=why):
        decode(body, content_id(body))


@pytest.mark.parametrize("place", [0, 100, 5_000, -2])
def test_a_flipped_bit_is_refused_wherever_it_is(place):
    body = bytearray(wide().encode())
    body[place] ^= 4
    with pytest.raises(SnapshotError, match="hash to"):
        decode(bytes(body), content_id(wide().encode()))


def test_a_null_that_pays_is_refused_by_name():
    median = wide().medians_micro[RISING]
    pays = changed(RISING, null_levels_micro=_NULLS | {"history": MICRO}, unknown_at_micro=median)
    with pytest.raises(SnapshotError, match=f"the level of {RISING} for history pays"):
        scorecard.scorecard(pays)
    generous = changed(RISING, unknown_at_micro=median + MICRO)
    with pytest.raises(SnapshotError, match=f"{RISING} counts as .* that is over its median"):
        scorecard.scorecard(generous)


def test_anchors_that_are_one_as_floats_are_refused_by_name():
    of_cny = "op_inflow_12m_cny"
    snapshot = changed(of_cny, anchors_micro=(10**17, 10**17 + 1), levels_micro=(0, MICRO))
    read = decode(snapshot.encode(), content_id(snapshot.encode()))
    with pytest.raises(SnapshotError, match=f"anchors of {of_cny} are too close together"):
        scorecard.scorecard(read)


# A core set that grows or shrinks (docs/adr/0028-levels-at-anchors.md).

some_of_core = st.sets(st.sampled_from(CORE), min_size=1, max_size=CORE_COUNT - 1).map(
    lambda names: tuple(name for name in CORE if name in names)
)


@settings(deadline=None)
@given(some_of_core, seeds, nulls)
def test_an_indicator_that_a_snapshot_does_not_name_moves_no_score_and_no_status(names, seed, null):
    snapshot, named = made(seed, names), set(names)
    value = vector_of(seed, snapshot)
    value[DPD_MAX], null = 0.0, [*null]
    null[DPD_MAX] = VALUE
    card = scorecard.scorecard(snapshot)
    x = assess(card, value, null)
    for name, points, weight in zip(CORE, x["points_milli"].tolist(), card.weight_milli.tolist(), strict=True):
        assert weight == snapshot.weights_milli.get(name, 0)
        assert points <= weight
    others = [i for i, name in enumerate(CORE) if name not in named and i != DPD_MAX]
    hidden = [BASE_TOO_SMALL if i in others else code for i, code in enumerate(null)]
    moved = [0.0 if i in others else each for i, each in enumerate(value)]
    for other in (assess(card, value, hidden), assess(card, moved, null)):
        for field in ("score_milli", "cap_milli", "coverage_ppm", "status", "status_reason", "published_grade"):
            assert other[field] == x[field], field
        assert other["reasons"].tolist() == x["reasons"].tolist()


def test_what_the_engine_does_not_compute_is_refused_by_name():
    weights = {**wide().weights_milli, RISING: 0, "dscr_24m_ratio": wide().weights_milli[RISING]}
    fields = {}
    for field in ("anchors_micro", "levels_micro", "null_levels_micro", "medians_micro", "unknown_at_micro"):
        of = getattr(wide(), field)
        fields[field] = {**of, "dscr_24m_ratio": of[RISING]}
    snapshot = msgspec.structs.replace(wide(), weights_milli=weights, **fields)
    read = decode(snapshot.encode(), content_id(snapshot.encode()))
    with pytest.raises(SnapshotError, match="it scores dscr_24m_ratio, which this engine does not compute"):
        scorecard.scorecard(read)


@settings(deadline=None)
@given(st.integers(-(10**7), 10**7), st.integers(1, 5 * 10**7))
def test_a_probability_never_rises_with_the_score(intercept, slope):
    ppm = scorecard.probabilities_ppm(Calibration(intercept_micro=intercept, slope_micro=slope))
    assert all(0 <= high <= low <= MICRO for low, high in itertools.pairwise(ppm))
