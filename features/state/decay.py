"""Exponentially decayed sums by forward decay (Cormode et al., Forward Decay, ICDE 2009).

Instead of letting old values shrink, a value of day d enters as value * 2^((d - landmark) / half_life). Shares and
quotients of such sums equal those of decayed sums. The landmark is 2020-01-01 for all, so that sums do not depend on
which event came first; 2^1023 lasts 250 years at a half-life of 90 days. Only multiplication and ldexp are used, on
tabulated powers, so that every CPU gives the same bits.
"""

import math
from decimal import Decimal, getcontext

import numpy as np

from kernels.decorators import kernel

HALF_LIFE_DAYS, SLOW_HALF_LIFE_DAYS = 90, 180
LANDMARK_DAY = 18_262  # 2020-01-01
getcontext().prec = 40


def _powers(half_life: int) -> np.ndarray:
    root = Decimal(2) ** (1 / Decimal(half_life))
    return np.array([float(root**k) for k in range(half_life)])


_POWERS, _SLOW_POWERS = _powers(HALF_LIFE_DAYS), _powers(SLOW_HALF_LIFE_DAYS)


@kernel
def weight(day):
    """Return the weight of a unit on business day `day` against one on the landmark, at a half-life of 90 days."""
    return growth(day - LANDMARK_DAY)


@kernel
def slow_weight(day):
    """Return the same at a half-life of 180 days."""
    days = day - LANDMARK_DAY
    return math.ldexp(_SLOW_POWERS[days % SLOW_HALF_LIFE_DAYS], days // SLOW_HALF_LIFE_DAYS)


@kernel
def growth(days):
    """Return 2^(days / 90) for a whole number of days, which may be negative."""
    return math.ldexp(_POWERS[days % HALF_LIFE_DAYS], days // HALF_LIFE_DAYS)
