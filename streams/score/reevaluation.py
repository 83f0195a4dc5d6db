"""Evaluation of stored values, at each enterprise's own time, by the code that score itself uses.

No reader of an enterprise has a computation of its own: it shows what score would say now.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from config.catalogue import indicators
from detectors.rules.vocabulary import INPUTS
from features.indicators.nulls import NULL_NAMES
from features.layout import Rows
from features.state import seen
from features.state.transitions import time_of
from kernels.decorators import kernel
from streams.score import outbook
from streams.score.loop import NO, YES, evaluate
from streams.score.partition import Engine


class Reading(NamedTuple):
    """An indicator's value, or in `null` why it has none (one of NULL_NAMES; empty where there is a value)."""

    id: str
    value: float | None
    null: str


def reevaluate(rows: Rows, engine: Engine) -> npt.NDArray[np.void]:
    """Return the evaluations of rows (n), dtype outbook.ROW (n).

    It changes the rows, so they must be the caller's copy.
    """
    drafts = np.zeros(len(rows), outbook.ROW)
    engine = engine._replace(card=engine.card.own())
    _evaluate(rows, engine, outbook.empty(outbook.OUTPUTS_PER_EVALUATION_MAX), drafts)
    return drafts


def readings(draft: np.void) -> Iterator[Reading]:
    """Yield the indicators of one evaluation, a row of outbook.ROW."""
    for name, value, null in zip(INPUTS, draft["value"].tolist(), draft["null"].tolist(), strict=True):
        if name in indicators():  # others are of the context: the score itself, the history
            yield Reading(name, None if null else value, NULL_NAMES[null])


@kernel(nogil=True)
def _evaluate(state, engine, book, drafts):
    for i in range(state.shape[0]):
        e = state[i]
        book.used[0] = 0
        outbook.begin(book, i, outbook.A_CLOSE, e.applied_offset)
        evaluate(e, engine, book, time_of(e), NO, YES, np.int64(seen.NOTHING), NO)
        drafts[i] = book.draft[0]
