"""Facts of a day: whether it is a business day of China's calendar, or in the Spring Festival window [F-15d, F+20d).

After DECIDED_UNTIL business days are provisional (docs/adr/0015-a-provisional-calendar.md).
"""

import numpy as np
import numpy.typing as npt

from config.catalogue import spring_festivals, workdays, workdays_decided_until
from kernels.decorators import kernel

FESTIVAL_BEFORE_DAYS, FESTIVAL_AFTER_DAYS = 15, 20
_BUSINESS, _FESTIVAL = 1, 2


def _table(first: int) -> npt.NDArray[np.uint8]:
    """Return both facts of each day from `first` to the end of the tables, uint8."""
    last = max(*workdays(), max(spring_festivals()) + FESTIVAL_AFTER_DAYS)
    table = np.where((np.arange(first, last + 1) + 3) % 7 < 5, np.uint8(_BUSINESS), np.uint8(0))
    for day, is_worked in workdays().items():
        table[day - first] = _BUSINESS * is_worked
    for festival in spring_festivals():
        table[max(0, festival - FESTIVAL_BEFORE_DAYS - first) : festival + FESTIVAL_AFTER_DAYS - first] |= _FESTIVAL
    return table


_FIRST = min(*workdays(), *spring_festivals())
_FACTS = _table(_FIRST)
DECIDED_UNTIL = np.int64(workdays_decided_until())


@kernel
def is_business_day(day):
    """Return whether a day is a business day; outside of the tables its weekday decides."""
    i = day - _FIRST
    if 0 <= i < _FACTS.shape[0]:
        return _FACTS[i] & _BUSINESS != 0
    return (day + 3) % 7 < 5


@kernel
def in_festival_window(day):
    """Return whether a day is in the Spring Festival window of its year."""
    i = day - _FIRST
    return 0 <= i < _FACTS.shape[0] and _FACTS[i] & _FESTIVAL != 0
