"""The last business day of each kind of event, which the term `seen(event, d=N)` of a rule reads.

Array of one enterprise: seen_day uint16 (38) day numbers, 0 where never (day numbers fit into a uint16 until 2149);
first one place an event, then one an adverse government event. loan_seen_day uint16 (8, 15): the loan events of the
bank in each slot alone.
"""

from typing import get_args

from domain.events import GovEvent, LoanEvent, TxnStatus
from kernels.decorators import kernel

NOTHING = 0  # the code of a record that is none of these events
LOAN_EVENTS = tuple(f"loan.{name}" for name in get_args(LoanEvent))
GOV_EVENTS = tuple(f"gov.{name}" for name in get_args(GovEvent))
TXN_EVENTS = tuple(f"txn.{name}" for name in get_args(TxnStatus))
EVENTS = (*LOAN_EVENTS, *GOV_EVENTS, *TXN_EVENTS)
CODE_OF = {name: code for code, name in enumerate(EVENTS, 1)}  # the code of a record; its place is one less
LOAN_COUNT, GOV_COUNT = len(LOAN_EVENTS), len(GOV_EVENTS)
PLACES = len(EVENTS) + GOV_COUNT
_ADVERSE = len(EVENTS) - LOAN_COUNT  # from a government event's place to that of an adverse one
_DAY_MAX = 2**16 - 1


def place_of(event: str, *, adverse: bool) -> int:
    """Return the place of an event's day; only government events have a place for adverse ones."""
    return CODE_OF[event] - 1 + (_ADVERSE if adverse else 0)


@kernel
def is_of_government(code):
    """Return whether a record with this code is a fact of a government."""
    return LOAN_COUNT < code <= LOAN_COUNT + GOV_COUNT


@kernel
def note(e, code, adverse, bank_slot, day):
    """Take in an event of `code` on `day`.

    `bank_slot`: its lender's; -1 where it is no loan's, or the lender has none.
    """
    place = code - 1
    day = min(max(day, 0), _DAY_MAX)
    e.seen_day[place] = max(e.seen_day[place], day)
    if adverse and LOAN_COUNT <= place < LOAN_COUNT + GOV_COUNT:
        e.seen_day[place + _ADVERSE] = max(e.seen_day[place + _ADVERSE], day)
    if bank_slot >= 0 and place < LOAN_COUNT:
        e.loan_seen_day[bank_slot, place] = max(e.loan_seen_day[bank_slot, place], day)
