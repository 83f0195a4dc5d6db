"""Principal that falls due at once and is repaid in time: debt service that says nothing of the strength to pay.

Loan service in the buckets holds whatever was debited. Of it, `bullet` is principal of loans that are repaid in one
payment, while the lender reported no days past due; `refinanced` is the part of that within three days of which a loan
was granted, drawn or renewed. Order-dependent: it takes events as they come.

Fields of one enterprise: lent_day int32, the newest day of a grant, draw or renewal; the two columns of the buckets.
"""

from features.state import buckets
from features.state.classes import BULLET, REFINANCED
from kernels.decorators import kernel

DAYS = 3


@kernel
def repay(e, day, fen):
    """Take in `fen` of principal that was repaid in one payment and in time."""
    buckets.add_amount(e, day, BULLET, fen)
    if day - DAYS <= e.lent_day <= day + DAYS:
        buckets.add_amount(e, day, REFINANCED, fen)


@kernel
def lend(e, day):
    """Take in that a loan was granted, drawn or renewed: repayments of the three days before count as refinanced."""
    e.lent_day = max(e.lent_day, day)
    for before in range(day - DAYS, day + 1):
        helped = _of_day(e, before, BULLET) - _of_day(e, before, REFINANCED)
        if helped > 0:
            buckets.add_amount(e, before, REFINANCED, helped)


@kernel
def _of_day(e, day, column):
    return buckets.day_amount(e, day, day, (column, column + 1))
