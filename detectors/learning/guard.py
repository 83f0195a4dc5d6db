"""The guard: what a candidate would change against the model in force, and why a person should look at it first. Pure.

A candidate that is held is published like any other. It comes into force by a person's word alone (ADR 30).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.settings import LearnSettings
from detectors.learning.examples import Examples
from detectors.learning.training import largest_move_milli
from detectors.scorecard import CEILING_MILLI, FLOOR_MILLI, Scorecard, grade_of, scorecard, utility
from detectors.snapshot import MICRO, Snapshot, SnapshotError
from domain.outputs import HeldReason
from features.indicators import CORE_COUNT
from features.indicators.nulls import VALUE
from features.indicators.repayment import DPD_MAX, FREEZE
from kernels.decorators import kernel

Scores = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the guard says of a candidate. It is held where there are reasons."""

    reasons: tuple[HeldReason, ...]
    moves_scores: bool  # False: it differs from the model in force in probabilities alone
    observed_count: int
    regraded_count: int | None  # None where one of the two cannot be scored with


def judge(
    candidate: Snapshot,
    in_force: Snapshot,
    settings: LearnSettings,
    *,
    newest: Examples,
    drift: Sequence[str] = (),
    loss_change_low_micro: int | None = None,
) -> Verdict:
    """Return what the guard says of `candidate`, which would come after `in_force`.

    newest: the observations of the newest month, EXAMPLE (n,); labels are not looked at. drift: what is called drift,
    in words. loss_change_low_micro: lower end of the interval of learn's own log loss less that of the models that were
    in force, on the same labels; None: not known.
    """
    reasons = [HeldReason(code="drift", subject=one) for one in drift]
    if candidate.trained_labels_count < settings.labels_min:
        reasons.append(_below("few_labels", candidate.trained_labels_count, settings.labels_min))
    if candidate.trained_bad_count < settings.bads_min:
        reasons.append(_below("few_bads", candidate.trained_bad_count, settings.bads_min))
    if loss_change_low_micro is not None and loss_change_low_micro > 0:
        reasons.append(HeldReason(code="log_loss_worse", value_micro=loss_change_low_micro, limit_micro=0))
    moves_scores = not candidate.scores_as(in_force)
    regraded: int | None = 0
    if moves_scores:
        name, move_milli = largest_move_milli(candidate, in_force)
        if move_milli > settings.weight_move_points_max * 1_000:
            limit = round(settings.weight_move_points_max * MICRO)
            reasons.append(
                HeldReason(code="weight_moved", subject=name, value_micro=move_milli * 1_000, limit_micro=limit)
            )
        try:
            regraded = regraded_count(candidate, in_force, newest)
        except SnapshotError as error:
            regraded = None
            reasons.append(HeldReason(code="not_scorable", subject=str(error)))
    share_max = settings.grades_changed_share_max
    if regraded and regraded > share_max * len(newest):
        share = regraded * MICRO // len(newest)
        reasons.append(HeldReason(code="grades_changed", value_micro=share, limit_micro=round(share_max * MICRO)))
    return Verdict(
        reasons=tuple(reasons), moves_scores=moves_scores, observed_count=len(newest), regraded_count=regraded
    )


def is_due(candidate_day: int, last_switch_day: int | None, settings: LearnSettings, *, moves_scores: bool) -> bool:
    """Return whether learn may activate a model of its own that nothing holds, by the time since the last switch.

    Days are day numbers; None: no switch so far. One that moves no score may come at any time: EWS47_score_drop is
    suppressed after switches of the others alone.
    """
    return not moves_scores or last_switch_day is None or candidate_day - last_switch_day >= settings.switch_days_min


def regraded_count(one: Snapshot, other: Snapshot, observed: Examples) -> int:
    """Return how many of these observations, EXAMPLE (n,), have another grade under `other`.

    Raise SnapshotError where this engine cannot score with one of the two.
    """
    cards = [scorecard(model) for model in (one, other)]
    grades = [[grade_of(milli) for milli in scores_milli(card, observed).tolist()] for card in cards]
    return sum(a != b for a, b in zip(*grades, strict=True))


def scores_milli(card: Scorecard, observed: Examples) -> Scores:
    """Return the scores in millipoints of observations, EXAMPLE (n,): int64 (n,).

    As the kernel scores, but by what an observation holds alone: a null counts as the level of its kind, not as less
    where the last value was worse.
    """
    found = np.zeros(len(observed), np.int64)
    _score(card, observed["value"], observed["null"], found)
    return found


@kernel
def _score(card: Scorecard, values: Any, nulls: Any, found: Any) -> None:
    rows = card.rows
    for n in range(found.shape[0]):
        total = np.int64(FLOOR_MILLI)
        for i in range(CORE_COUNT):
            code = nulls[n, i]
            u = utility(rows[i], values[n, i]) if code == VALUE else rows[i].null_ppm[code] / MICRO
            total += np.int64(np.rint(rows[i].weight_milli * u))
        dpd = values[n, DPD_MAX] if nulls[n, DPD_MAX] == VALUE else 0.0
        is_frozen = nulls[n, FREEZE] == VALUE and values[n, FREEZE] > 0
        most = 449_000 if dpd > 90 else 499_000 if dpd > 30 or is_frozen else CEILING_MILLI
        found[n] = min(total, most)


def _below(code: Any, count: int, least: int) -> HeldReason:
    return HeldReason(code=code, value_micro=count * MICRO, limit_micro=least * MICRO)
