"""Principal that falls due at once, and is repaid in time: debt service that takes no strength to pay.

Loan service in the buckets holds whatever was debited. Of it, `bullet` is principal of loans that are repaid at one
stroke, paid while the lender reported no days past due; `refinanced` is the part of that within three days of which a
loan was granted, drawn or renewed. Order-dependent: it takes facts as they come.

Fields of one enterprise: lent_day int32, the newest day of a grant, draw or renewal; the two columns of the buckets.
"""

from features.state import buckets
from features.state.classes import BULLET, REFINANCED
from kernels.decorators import kernel

DAYS = 3


@kernel
def repay(e, day, fen):
    """`fen` of principal were repaid at one stroke and in time."""
    buckets.add_amount(e, day, BULLET, fen)
    if day - DAYS <= e.lent_day <= day + DAYS:
        buckets.add_amount(e, day, REFINANCED, fen)


@kernel
def lend(e, day):
    """A loan was granted, drawn or renewed: what was repaid in the three days before it was with its help."""
    e.lent_day = max(e.lent_day, day)
    for before in range(day - DAYS, day + 1):
        helped = _of_day(e, before, BULLET) - _of_day(e, before, REFINANCED)
        if helped > 0:
            buckets.add_amount(e, before, REFINANCED, helped)


@kernel
def _of_day(e, day, column):
    return buckets.day_amount(e, day, day, (column, column + 1))
