"""A change of score in lines that add up to the millipoint, also where the model was switched.

Both moments are scored under the newer model; what moved is the sum of the indicators' lines and the cap's. The line
`model` is what the older moment has under the newer model, less what it had under its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.scorecard import (
    CEILING_MILLI,
    FLOOR_MILLI,
    Scorecard,
    most_milli,
    points_milli_of,
    scorecard,
    utility,
    utility_of_null,
)
from detectors.snapshot import MICRO, Snapshot
from features.fields import UTILITY_PPM_MOST
from features.indicators import CORE, CORE_COUNT
from features.indicators.nulls import NOT_REPORTED, NULL_NAMES, VALUE

MODEL, CAP = "model", "cap"  # lines that are of no indicator


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """An enterprise at a moment, as the scorecard reads it: shapes (CORE_COUNT,), in the order of CORE.

    value: float64. null: codes, uint8. last_ppm: last computable utilities, int32; of nulls alone they are read.
    most_milli: the score that a cap leaves.
    """

    value: npt.NDArray[np.float64]
    null: npt.NDArray[np.uint8]
    last_ppm: npt.NDArray[np.int32]
    most_milli: int = CEILING_MILLI


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One line of a change: of an indicator, or MODEL, or CAP."""

    what: str
    points_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A score before and after, and the lines between, those that are 0 left out: before + deltas = after."""

    before_milli: int
    after_milli: int
    deltas: tuple[Delta, ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    points_milli: list[int]
    cap_milli: int

    @property
    def score_milli(self) -> int:
        return FLOOR_MILLI + sum(self.points_milli) + self.cap_milli


def change(before: Vector, old: Snapshot, after: Vector, new: Snapshot) -> Change:
    """Return how the score of `before` under model `old` became that of `after` under `new`.

    The largest lines of indicators come first; `model` and `cap` are last. Raise SnapshotError where this engine
    cannot score with one of the models.
    """
    new_card = scorecard(new)
    under_old, under_new, now = _parts(before, scorecard(old)), _parts(before, new_card), _parts(after, new_card)
    moves = dict(zip(CORE, np.subtract(now.points_milli, under_new.points_milli).tolist(), strict=True))
    deltas = [Delta(what=name, points_milli=moves[name]) for name in sorted(CORE, key=lambda name: -abs(moves[name]))]
    deltas.append(Delta(what=MODEL, points_milli=under_new.score_milli - under_old.score_milli))
    deltas.append(Delta(what=CAP, points_milli=now.cap_milli - under_new.cap_milli))
    return Change(
        before_milli=under_old.score_milli,
        after_milli=now.score_milli,
        deltas=tuple(line for line in deltas if line.points_milli),
    )


def _parts(vector: Vector, card: Scorecard) -> _Parts:
    points = []
    for row, value, null, last in zip(card.rows, vector.value, vector.null, vector.last_ppm, strict=True):
        u = utility(row, value) if null == VALUE else utility_of_null(row, null, np.int64(last))
        points.append(int(points_milli_of(row, u)))
    return _Parts(points, min(0, vector.most_milli - FLOOR_MILLI - sum(points)))


def vector_of_day(values_micro: Mapping[str, int], null_reasons: Mapping[str, str], capped_at: int) -> Vector:
    """Return the vector of a day's indicators, as `indicator.v1` has them.

    That record has values to a millionth, and no last utilities: of an indicator without a value the level of its kind
    is taken. Both can move a score of it away from the one of that day. capped_at: the score that a cap left, also one
    by days past due that are not computable now; CEILING_MILLI without a cap.
    """
    value = np.array([values_micro.get(name, 0) / MICRO for name in CORE])
    codes = [VALUE if name in values_micro else _code(null_reasons.get(name, "")) for name in CORE]
    last = np.full(CORE_COUNT, UTILITY_PPM_MOST, np.int32)
    dpd, frozen = (values_micro.get(name, 0) // MICRO for name in ("dpd_max_days", "judicial_freeze_active_flag"))
    most = min(capped_at, int(most_milli(dpd, frozen)))
    return Vector(value=value, null=np.array(codes, np.uint8), last_ppm=last, most_milli=most)


def _code(reason: str) -> int:
    return NULL_NAMES.index(reason) if reason in NULL_NAMES[1:] else NOT_REPORTED
