"""The fit of points: it finds those that made the labels, stays monotone, and without labels stays at the prior."""

import msgspec
import numpy as np
import pytest

from config.case_table import case_table_of, packaged_texts
from replay.case_points.claim import LEVELS, NO_FINDING, SIGNALS
from replay.case_points.files import rewritten
from replay.case_points.fit import calibration, fit, fitted, scaled, shape_of
from replay.case_points.snapshots import Snapshots

S = len(SIGNALS)
SCORE_AT = np.array([500.0, 600.0])
UNSEEN = np.tile((0.0, 0.2, 0.4, 0.6), (S, 1))


def made(n: int = 30_000):
    """Return rows of two signals in one finding and a lone one, and labels by points known below."""
    rng = np.random.default_rng(3)
    level = np.zeros((n, S), np.int8)
    level[:, 0], level[:, 1], level[:, 34] = rng.integers(0, 4, n), rng.integers(0, 2, n), rng.integers(0, 3, n)
    score = rng.integers(480, 620, n) * 1_000
    one, two = np.array([0, 0.2, 0.6, 2.0])[level[:, 0]], np.array([0, 1.0])[level[:, 1]]
    lone = np.array([0, 0.0, 1.5])[level[:, 34]]
    logit = -3 + np.maximum(one, two) + lone + 1.2 * np.clip((600 - score / 1_000) / 100, 0, 1)
    bad = rng.random(n) < 1 / (1 + np.exp(-logit))
    finding = np.full(S, NO_FINDING, np.int8)
    finding[[0, 1]] = 0
    in_use = np.stack([(level >= one).any(axis=0) for one in range(LEVELS)], axis=1)
    in_use[:, 0] = False
    return shape_of(finding, in_use, SCORE_AT), Snapshots(level, score.astype(np.int32)), bad


def test_the_points_that_made_the_labels_are_found():
    shape, rows, bad = made()
    theta = fit(shape, rows, bad, np.zeros(shape.size), np.full(shape.size, 1e-3))
    found = fitted(shape, theta, UNSEEN)
    assert found.intercept == pytest.approx(-3, abs=0.15)
    assert found.points[0].tolist() == pytest.approx([0, 0.2, 0.6, 2.0], abs=0.25)
    assert found.points[1, 1] == pytest.approx(1.0, abs=0.15)
    assert found.points[34].tolist()[:3] == pytest.approx([0, 0, 1.5], abs=0.15)
    assert found.score.tolist() == pytest.approx([1.2, 0], abs=0.15)
    offset, slope = calibration(shape, theta, rows, bad)
    assert (offset, slope) == pytest.approx((0, 1), abs=0.01)
    assert np.array_equal(theta, fit(shape, rows, bad, np.zeros(shape.size), np.full(shape.size, 1e-3)))


def test_points_never_fall_with_the_level_nor_rise_with_the_score():
    shape, rows, bad = made(3_000)
    found = fitted(shape, fit(shape, rows, ~bad, np.zeros(shape.size), np.full(shape.size, 1.0)), UNSEEN)
    assert (np.diff(found.points, axis=1) >= 0).all()
    assert (np.diff(found.score) <= 0).all()


def test_what_no_label_speaks_of_stays_at_the_prior():
    shape, rows, bad = made(500)
    prior = np.full(shape.size, 0.3)
    theta = fit(shape, rows.only(slice(0, 0)), bad[:0], prior, np.full(shape.size, 4.0))
    assert theta.tolist() == pytest.approx(prior.tolist())
    assert fitted(shape, theta, UNSEEN).points[20].tolist() == pytest.approx([0, 0.2, 0.6, 1.2])


def test_scaled_points_give_the_scaled_logit():
    shape, rows, bad = made(3_000)
    found = fitted(shape, fit(shape, rows, bad, np.zeros(shape.size), np.full(shape.size, 1.0)), UNSEEN)
    other = scaled(found, 0.5, 2.0)
    assert other.intercept == pytest.approx(0.5 + 2 * found.intercept)
    assert np.allclose(other.points, 2 * found.points)


def test_a_fitted_table_is_written_into_its_files_and_comments_stay():
    texts = packaged_texts()
    table = case_table_of(texts).table
    points = table.points_milli | {"EWS35_arrears": (11, 22, 33)}
    other = msgspec.structs.replace(
        table,
        points_milli=points,
        intercept_milli=-4_321,
        move=((0, 0),),
        curve=((12, 450_000, 300_000),),
        evidence="x, y",
    )
    found = rewritten(texts, other)
    assert case_table_of(found).table == other
    assert found.rest[1].count("#") == texts.rest[1].count("#")
    broken = texts._replace(rest=(texts.rest[0], texts.rest[1].replace("intercept_milli = ", "intercept_milli= ")))
    with pytest.raises(ValueError, match=r"cases\.toml: intercept_milli stands on 0 lines, not on one"):
        rewritten(broken, other)
