"""Lives of cases under a claim, against a naive follower and its own arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.case_table import packaged_case_table
from replay.case_points.claim import LEVELS, NO_FINDING, SIGNALS, Claim, claim_of
from replay.case_points.life import steps_under
from replay.case_points.snapshots import snapshots
from replay.case_points.timeline import MOVE_DAYS, NO_SCORE, Timeline

DAYS, FIRST_DAY = 50, 19_000
ONE, TWO, LONE = 0, 1, 34  # the first two are in one finding below
RETRACTED, WAITS = -1, 4
# signal, level after (0: it ends, or one of the two above), days since the revision before
ROW = st.tuples(st.sampled_from([ONE, TWO, LONE]), st.integers(RETRACTED, WAITS), st.integers(0, 4))
REVISIONS = st.lists(ROW, max_size=14)
SCORES = st.lists(st.integers(420, 690), min_size=DAYS, max_size=DAYS)


def a_claim(eases: int, cured: int = 1) -> Claim:
    points, alone = np.zeros((len(SIGNALS), LEVELS), np.int32), np.zeros((len(SIGNALS), LEVELS), np.uint8)
    finding = np.full(len(SIGNALS), NO_FINDING, np.int8)
    points[ONE, 1:], points[TWO, 1:], points[LONE, 1:] = (100, 700, 900), (400, 400, 800), (300, 900, 900)
    finding[[ONE, TWO]] = 0
    alone[LONE, 3] = 3
    return Claim(
        intercept=-1_000,
        points=points,
        finding=finding,
        alone=alone,
        score_at=np.array([500_000, 600_000], np.int32),
        score_logit=np.array([1_000, 0], np.int32),
        move_at=np.array([-30, 0], np.int32),
        move_logit=np.array([300, 0], np.int32),
        cut=np.array([-30_000, 0, 500, 1_000], np.int32),
        eases=eases,
        cured=cured,
    )


def revisions_of(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Return (day, signal, level before, level after) of those that can be: only what is open waits or ends."""
    level, day, kept = dict[int, int](), 0, []
    for signal, after, gap in rows:
        day += gap
        before = level.get(signal, 0)
        if day < DAYS and max(after, 0) != before and (before or after < WAITS):
            kept.append((day, signal, before, after))
            level[signal] = max(after, 0)
    return kept


def weighed(level: int) -> int:
    return 1 if level == WAITS else max(level, 0)


def a_line(rows: list[tuple[int, int, int]], scores: list[int]) -> Timeline:
    kept = [
        (day, signal, weighed(before), weighed(after), (0 < after < WAITS) - (0 < before < WAITS), after == RETRACTED)
        for day, signal, before, after in revisions_of(rows)
    ]
    columns = np.array(kept, np.int64).reshape(-1, 6)
    score = np.array([NO_SCORE] * 3 + [1_000 * one for one in scores[3:]], np.int32)
    return Timeline(
        first_day=FIRST_DAY,
        first=np.array([0, len(kept)]),
        moment=np.arange(len(kept)),
        day=columns[:, 0].astype(np.int32),
        signal=columns[:, 1].astype(np.int16),
        before=columns[:, 2].astype(np.int8),
        after=columns[:, 3].astype(np.int8),
        true=columns[:, 4].astype(np.int8),
        retracted=columns[:, 5].astype(np.int8),
        score=score[None, :],
    )


def straight(at: np.ndarray, logit: np.ndarray, x: int) -> int:
    """Return the line through two anchors at x, rounded down."""
    (low, high), (first, last) = at.tolist(), logit.tolist()
    share = Fraction(min(max(x, low), high) - low, high - low)
    return math.floor(first + share * (last - first))


def naive(claim: Claim, rows: list[tuple[int, int, int]], score: list[int]) -> list[tuple[int, int, int]]:
    """Follow one enterprise by plain words: (day, level before, level after) of each step."""
    found, level, below, open_, revisions = [], 0, 0, dict[int, int](), revisions_of(rows)

    def of_score(day: int) -> int:
        if day < 0 or score[day] == NO_SCORE:
            return 0
        total = straight(claim.score_at, claim.score_logit, score[day])
        past = score[day - MOVE_DAYS] if day >= MOVE_DAYS else NO_SCORE
        if past != NO_SCORE:
            total += straight(claim.move_at, claim.move_logit, (score[day] - past) // 1_000)
        return total

    def claimed(day: int) -> int:
        points = {s: int(claim.points[s, weighed(at)]) for s, at in open_.items()}
        of_finding = max((points[s] for s in (ONE, TWO) if s in points), default=0)
        logit = claim.intercept + of_finding + points.get(LONE, 0) + of_score(day)
        alone = [int(claim.alone[s, weighed(at)]) for s, at in open_.items()]
        return max([0, *(at for at in (1, 2, 3) if logit >= claim.cut[at]), *alone])

    for day in range(DAYS):
        for _, signal, _, after in (one for one in revisions if one[0] == day):
            open_.pop(signal, None)
            if after > 0:
                open_[signal] = after
            if not open_:
                level, below = 0, 0
            elif (now := claimed(day)) > level or after == RETRACTED:
                found += [(day, level, now)] if now > level else []
                level, below = now, 0
        if not open_:
            continue
        now = claimed(day)
        if now > level:
            found.append((day, level, now))
        below = 0 if now >= level else below + 1
        if below > 0 and level > claim.cured and all(one == WAITS for one in open_.values()):
            level, below = max(now, claim.cured), 0
        if now > level or below >= claim.eases:
            level, below = now, 0
    return found


@settings(max_examples=200, deadline=None)
@given(REVISIONS, SCORES, st.integers(1, 6), st.integers(1, 3))
def test_steps_are_those_of_a_naive_follower(rows, scores, eases, cured):
    claim, line = a_claim(eases, cured), a_line(rows, scores)
    found = steps_under(claim, line)
    told = list(zip((found.day - FIRST_DAY).tolist(), found.before.tolist(), found.after.tolist(), strict=True))
    assert told == naive(claim, rows, line.score[0].tolist())


@settings(max_examples=100, deadline=None)
@given(REVISIONS, SCORES, st.integers(0, DAYS - 1))
def test_a_snapshot_has_the_levels_that_are_open_at_the_day_s_end(rows, scores, day):
    line = a_line(rows, scores)
    found = snapshots(line, np.array([0]), np.array([FIRST_DAY + day]))
    last = {signal: weighed(after) for on, signal, _, after in revisions_of(rows) if on <= day}
    assert {s: int(found.level[0, s]) for s in np.flatnonzero(found.level[0])} == {
        s: at for s, at in last.items() if at
    }
    assert found.score[0] == line.score[0, day]


def test_the_packaged_table_becomes_a_claim():
    table = packaged_case_table().table
    claim = claim_of(table)
    for name, points in table.points_milli.items():
        assert tuple(claim.points[SIGNALS.index(name), 1:]) == points
    assert claim.alone[SIGNALS.index("EWS35_arrears"), 3] == 3
    assert claim.cut[1:].tolist() == [table.cutoffs_milli.yellow, table.cutoffs_milli.orange, table.cutoffs_milli.red]
    assert {table.findings[f].id for f in claim.finding if f != NO_FINDING} == {one.id for one in table.findings}


@pytest.mark.parametrize(("eases", "steps"), [(2, 2), (30, 1)])
def test_a_case_that_eases_late_is_made_graver_less_often(eases, steps):
    rows = [(ONE, 1, 3), (ONE, 3, 2), (ONE, 1, 2), (ONE, 3, 6)]
    found = steps_under(a_claim(eases), a_line(rows, [600] * DAYS))
    assert len(found.day) == 0
    found = steps_under(a_claim(eases), a_line(rows, [540] * DAYS))
    assert len(found.day) == steps
