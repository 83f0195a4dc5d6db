"""Fit of a case table to recorded logs: points, cut-offs and the curve, in place of those that a table had."""

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from config.case_table import CaseTable, Cutoffs
from config.catalogue import signals
from detectors.learning.statistics import Flags, Floats
from replay.case_points import fit as fitting
from replay.case_points.claim import LEVELS, SIGNALS, Claim, claim_of
from replay.case_points.cutoffs import curve, with_cutoffs
from replay.case_points.snapshots import Snapshots, snapshots
from replay.case_points.worlds import HORIZON_DAYS, LEAD_DAYS, Judged, Worth, worth
from replay.sources import SourceError

SCORE_AT = (470, 530, 560, 590, 620, 650)  # points; more anchors gained nothing (docs/adr/0040)
INCREMENT = (0.2, 0.4, 0.6)  # prior points of a signal's levels, each more than the one below: logits
STRENGTH, LINE_STRENGTH = 16.0, 2.0  # inverse variance of a signal's increments about the prior, and of the score's
LINE_INCREMENT, INTERCEPT, FREE = 0.2, -4.0, 1e-6
BAD_MIN = 20
_HAS_LEVEL = np.array([[False, *map(bool, row.levels)] for row in signals()])  # (S, LEVELS)
Progress = Callable[[str], None]


def fit(worlds: list[Judged], table: CaseTable, say: Progress) -> tuple[CaseTable, Worth]:
    """Return the table with fitted points, cut-offs and curve, and what its cases bring on these worlds.

    Findings, hard rules, budget, deadlines and times stay, and levels that were never open get prior points.
    Raise SourceError where too few month ends go bad.
    """
    rows, bad, is_late = _rows(worlds)
    if (bad & ~is_late).sum() < BAD_MIN:
        raise SourceError(f"{(bad & ~is_late).sum()} month ends go bad within a year: {BAD_MIN} are needed")
    say(f"{len(bad):,} month ends, {int(bad.sum()):,} of them go bad within {HORIZON_DAYS} days")
    before = claim_of(table)
    found = _fitted(before, rows, bad, is_late)
    claim = _claim(before, found)
    say("choosing cut-offs")
    claim = with_cutoffs(worlds, claim, table.budget)
    brings = worth(worlds, claim)
    say("drawing the curve")
    return _table(table, claim, curve(worlds, claim, table.budget)), brings


def _rows(worlds: list[Judged]) -> tuple[Snapshots, Flags, Flags]:
    """Return matured month ends, whether each goes bad, and whether it does so too soon for a warning to help."""
    parts, bads, too_late = [], [], []
    for one in worlds:
        matured, panel = one.panel.matured(HORIZON_DAYS), one.panel
        parts.append(snapshots(one.line, panel.enterprise[matured], panel.day[matured]))
        bads.append(panel.bad(HORIZON_DAYS)[matured])
        too_late.append(panel.days_to_bad[matured] < LEAD_DAYS)
    return Snapshots(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(bads), np.concatenate(too_late)


def _fitted(claim: Claim, rows: Snapshots, bad: Flags, is_late: Flags) -> fitting.Fitted:
    """Return points fitted to what a warning can help, then scaled so that all month ends have their probability."""
    in_use = np.stack([(rows.level >= level).any(axis=0) for level in range(LEVELS)], axis=1)
    in_use[:, 0] = False
    shape = fitting.shape_of(claim.finding, in_use, np.array(SCORE_AT, np.float64))
    prior, penalty = np.full(shape.size, LINE_INCREMENT), np.full(shape.size, LINE_STRENGTH)
    for level in range(1, LEVELS):
        place = shape.increment[in_use[:, level], level]
        prior[place], penalty[place] = INCREMENT[level - 1], STRENGTH
    prior[-1], penalty[-1] = INTERCEPT, FREE
    learned = ~is_late
    theta = fitting.fit(shape, rows.only(learned), bad[learned], prior, penalty)
    found = fitting.fitted(shape, theta, _HAS_LEVEL * (0.0, *INCREMENT))
    return fitting.scaled(found, *fitting.calibration(shape, theta, rows, bad))


def _claim(before: Claim, found: fitting.Fitted) -> Claim:
    return before._replace(
        intercept=int(_milli(np.array([found.intercept]))[0]),
        points=_milli(found.points),
        score_at=np.array(SCORE_AT, np.int32) * 1_000,
        score_logit=_milli(found.score),
        move_at=np.zeros(1, np.int32),
        move_logit=np.zeros(1, np.int32),
    )


def _milli(logits: Floats) -> npt.NDArray[np.int32]:
    return np.rint(logits * 1_000).astype(np.int32)


def _table(table: CaseTable, claim: Claim, drawn: tuple[tuple[int, ...], ...]) -> CaseTable:
    points = {name: tuple(claim.points[s, 1:].tolist()) for s, name in enumerate(SIGNALS)}
    return msgspec.structs.replace(
        table,
        intercept_milli=claim.intercept,
        points_milli={name: points[name] for name in table.points_milli},
        score=tuple(zip(claim.score_at.tolist(), claim.score_logit.tolist(), strict=True)),
        move=tuple(zip(claim.move_at.tolist(), claim.move_logit.tolist(), strict=True)),
        cutoffs_milli=Cutoffs(**dict(zip(("yellow", "orange", "red"), claim.cut[1:].tolist(), strict=True))),
        curve=drawn,
    )
