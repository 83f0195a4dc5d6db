"""Cases: the open episodes of an enterprise that one reader sees are one case, from the first until none is left.

A bank sees the episodes of the platform and those about its own loans; the supervisor sees all. So there is a case for
each bank slot and one for the supervisor. Array of one enterprise: case_key uint64 (9), a hash of the case's opening, 0
without a case; with the enterprise and the reader it makes the case's id.
"""

import numpy as np

from detectors.episodes import EVERY_BANK
from features.state.loans import BANK_SLOTS
from kernels.decorators import kernel

SUPERVISOR = BANK_SLOTS
VIEWS = BANK_SLOTS + 1
NOTICED = ("EWS35_arrears",)  # signals of lenders of which a bank learns that another one has an episode


@kernel
def sees(view, bank):
    """Return whether the reader of `view` sees the episodes about `bank`."""
    return view == SUPERVISOR or bank in (EVERY_BANK, view)


@kernel
def opened(e, bank, t_ms, offset):
    """Open a case for each reader of an episode about `bank` who has none, at t_ms by the record at `offset`."""
    key = (np.uint64(offset + 1) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(t_ms) * np.uint64(0xBF58476D1CE4E5B9))
    for view in range(VIEWS):
        if e.case_key[view] == 0 and sees(view, bank):
            e.case_key[view] = key | np.uint64(1)


@kernel
def ended(e):
    """Close the cases whose last episode is gone."""
    for view in range(VIEWS):
        if e.case_key[view] != 0 and level(e, view) == 0:
            e.case_key[view] = 0


@kernel
def level(e, view):
    """Return the highest level of the case's open episodes; 0 without one."""
    most = 0
    for i in range(np.int64(e.episodes_open)):
        if sees(view, np.int64(e.episode_bank[i])):
            most = max(most, e.episode_level[i])
    return most
