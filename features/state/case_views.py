"""The case of each reader as the state keeps it; detectors/cases.py moves it.

A reader is a view: the bank in a slot, or the supervisor, whose place is the last. Arrays of one enterprise, a place
for each view: case_key uint64 a hash of the case's opening, 0: no case; case_level uint8, 0 none to 3 red;
case_below_closes uint8, closes in a row at which the claim was below the level. Not stored: case_rises_at int32, the
logit before signals from which on some case rises; UNKNOWN: an episode has moved since it was computed.
"""

from kernels.decorators import kernel

UNKNOWN, NEVER = -(2**31), 2**31 - 1


@kernel
def forget_bank(e, slot):
    """Forget the case of the bank in a slot that goes to another bank: it spoke of the old one's loans too."""
    e.case_key[slot] = e.case_level[slot] = e.case_below_closes[slot] = 0
    e.case_rises_at = UNKNOWN
