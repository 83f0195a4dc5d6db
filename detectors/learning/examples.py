"""Examples: observations with a label, as columns. What a model learns from, and is measured on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.snapshot import MICRO
from domain.outputs import Observation
from features.indicators import INDICATOR_COUNT, INDICATORS
from features.indicators.nulls import NOT_APPLICABLE, NOT_REPORTED, NULL_NAMES, VALUE

UNKNOWN = -1
EXAMPLE = np.dtype(
    [
        ("enterprise", "<i8"),  # a number of the enterprise, the same in all its examples
        ("day", "<i4"),  # of the observation
        ("matured_on", "<i4"),
        ("bad", "?"),  # more than 30 days past due, or worse, within 90 days
        ("default_12m", "i1"),  # in default within 12 months: 1, 0 or UNKNOWN
        ("score_milli", "<i4"),  # under the model that was in force
        ("p_ppm", "<i4"),  # p_overdue30_90d under the model that was in force
        ("value", "<f8", (INDICATOR_COUNT,)),  # by indicator, in the order of INDICATORS; NaN where null
        ("null", "u1", (INDICATOR_COUNT,)),  # its code (features/indicators/nulls.py)
    ]
)
Examples = npt.NDArray[np.void]
_NEUTRAL_PPM = MICRO // 2
_CODE_OF = {name: code for code, name in enumerate(NULL_NAMES)}


def unlabelled(observations: Sequence[Observation]) -> Examples:
    """Return observations that have no label yet as EXAMPLE, (observations,): their values alone."""
    rows = np.zeros(len(observations), EXAMPLE)
    for row, seen in zip(rows, observations, strict=True):
        row["day"], row["default_12m"] = seen.day, UNKNOWN
        row["value"], row["null"] = values_of(seen)
    return rows


def values_of(seen: Observation) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Return (values, null codes) of an observation by indicator, float64 and uint8 (INDICATOR_COUNT,).

    Utilities are rebuilt from values, so one that is missing is not missed. But records of before reasons were kept,
    which hold core indicators alone, tell by the neutral utility what was not applicable: without it, that counts as
    not reported, as does a reason that this engine does not know.
    """
    values, codes = np.full(INDICATOR_COUNT, np.nan), np.full(INDICATOR_COUNT, NOT_REPORTED, np.uint8)
    for i, name in enumerate(INDICATORS):
        value = seen.values_micro.get(name)
        if value is not None:
            values[i], codes[i] = value / MICRO, VALUE
        elif name in seen.nulls:
            codes[i] = _CODE_OF.get(seen.nulls[name], NOT_REPORTED)
        elif not seen.nulls and seen.utilities_ppm.get(name) == _NEUTRAL_PPM:
            codes[i] = NOT_APPLICABLE
    return values, codes


def take(examples: Examples, names: Sequence[str], column: str) -> npt.NDArray[Any]:
    """Return `value` or `null` of some indicators, (examples, names)."""
    places = [INDICATORS.index(name) for name in names]
    found: npt.NDArray[Any] = examples[column][:, places]
    return found
