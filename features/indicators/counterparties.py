"""Counterparties: how much income depends on few payers, how long they have paid, and whether they still do.

Shares are of the named inflow, which the weights of the list add up to (state/payers.py).
"""

import numpy as np

from features.indicators import SLOT
from features.indicators.nulls import BASE_TOO_SMALL, NOT_APPLICABLE, SHORT_HISTORY, STALLED
from features.indicators.windows import MS_PER_DAY
from features.state import decay
from features.state.days import day_of
from features.state.payers import PLACES
from kernels.decorators import kernel

_HHI, _TOP1, _TOP5 = (
    SLOT[name] for name in ("payer_hhi_90d_ratio", "payer_top1_share_90d_ratio", "payer_top5_share_90d_ratio")
)
_SILENCE, _TENURE = SLOT["top3_payer_silence_max_days"], SLOT["payer_tenure_wavg_days"]
_CREDITS_MIN, _NAMED_MIN = 10.0, 0.5
_TOP, _SHARE_MIN, _PAYMENTS_MIN = 3, 0.10, 3
_TENURE_DAYS_MOST, _TENURE_HISTORY_DAYS, _PAYERS_MIN = 730.0, 180, 3
_S_PER_DAY = 86_400.0


@kernel
def read(e, t_ms, history_days, value, null):
    """Fill all indicators of this group."""
    _concentration(e, day_of(t_ms - 1), value, null)
    _silence(e, t_ms, value, null)
    _tenure(e, t_ms, history_days, value, null)


@kernel
def _concentration(e, day, value, null):
    """Fill sum p_i^2 (Herfindahl-Hirschman index), max p_i and the sum of the five largest, p_i = w_i / W.

    They are null where less than half of the inflow is named, or under ten decayed credits, and where reversals have
    taken out as much as came in.
    """
    few = e.payer_credits < _CREDITS_MIN * decay.weight(day)
    if few or e.payer_named < _NAMED_MIN * e.payer_all or e.payer_named <= 0.0:
        null[_HHI] = null[_TOP1] = null[_TOP5] = BASE_TOO_SMALL
        return
    squares = 0.0
    a, b, c, d, f = 0.0, 0.0, 0.0, 0.0, 0.0  # the five largest, descending
    for i in range(PLACES):
        p = e.payer_weight[i] / e.payer_named
        squares += p * p
        if p > f:
            f = min(p, d)
            if p > d:
                d = min(p, c)
                if p > c:
                    c = min(p, b)
                    if p > b:
                        b, a = min(p, a), max(p, a)
    value[_HHI], value[_TOP1], value[_TOP5] = squares, a, a + b + c + d + f


@kernel
def _silence(e, t_ms, value, null):
    """Fill the longest silence of a heavy payer, in days, at least 0.

    That is the maximum, over the three payers with the largest slow weight, of (t - last_seen) less the payer's mean
    interval; each must have a tenth of the weight and three payments.
    """
    longest, floor, after = -1.0, e.payer_named_slow * _SHARE_MIN, -1
    for _ in range(_TOP):
        place = _next_heaviest(e, after)
        if place < 0 or e.payer_slow[place] < floor:
            break
        after = place
        if e.payer_count[place] >= _PAYMENTS_MIN:
            first, last = np.int64(e.payer_first[place]), np.int64(e.payer_last[place])
            interval = (last - first) / (e.payer_count[place] - 1) / _S_PER_DAY
            longest = max(longest, 0.0, (t_ms - last * 1_000) / MS_PER_DAY - interval)
    if longest < 0.0:
        null[_SILENCE] = NOT_APPLICABLE  # no payer qualifies
    elif e.stalled:
        null[_SILENCE] = STALLED
    else:
        value[_SILENCE] = longest


@kernel
def _next_heaviest(e, after):
    """Return the place of the next slow weight after that of `after` (-1: the largest), ties by place.

    -1 where none is.
    """
    best = -1
    for i in range(PLACES):
        if e.payer[i] == 0:
            break
        w = e.payer_slow[i]
        if after >= 0 and (w > e.payer_slow[after] or (w == e.payer_slow[after] and i <= after)):
            continue
        if w > 0.0 and (best < 0 or w > e.payer_slow[best]):
            best = i
    return best


@kernel
def _tenure(e, t_ms, history_days, value, null):
    """Fill sum w_i * min(t-first_seen_i, 730d) / sum w_i."""
    payers, weights, days = 0, 0.0, 0.0
    for i in range(PLACES):
        if e.payer[i] == 0:
            break
        payers += 1
        weights += e.payer_weight[i]
        known = (t_ms - np.int64(e.payer_first[i]) * 1_000) / MS_PER_DAY
        days += e.payer_weight[i] * min(known, _TENURE_DAYS_MOST)
    if history_days < _TENURE_HISTORY_DAYS:
        null[_TENURE] = SHORT_HISTORY
    elif payers < _PAYERS_MIN or weights <= 0.0:
        null[_TENURE] = BASE_TOO_SMALL
    else:
        value[_TENURE] = days / weights
