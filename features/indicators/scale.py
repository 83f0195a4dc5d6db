"""Scale of funds: how much flows, how much is held, and where it comes from."""

from features.indicators import SLOT
from features.indicators.nulls import BASE_TOO_SMALL, NOT_REPORTED, VALUE
from features.indicators.windows import (
    BASE_CNY_MIN,
    FEN,
    FEN_30D,
    FEN_MONTHS,
    IN_90D,
    NEWEST_12M,
    NON_OP_90D,
    NULL_OF,
    NULL_OF_MONTHS,
    total,
)
from kernels.decorators import kernel

_OP_INFLOW_30D, _NON_OP_SHARE_90D = SLOT["op_inflow_30d_cny"], SLOT["non_op_inflow_share_90d_ratio"]
_OP_INFLOW_12M, _MARGIN_12M = SLOT["op_inflow_12m_cny"], SLOT["net_op_margin_12m_ratio"]
_ROUTED_12M = SLOT["sales_routed_12m_ratio"]
_OP_IN_30D = FEN_30D["op_in"]
_OPOUT_12M = FEN_MONTHS["OPOUT", 1, 12]
_NULL_30D, _NULL_90D, _NULL_12M = NULL_OF[30], NULL_OF[90], NULL_OF_MONTHS[12]


@kernel
def read(sums, value, null):
    """Fill S(op_in,[t-30d,t)), and (S(fin_in)+S(cash_in)+S(oth_in)) / S(IN) over [s(90d),t)."""
    null[_OP_INFLOW_30D], value[_OP_INFLOW_30D] = sums[_NULL_30D], sums[_OP_IN_30D] / FEN
    null[_NON_OP_SHARE_90D] = sums[_NULL_90D]
    if sums[_NULL_90D] != VALUE:
        return
    if sums[IN_90D] < BASE_CNY_MIN * FEN:
        null[_NON_OP_SHARE_90D] = BASE_TOO_SMALL
    else:
        value[_NON_OP_SHARE_90D] = sums[NON_OP_90D] / sums[IN_90D]


@kernel
def close(e, sums, value, null):
    """Fill the indicators of twelve complete months."""
    null[_OP_INFLOW_12M] = null[_MARGIN_12M] = null[_ROUTED_12M] = sums[_NULL_12M]
    if sums[_NULL_12M] != VALUE:
        return
    inflow = total(sums, NEWEST_12M)
    value[_OP_INFLOW_12M] = inflow / FEN
    if inflow < BASE_CNY_MIN * FEN:
        null[_MARGIN_12M] = BASE_TOO_SMALL
    else:
        value[_MARGIN_12M] = (inflow - sums[_OPOUT_12M]) / inflow
    if e.declared_sales_fen < 0:
        null[_ROUTED_12M] = NOT_REPORTED
    elif e.declared_sales_fen < BASE_CNY_MIN * FEN:
        null[_ROUTED_12M] = BASE_TOO_SMALL
    else:
        value[_ROUTED_12M] = inflow / e.declared_sales_fen
