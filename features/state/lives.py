"""The case of each bank, from its opening until somebody has disposed of it: the state of detectors/case_life.py.

Arrays of one enterprise, by bank slot: life_key uint64 (8) the case_key (detectors/cases.py) that it is of, 0: none;
life_stage, life_disposition, life_level, life_escalation uint8 (8); life_clock uint8 (8), bits;
life_maker uint64 (8) a hash of the maker's token; life_opened_ms int64 ms (8);
life_submitted_offset int64 (8) of the newest submission in the log;
life_contact_day, life_visit_day, life_until_day int32 (8) day numbers, 0: none.
"""

from kernels.decorators import kernel

NONE, AWAITING, SIGNED, CHECKING, IN_REVIEW, CLOSED = range(6)
# Of life_clock: no open signal can be told; all only wait for their hysteresis; it came or became graver so.
IS_STALE, IS_WATCHED, IS_WORK = 1, 2, 4


@kernel
def is_live(e, b):
    """Return whether the bank in slot b has a case that is not closed."""
    return e.life_stage[b] != NONE and e.life_stage[b] != CLOSED


@kernel
def forget_bank(e, b):
    """Forget the case of the bank that had slot b."""
    e.life_key[b], e.life_maker[b], e.life_opened_ms[b], e.life_submitted_offset[b] = 0, 0, 0, 0
    e.life_stage[b], e.life_disposition[b], e.life_level[b], e.life_escalation[b] = NONE, 0, 0, 0
    e.life_contact_day[b], e.life_visit_day[b], e.life_until_day[b], e.life_clock[b] = 0, 0, 0, 0
