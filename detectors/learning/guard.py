"""The guard: what a candidate would change against the model in force, and why a person should look at it first. Pure.

A candidate that is held is published like any other. It comes into force by a person's word alone (ADR 30).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.settings import LearnSettings
from detectors.learning.examples import Examples
from detectors.learning.rescoring import scores_milli
from detectors.learning.training import largest_move_milli, predicted
from detectors.scorecard import grade_of
from detectors.snapshot import MICRO, Snapshot, SnapshotError
from domain.outputs import HeldReason

CALIBRATION_ERRORS = 2.0


LOSS_ROUNDED_MICRO = 1_000  # what was in force said its probability by whole points: up to 0.01 in the logit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The guard's word on a candidate. It is held where there are reasons."""

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
    trained_on: tuple[int, int] | None = None,
    drift: Sequence[str] = (),
    loss_change_low_micro: int | None = None,
) -> Verdict:
    """Return what the guard says of `candidate`, which would come after `in_force`.

    newest: the observations of the newest month, EXAMPLE (n,), of which one an enterprise is taken, without labels.
    trained_on: labels and bad ones, where they are not those that the snapshot names.
    drift: what is called drift, in words. loss_change_low_micro: lower end of the interval of learn's own log loss less
    that of the models that were in force, on the same labels; None: not known.
    """
    newest = newest[np.unique(newest["enterprise"], return_index=True)[1]]
    reasons = [HeldReason(code="drift", subject=one) for one in drift]
    labels, bads = trained_on or (candidate.trained_labels_count, candidate.trained_bad_count)
    if labels < settings.labels_min:
        reasons.append(_below("few_labels", labels, settings.labels_min))
    if bads < settings.bads_min:
        reasons.append(_below("few_bads", bads, settings.bads_min))
    if loss_change_low_micro is not None and loss_change_low_micro > LOSS_ROUNDED_MICRO:
        limit = LOSS_ROUNDED_MICRO
        reasons.append(HeldReason(code="log_loss_worse", value_micro=loss_change_low_micro, limit_micro=limit))
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


def is_off(in_force: Snapshot, newest: Examples, settings: LearnSettings) -> bool:
    """Return whether labels speak against the probabilities of a model that was not trained on them.

    newest: labelled, EXAMPLE (n,). It is off where more or fewer were bad than it expects, by CALIBRATION_ERRORS
    standard errors and by the setting's share of what it expects.
    """
    bads = int(newest["bad"].sum())
    if len(newest) < settings.labels_min or bads < settings.bads_min:
        return False
    p = predicted(in_force, newest)
    expected, variance = math.fsum(p.tolist()), math.fsum((p * (1.0 - p)).tolist())
    off = abs(bads - expected)
    return off > CALIBRATION_ERRORS * math.sqrt(variance) and off > settings.calibration_off_share_max * expected


def regraded_count(one: Snapshot, other: Snapshot, observed: Examples) -> int:
    """Return how many of these observations, EXAMPLE (n,), have another grade under `other`.

    Raise SnapshotError where this engine cannot score with one of the two.
    """
    grades = [[grade_of(milli) for milli in scores_milli(model, observed).tolist()] for model in (one, other)]
    return sum(a != b for a, b in zip(*grades, strict=True))


def _below(code: Any, count: int, least: int) -> HeldReason:
    return HeldReason(code=code, value_micro=count * MICRO, limit_micro=least * MICRO)
