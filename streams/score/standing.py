"""From a row of the output book to how an alert stands: for how many closes, and on data up to which day."""

from typing import Any

import numpy as np

from detectors import cases
from domain.calendar import date_of
from domain.outputs import DataDate
from features.state.buckets import NO_UNIT
from streams.score.records import bank_text


def standing_fields(b: Any, view: int) -> dict[str, Any]:
    """Return the optional fields of row `b` (outbook.ROW) as the reader of `view` may see them.

    Closes are of an episode that the reader sees. When another bank's data came is not told to a bank (ADR 35).
    """
    found: dict[str, Any] = {name: int(b[name]) for name in ("true_closes", "clear_closes") if b[name]}
    slots = np.flatnonzero(b["bank"]).tolist() if view == cases.SUPERVISOR else [view]
    found["data_dates"] = sorted((_data_date(b, slot) for slot in slots), key=lambda one: one.bank_id)
    return found


def _data_date(b: Any, slot: int) -> DataDate:
    day = int(b["traded_day"][slot])
    return DataDate(
        bank_id=bank_text(int(b["bank"][slot])),
        newest_on=None if day == NO_UNIT else date_of(day).isoformat(),
        stalled=bool(int(b["banks_stalled"]) >> slot & 1),
    )
