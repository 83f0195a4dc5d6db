"""The output book: what the loop wrote down, row by row, for Python to send.

A row holds everything its message needs as of that very moment, so that messages do not hang on where a batch ended.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from detectors.scorecard import REASONS_MAX
from features.indicators import CORE_COUNT
from features.state.loans import BANK_SLOTS, LOAN_SLOTS

SCORE, ALERT, OBSERVATION, LATE, CONFLICT = range(5)
_EMIT_STEP_MILLI = 3_000
_FIELDS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("kind", "|u1", ()),
    ("slot", "<i4", ()),
    ("record", "<i4", ()),  # index of the record it follows from; -1: a close
    ("offset", "<i8", ()),
    ("seq", "<i4", ()),
    ("as_of_ms", "<i8", ()),
    ("score_milli", "<i4", ()),
    ("cap_milli", "<i4", ()),
    ("coverage_ppm", "<i4", ()),
    ("status", "|u1", ()),
    ("status_reason", "|u1", ()),
    ("published_grade", "|i1", ()),
    ("value", "<f8", (CORE_COUNT,)),
    ("null", "|u1", (CORE_COUNT,)),
    ("u", "<f8", (CORE_COUNT,)),
    ("points_milli", "<i4", (CORE_COUNT,)),
    ("reasons", "|i1", (REASONS_MAX,)),
    ("signal", "|u1", ()),
    ("transition", "|u1", ()),
    ("level", "|u1", ()),  # of the episode after it; before it, where it ended
    ("revision", "<i4", ()),
    ("opened_ms", "<i8", ()),
    ("score_before_milli", "<i4", ()),
    ("bank", "<i8", (BANK_SLOTS,)),
    ("authorized", "|u1", (BANK_SLOTS,)),
    ("loan", "<u8", (LOAN_SLOTS, 4)),
    ("loan_bank", "|i1", (LOAN_SLOTS,)),
    ("loan_open", "|u1", (LOAN_SLOTS,)),
    ("loan_outstanding", "<i8", (LOAN_SLOTS,)),
    ("loan_dpd", "<i4", (LOAN_SLOTS,)),
)
Book: Any = NamedTuple(  # type: ignore[misc]  # the table above names the fields
    "Book", [(name, npt.NDArray[Any]) for name, _, _ in _FIELDS] + [("used", npt.NDArray[np.int64])]
)


def empty(rows: int) -> Any:
    """A book of `rows` free rows."""
    columns = [np.zeros((rows, *shape), dtype) for _, dtype, shape in _FIELDS]
    return Book._make([*columns, np.zeros(1, np.int64)])


@njit(cache=True)
def note(book, kind, s, record, offset, seq):
    """Begin a row; returns its number."""
    row = book.used[0]
    book.used[0] += 1
    book.kind[row], book.slot[row], book.record[row] = kind, s, record
    book.offset[row], book.seq[row] = offset, seq
    return row


@njit(cache=True)
def write_evaluation(book, row, t_ms, milli, cap, coverage, status, why, published):
    """What every row of an evaluation says of the score."""
    book.as_of_ms[row], book.score_milli[row], book.cap_milli[row] = t_ms, milli, cap
    book.coverage_ppm[row], book.status[row], book.status_reason[row] = coverage, status, why
    book.published_grade[row] = published


@njit(cache=True)
def write_indicators(book, row, value, null, u, points, order):
    """The indicators, what became of them, and the reasons in order."""
    for i in range(CORE_COUNT):
        book.value[row, i], book.null[row, i] = value[i], null[i]
        book.u[row, i], book.points_milli[row, i] = u[i], points[i]
    for i in range(REASONS_MAX):
        book.reasons[row, i] = order[i]


@njit(cache=True)
def write_episode(book, row, state, s, k, transition, level_before):
    """The episode's revision, and the lenders and loans as they stand now."""
    level = state.episode_level[s, k]
    book.signal[row], book.transition[row], book.level[row] = k, transition, level if level else level_before
    book.revision[row], book.opened_ms[row] = state.episode_revision[s, k], state.episode_opened_ms[s, k]
    book.score_before_milli[row] = state.episode_score_before[s, k]
    t_ms = book.as_of_ms[row]
    for b in range(BANK_SLOTS):
        book.bank[row, b] = state.bank[s, b]
        book.authorized[row, b] = state.authorization_from[s, b] <= t_ms < state.authorization_to[s, b]
    for i in range(LOAN_SLOTS):
        book.loan[row, i, :] = state.loan[s, i]
        book.loan_bank[row, i], book.loan_open[row, i] = state.loan_bank[s, i], state.loan_open[s, i]
        book.loan_outstanding[row, i], book.loan_dpd[row, i] = state.loan_outstanding[s, i], state.loan_dpd[s, i]


@njit(cache=True)
def shape_of(status, grade, published, order):
    """Status, grades and the order of reasons in one number: a change of any of them is worth a score record."""
    shape = np.uint64(status) * np.uint64(64) + np.uint64(grade) * np.uint64(8) + np.uint64(published)
    for i in range(REASONS_MAX):
        shape = shape * np.uint64(128) + np.uint64(order[i] + 1)
    return shape


@njit(cache=True)
def score_is_due(state, s, milli, shape, emit_moves, closing):
    """A score record goes out at a close for any change; else when it moved three points, or its shape changed."""
    if state.emitted_milli[s] < 0:
        return True
    if closing:
        return milli != state.emitted_milli[s] or shape != state.emitted_shape[s]
    if not emit_moves:
        return False
    return abs(milli - state.emitted_milli[s]) >= _EMIT_STEP_MILLI or shape != state.emitted_shape[s]
