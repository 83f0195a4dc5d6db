"""The places of loans of one enterprise: eight slots, which hold a loan's id, and eight places beside them.

A loan beside the slots is known by a hash of its id: all else is kept of it as of the others, so that what is read from
loans does not depend on where one stands. An id is needed only to show the loan.
"""

import numpy as np

from kernels.decorators import kernel

LOAN_SLOTS = 8
LOAN_PLACES = 16
NO_SLOT = -1


@kernel
def places(e):
    """Return the number of places that may hold a loan: all slots, and those beside them that ever held one."""
    return LOAN_SLOTS + np.int64(e.loans_beside)
