"""The findings that banks have disposed of: what keeps a case, and alerts, from a bank that knows of it already.

A place holds one finding of one bank, up to a day or, without one, as long as the case stands that was disposed of; and
the level of that case: a graver one comes through. Where no place is free, one without a day gives way, else the one
whose day comes first: a finding comes back too early rather than not at all.

Arrays of one enterprise, by place: disposed_finding uint32 (12) a hash of the finding, 0: free; disposed_bank int8 (12)
a bank slot; disposed_level uint8 (12); disposed_until int32 (12) a day number, UNDATED: as long as the case stands.
"""

from kernels.decorators import kernel

PLACES = 12
UNDATED = 0
_NONE = -1


@kernel
def note(e, bank, finding, level, until):
    """Note that the bank in a slot has disposed of a finding in a case of this level, up to the day `until`."""
    i = _find(e, bank, finding)
    if i == _NONE:
        i = _free(e)
    e.disposed_finding[i], e.disposed_bank[i], e.disposed_level[i], e.disposed_until[i] = finding, bank, level, until


@kernel
def holds(e, bank, finding, level, day):
    """Return whether a disposition with a day keeps alerts of a finding from a bank whose case has this level."""
    i = _find(e, bank, finding)
    return i != _NONE and level <= e.disposed_level[i] and e.disposed_until[i] > day


@kernel
def covers(e, bank, finding, level, day):
    """Return whether a bank has disposed of a finding in a case of this level or a graver one: it is no news to it."""
    i = _find(e, bank, finding)
    return i != _NONE and level <= e.disposed_level[i] and (e.disposed_until[i] > day or e.disposed_until[i] == UNDATED)


@kernel
def forget_spent(e, bank, day):
    """Forget all whose day has come, and what a bank has disposed of without one: the case of then stands no more."""
    for i in range(PLACES):
        until = e.disposed_until[i]
        if (until == UNDATED and e.disposed_bank[i] == bank) or UNDATED < until <= day:
            e.disposed_finding[i] = 0


@kernel
def forget_bank(e, bank):
    """Forget all that the bank in a slot has disposed of."""
    for i in range(PLACES):
        if e.disposed_bank[i] == bank:
            e.disposed_finding[i] = 0


@kernel
def _find(e, bank, finding):
    for i in range(PLACES):
        if e.disposed_finding[i] == finding and e.disposed_bank[i] == bank:
            return i
    return _NONE


@kernel
def _free(e):
    found = 0
    for i in range(PLACES):
        if e.disposed_finding[i] == 0:
            return i
        if e.disposed_until[i] < e.disposed_until[found]:
            found = i
    return found
