"""Stored values, evaluated once more at each enterprise's own time by the code that score evaluates with.

Nobody who looks at an enterprise computes anything of his own: what is shown is what score would say now.
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
    """An indicator's value, or why it has none: `null`, of NULL_NAMES, empty where there is a value."""

    id: str
    value: float | None
    null: str


def evaluate_anew(rows: Rows, engine: Engine) -> npt.NDArray[np.void]:
    """The evaluations of rows (n), as drafts (n) of outbook.ROW. It moves the rows: they must be the caller's own."""
    drafts = np.zeros(len(rows), outbook.ROW)
    engine = engine._replace(card=engine.card.own())
    _evaluate(rows, engine, outbook.empty(outbook.OUTPUTS_PER_EVALUATION_MAX), drafts)
    return drafts


def readings(draft: np.void) -> Iterator[Reading]:
    """Yield the indicators of one evaluation."""
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
