"""The claim of a case as arrays: integer points of signals and findings, of score and move, and its cut-offs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.case_table import CaseTable
from config.catalogue import signals
from domain.outputs import SEVERITIES

SIGNALS = tuple(row.id for row in signals())
LEVELS = 4  # none, yellow, orange, red
NO_FINDING = -1
NEVER_CUT = 30_000  # a cut-off that no logit reaches
Int32s = npt.NDArray[np.int32]


class Claim(NamedTuple):
    """Millilogits, int32; S: signals, those of the catalogue in its order if nothing else is said."""

    intercept: int
    points: Int32s  # (S, 4) by level, ascending; 0 at level 0
    finding: npt.NDArray[np.int8]  # (S,) NO_FINDING: it counts for itself
    alone: npt.NDArray[np.uint8]  # (S, 4) the least level of a case with the signal at a level
    score_at: Int32s  # millipoints, ascending
    score_logit: Int32s  # never rises
    move_at: Int32s  # points, ascending
    move_logit: Int32s  # never rises
    cut: Int32s  # (4,) least logits of the levels, ascending; that of level 0 is not read
    eases: int  # closes
    cured: int  # the level to which a higher case eases at once where none of its levels is true any more


def claim_of(table: CaseTable, signals: Sequence[str] = SIGNALS) -> Claim:
    """Return the claim of a case table for some signals; it says nothing of others."""
    number = {name: s for s, name in enumerate(signals)}
    table = table.of_signals(frozenset(signals))
    points, alone = np.zeros((len(signals), LEVELS), np.int32), np.zeros((len(signals), LEVELS), np.uint8)
    for name, milli in table.points_milli.items():
        points[number[name], 1:] = milli
    for rule in table.alone:
        lifted = alone[number[rule.signal], 1 + SEVERITIES.index(rule.at) :]
        np.maximum(lifted, 1 + SEVERITIES.index(rule.level), out=lifted)
    finding = np.full(len(signals), NO_FINDING, np.int8)
    for f, one in enumerate(table.findings):
        finding[[number[name] for name in one.signals]] = f
    score, move = np.array(table.score, np.int32), np.array(table.move, np.int32)
    cut = table.cutoffs_milli
    return Claim(
        intercept=table.intercept_milli,
        points=points,
        finding=finding,
        alone=alone,
        score_at=score[:, 0].copy(),
        score_logit=score[:, 1].copy(),
        move_at=move[:, 0].copy(),
        move_logit=move[:, 1].copy(),
        cut=np.array([-NEVER_CUT, cut.yellow, cut.orange, cut.red], np.int32),
        eases=table.closes_to_ease,
        cured=1 + SEVERITIES.index(table.cured_to),
    )
