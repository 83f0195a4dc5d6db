"""Candidates as learn would make them, a month after the other, for tests of what becomes of them."""

from typing import Any

import msgspec
import numpy as np

from detectors.learning.examples import EXAMPLE, Examples
from detectors.prior import core_snapshot, prior_id, prior_snapshot
from detectors.snapshot import MICRO, Snapshot, content_id
from domain.calendar import month_of_day
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import VALUE
from features.indicators.repayment import DPD_MAX
from streams.learn.learner import Learned, last_day

PRIOR = prior_snapshot()
FIRST_MONTH = month_of_day(20_000)
MOVED = ("runway_30d_days", "dpd_max_days")


def snapshot(
    n: int, parent_id: str | None = None, *, move_milli: int = 100, labels: int = 500, bad: int = 40
) -> Snapshot:
    """The n-th model: n times `move_milli` moved between two weights; 0: other probabilities alone."""
    weights = dict(PRIOR.weights_milli)
    weights[MOVED[0]] -= n * move_milli
    weights[MOVED[1]] += n * move_milli
    return msgspec.structs.replace(
        PRIOR,
        parent_id=parent_id or prior_id(),
        prior=False,
        weights_milli=weights,
        intercept_micro=PRIOR.intercept_micro + n,
        trained_labels_count=labels,
        trained_bad_count=bad,
        trained_until_day=last_day(FIRST_MONTH + n),
        log_offsets={"events.v1:0": 1_000 * n},
    )


def unscorable(n: int) -> Snapshot:
    """The n-th model with an indicator that no engine computes: its bytes decode, and it has no scorecard."""
    made = snapshot(n)

    def renamed(of: dict[str, Any]) -> dict[str, Any]:
        return {("no_such" if name == MOVED[0] else name): value for name, value in of.items()}

    return msgspec.structs.replace(
        made, weights_milli=renamed(made.weights_milli), anchors_micro=renamed(made.anchors_micro)
    )


def learned(n: int, made: Snapshot | None = None, *, drift: tuple[str, ...] = ()) -> Learned:
    """The n-th candidate, of the n-th month."""
    return Learned(
        snapshot=snapshot(n) if made is None else made,
        month=FIRST_MONTH + n,
        new_labels_count=50,
        drift=drift,
    )


def anew(n: int, of: Snapshot) -> Learned:
    """The n-th month's calibration of a model."""
    made = msgspec.structs.replace(of, intercept_micro=7 * n, parent_id=id_of(of))
    return Learned(snapshot=made, month=FIRST_MONTH + n, new_labels_count=120, calibrated_on=(120, 12))


def observed(count: int, seed: int = 0) -> Examples:
    """Enterprises of all kinds: values between the outer anchors, none in arrears."""
    rng, rows = np.random.default_rng(seed), np.zeros(count, EXAMPLE)
    rows["value"], rows["enterprise"] = np.nan, np.arange(count)
    for i, name in enumerate(CORE):
        low, *_, high = np.array(core_snapshot().anchors_micro[name]) / MICRO
        rows["value"][:, i] = rng.uniform(low, high, count)
    rows["value"][:, DPD_MAX] = 0
    rows["null"][:, :CORE_COUNT], rows["null"][:, CORE_COUNT:] = VALUE, 5
    return rows


def id_of(one: Snapshot) -> str:
    """Its id."""
    return content_id(one.encode())
