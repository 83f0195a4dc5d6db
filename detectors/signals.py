"""Signals: the rows of `signals.csv` whose inputs stand by now, as arrays for the kernel.

By now a row stands when each of its conditions is one comparison of one core indicator with a number; the others wait,
each with what it waits for. The full grammar replaces this reader behind the same table.
"""

import hashlib
import re
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from config.catalogue import SignalRow, signals, spring_festivals
from features.indicators import CORE
from features.indicators.core import NOT_APPLICABLE, VALUE
from features.state.buckets import day_of

CLEAR, YELLOW, ORANGE, RED, NOT_COMPUTABLE, SUPPRESSED, ENDED = range(7)
LEVELS = 3
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_COMPARISON = re.compile(rf"^(\w+) (<=|<|>=|>) {_NUMBER}$")
_HELD = re.compile(r"^held\((.+), d=(\d+)\)$")
_HISTORY = re.compile(r"^ctx\.history_days >= (\d+)$")
_OPERATORS = ("<=", "<", ">=", ">")
_KNOWN_SUPPRESSIONS = {"feed.stalled", "calendar.spring_festival_window", "peer.offseason"}
_FESTIVAL_BEFORE_DAYS, _FESTIVAL_AFTER_DAYS = 15, 20


class SignalTable(NamedTuple):
    """Shapes: (signals,), threshold (signals, 3) with NaN where a row has no such level."""

    indicator: npt.NDArray[np.int64]
    operator: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    clear_operator: npt.NDArray[np.int64]
    clear_threshold: npt.NDArray[np.float64]
    clear_closes: npt.NDArray[np.int64]
    history_days_min: npt.NDArray[np.int64]
    suppressed_by_stall: npt.NDArray[np.uint8]
    suppressed_by_festival: npt.NDArray[np.uint8]
    festival_day: npt.NDArray[np.int64]


class Waiting(NamedTuple):
    """A signal that is not evaluated yet, and what for."""

    id: str
    reason: str


@cache
def standing() -> tuple[SignalRow, ...]:
    """The rows that are evaluated, in the order of their indexes in the state."""
    return tuple(row for row in signals() if row.enabled and not _waits_for(row))


@cache
def waiting() -> tuple[Waiting, ...]:
    """The rows that are not."""
    return tuple(
        Waiting(row.id, _waits_for(row) or "disabled in signals.csv")
        for row in signals()
        if not row.enabled or _waits_for(row)
    )


@cache
def rules_id() -> str:
    """The content id of the rules in force: of the rows that stand, to the letter."""
    return hashlib.sha256(repr(standing()).encode()).hexdigest()


def signal_table() -> SignalTable:
    """The standing rows as arrays."""
    rows = standing()
    parsed = [[_COMPARISON.match(level) for level in row.levels] for row in rows]
    first = [next(m for m in levels if m) for levels in parsed]
    held = [_required(_HELD, row.hysteresis) for row in rows]
    clear = [_required(_COMPARISON, match[1]) for match in held]
    return SignalTable(
        indicator=np.array([CORE.index(m[1]) for m in first], np.int64),
        operator=np.array([_OPERATORS.index(m[2]) for m in first], np.int64),
        threshold=np.array([[float(m[3]) if m else np.nan for m in levels] for levels in parsed], np.float64),
        clear_operator=np.array([_OPERATORS.index(m[2]) for m in clear], np.int64),
        clear_threshold=np.array([float(m[3]) for m in clear], np.float64),
        clear_closes=np.array([int(m[2]) for m in held], np.int64),
        history_days_min=np.array([int(_required(_HISTORY, row.min_history)[1]) for row in rows], np.int64),
        suppressed_by_stall=np.array(["feed.stalled" in row.suppress_when for row in rows], np.uint8),
        suppressed_by_festival=np.array(["spring_festival" in row.suppress_when for row in rows], np.uint8),
        festival_day=np.array(spring_festivals(), np.int64),
    )


@njit(cache=True)
def _holds(x, operator, threshold):
    if operator == 0:
        return x <= threshold
    if operator == 1:
        return x < threshold
    if operator == 2:
        return x >= threshold
    return x > threshold


@njit(cache=True)
def in_festival_window(festival_day, day):
    """Whether `day` lies in [F - 15d, F + 20d) of a Spring Festival F."""
    for festival in festival_day:
        if festival - _FESTIVAL_BEFORE_DAYS <= day < festival + _FESTIVAL_AFTER_DAYS:
            return True
    return False


@njit(cache=True)
def result(table, k, x, stalled):
    """The result of signal k: suppressed? below its history? a level true? null? else clear (CATALOGUE 8)."""
    if table.suppressed_by_stall[k] and stalled:
        return SUPPRESSED
    if table.suppressed_by_festival[k] and in_festival_window(table.festival_day, day_of(x.as_of_ms - 1)):
        return SUPPRESSED
    i = table.indicator[k]
    if x.null[i] == NOT_APPLICABLE:
        return ENDED
    if x.history_days < table.history_days_min[k] or x.null[i] != VALUE:
        return NOT_COMPUTABLE
    for level in range(LEVELS, 0, -1):
        if _holds(x.value[i], table.operator[k], table.threshold[k, level - 1]):  # false where the threshold is NaN
            return level
    return CLEAR


@njit(cache=True)
def clears(table, k, x):
    """Whether the condition of the hysteresis is true now."""
    i = table.indicator[k]
    return x.null[i] == VALUE and _holds(x.value[i], table.clear_operator[k], table.clear_threshold[k])


def _waits_for(row: SignalRow) -> str:
    """What a row waits for; empty where it stands."""
    if row.scope != "platform":
        return "lender scope"
    held = _HELD.match(row.hysteresis)
    conditions = [level for level in row.levels if level] + [held[1] if held else row.hysteresis]
    matches = [_COMPARISON.match(condition) for condition in conditions]
    for condition, match in zip(conditions, matches, strict=True):
        if match is None:
            return f"the rule grammar: {condition}"
        if match[1] not in CORE:
            return f"the indicator {match[1]}"
    if len({match[1] for match in matches if match}) > 1 or len({match[2] for match in matches[:-1] if match}) > 1:
        return "conditions over several indicators"
    if not _HISTORY.match(row.min_history):
        return f"the context {row.min_history}"
    unknown = set(re.findall(r"[\w.]+", row.suppress_when)) - _KNOWN_SUPPRESSIONS - {"or"}
    return f"the context {', '.join(sorted(unknown))}" if unknown else ""


def _required(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.match(text)
    if match is None:
        raise ValueError(f"signals.csv: {text!r} is not {pattern.pattern}")
    return match
