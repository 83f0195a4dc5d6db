"""All indicators of one enterprise at its time t, each a value and a null code (nulls.py).

`read` fills what events move, and copies what only closes move from where `close` kept it. So the latter are as of the
last close, in memory and after a restart alike.
"""

import numpy as np

from features.indicators import (
    AT_CLOSE,
    INDICATOR_COUNT,
    SLOT,
    activity,
    counterparties,
    growth,
    repayment,
    scale,
    stability,
    windows,
)
from features.indicators.nulls import VALUE
from features.indicators.windows import NULL_OF, OUT_30D
from features.state.instalments import EVERY_BANK
from kernels.decorators import kernel

_CLOSE_SLOT = np.array([SLOT[name] for name in AT_CLOSE], np.int64)
_CLOSE_SLOT.setflags(write=False)
_CLOSE_COUNT = len(AT_CLOSE)
_NULL_90D, _NULL_26W = NULL_OF[90], NULL_OF[180]


@kernel
def read(e, t_ms, history_days, value, null, sums):
    """Fill value and null of enterprise e at its time t; return (balance now in CNY, whether it is known).

    value: float64, null: uint8, both (INDICATOR_COUNT or more,); sums: int64 (SUMS_MAX,), scratch; t_ms: ms;
    history_days: int64. The balance is needed for the view of one lender.
    """
    for i in range(INDICATOR_COUNT):
        value[i], null[i] = 0.0, VALUE
    for k in range(_CLOSE_COUNT):
        value[_CLOSE_SLOT[k]], null[_CLOSE_SLOT[k]] = e.close_value[k], e.close_null[k]
    windows.read(e, t_ms, history_days, sums)
    scale.read(sums, value, null)
    stability.read(sums, value, null)
    activity.read(e, t_ms, sums, value, null)
    growth.read(t_ms, sums, value, null)
    counterparties.read(e, t_ms, history_days, value, null)
    now, is_known = repayment.read(e, t_ms, history_days, sums, value, null)
    repayment.read_burden(e, t_ms, value, null)
    repayment.read_loans(e, EVERY_BANK, t_ms, now, is_known, e.loan_stalled == 1, value, null)
    return now, is_known


@kernel
def close(e, t_ms, history_days, value, null, sums):
    """Fill value and null with what the close of day e.closed_day moves, and keep it in the row.

    Arguments as of `read`.
    """
    for k in range(_CLOSE_COUNT):
        slot = _CLOSE_SLOT[k]
        is_latched = slot == growth.YOY_2M
        value[slot], null[slot] = (e.close_value[k], e.close_null[k]) if is_latched else (0.0, np.uint8(VALUE))
    windows.read(e, t_ms, history_days, sums)
    activity.close(e, sums, value, null)
    null_90d, null_26w, outflow_fen = sums[_NULL_90D], sums[_NULL_26W], sums[OUT_30D]
    windows.read_closed(e, sums)
    scale.close(e, sums, value, null)
    stability.close(e, history_days, outflow_fen, sums, value, null)
    growth.close(e, null_26w, sums, value, null)
    repayment.close(e, null_90d, history_days, sums, value, null)
    for k in range(_CLOSE_COUNT):
        slot = _CLOSE_SLOT[k]
        e.close_null[k] = null[slot]
        e.close_value[k] = value[slot] if null[slot] == VALUE else 0.0
