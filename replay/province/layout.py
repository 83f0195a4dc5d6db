"""The dtypes that the kernels read and write: enterprises, accounts, links, loans and events.

Days are day numbers, times epoch milliseconds, amounts fen (of a dollar account: cents).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from domain.events import CounterpartyKind, Direction, LoanEvent, Purpose

NEVER = 2**30  # a day after all others
NOBODY = -1

(
    SOUND, CUSTOMER_LOSS, SLOW_DECAY, SUDDEN_STOP, SIPHONING, DEBT_SPIRAL, OVER_EXPANSION, WINDOW_DRESSING, FRAUD,
    SEASONAL_STOP, PROJECT_GAP, DEAD_FEED,
) = range(12)  # fmt: skip  # in the order of tables.SCENARIOS
FAILS, RECOVERS = 1, 2  # end of a scenario; 0: no trouble

FIRM = np.dtype(
    [
        # traits
        ("industry", "|i1"), ("size", "|i1"), ("region", "|i1"), ("borrows", "|u1"), ("consent", "|i1"),
        ("base", "<f8"),  # sales of a usual month
        ("growth", "<f8"),  # of a day
        ("noise", "<f8"),  # of a month's sales
        ("purchases", "<f8"), ("payroll", "<f8"), ("rent", "<f8"), ("utility", "<f8"),
        ("tax", "<f8"),
        ("payroll_day", "|i1"), ("rent_day", "|i1"), ("utility_day", "|i1"), ("rent_every", "|i1"),
        ("tax_every", "|i1"),
        ("bonus", "<f8"),  # before the lunar New Year, in months' wages
        ("cash_chance", "<f8"), ("reimburse_chance", "<f8"), ("from_persons", "<f8"),
        ("public", "<f8"), ("takings", "|i1"), ("projects", "|u1"), ("exports", "<f8"),
        ("target", "<f8"),  # wanted cash
        ("link_first", "<i4"), ("link_count", "<i4"),
        ("account", "<i4"),  # settlement
        ("account_first", "<i4"), ("account_count", "<i4"), ("dollars", "<i4"),
        ("related", "<i4", (2,)),  # parties
        ("risk", "<f8"),
        # course
        ("scenario", "|i1"), ("ending", "|i1"), ("onset", "<i4"),
        ("turn", "<i4"),  # day of failure, or of the lowest point
        ("over", "<i4"),  # end of the recovery, or of the arrears
        ("arrears_from", "<i4"), ("arrears_until", "<i4"),  # without payments to lenders between them
        ("depth", "<f8"), ("strain", "<f8"), ("squeeze", "<f8"),
        ("after", "<f8"),  # share of business left after failure
        ("moves_on", "<i4"), ("moves_to", "<i4"),  # change of bank: day and account
        ("stop_month", "|i1"), ("stop_months", "|i1"),  # each year's stop
        # state
        ("stream", "<u8"),
        ("shock", "<f8"), ("month_level", "<f8"), ("demand", "<f8"), ("pace", "<f8"), ("staff", "<f8"),
        ("course", "<f8"),
        ("received", "<f8"),  # sales of the day
        ("sold", "<f8"),  # since the last tax
        ("owed_wages", "<f8"), ("owed_tax", "<f8"), ("owed_rent", "<f8"),
        ("hidden_debt", "<f8"), ("propped", "<f8"), ("bridge", "<f8"), ("bridge_day", "<i4"), ("stock", "<f8"),
        ("dues_day", "<i4"),  # until then it saves for a bullet loan
        ("transfers", "<i4"),  # number of this evening's
    ]
)  # fmt: skip
ACCOUNT = np.dtype(
    [
        ("firm", "<i4"), ("bank", "<i2"), ("slot", "|i1"), ("dollars", "|u1"),
        ("balance", "<i8"), ("pending", "<i8"),
        ("opened", "<i4"),
        ("silent_from", "<i4"), ("silent_until", "<i4"),  # not reported by the bank between them
    ]
)  # fmt: skip
# A regular payment: `firm` pays `party` where `pays`, otherwise it is paid. Where both are of the province the payer
# has the link, which also credits the other's account.
LINK = np.dtype(
    [
        ("firm", "<i4"), ("party", "<i4"), ("pays", "|u1"), ("kind", "|i1"), ("account", "<i4"),
        ("other_account", "<i4"),
        ("share", "<f8"),  # of the firm's sales, or of its purchases
        ("every", "<f8"),  # days
        ("plan", "<f8"),  # day of the next payment, as planned
        ("next", "<i4"),  # with its delay
        ("owed", "<f8"),  # missed payments to be made up for
        ("from", "<i4"), ("until", "<i4"),
    ]
)  # fmt: skip
PLANNED, OPEN, CLOSED, DEFAULTED, GONE = range(5)
BULLET, INSTALMENT, REVOLVING = range(3)  # in the order of tables.LOAN_KINDS
LINES_MAX = 36
LOAN = np.dtype(
    [
        ("firm", "<i4"), ("account", "<i4"), ("kind", "|i1"), ("state", "|i1"),
        ("number", "<i2"),  # of the firm's loans
        ("principal", "<i8"), ("limit", "<i8"), ("outstanding", "<i8"), ("rate", "<f8"),  # rate: a year
        ("granted", "<i4"),  # of a planned one: the earliest day
        ("term", "|i1"),  # months, one line a month
        ("paid", "|i1"),  # lines
        ("renews", "<i4"), ("again", "|i1"),  # again: successor (0 none, 1 renewal, 2 a new loan)
        ("guarantor", "<i4", (2,)), ("calls", "|i1"),
        ("default_day", "<i4"), ("late_until", "<i4"),  # late_until: a missed due date is paid then
        ("due_day", "<i4", (LINES_MAX,)), ("due_principal", "<i8", (LINES_MAX,)),
    ]
)  # fmt: skip

# (direction, purpose, kind of counterparty, channel) of a row of MOVE
KINDS: tuple[tuple[Direction, Purpose, CounterpartyKind | None, str], ...] = (
    ("C", "sales", "corporate", "ebank"),
    ("C", "sales", "government", "ebank"),
    ("C", "sales", "corporate", "platform"),
    ("C", "sales", "personal", "platform"),
    ("C", "cash", None, "counter"),
    ("C", "other", "personal", "ebank"),
    ("C", "other", "corporate", "ebank"),
    ("C", "own_transfer", "internal", "ebank"),
    ("C", "loan_disbursement", "financial", "counter"),
    ("C", "financing", "financial", "ebank"),
    ("C", "financing", "personal", "ebank"),
    ("C", "interest", "financial", "batch"),
    ("C", "refund", "corporate", "ebank"),
    ("D", "purchase", "corporate", "ebank"),
    ("D", "purchase", "personal", "ebank"),
    ("D", "payroll", "personal", "batch"),
    ("D", "tax", "government", "batch"),
    ("D", "social_security", "government", "batch"),
    ("D", "utility", "corporate", "batch"),
    ("D", "rent", "corporate", "ebank"),
    ("D", "fee", "financial", "batch"),
    ("D", "cash", None, "counter"),
    ("D", "other", "personal", "ebank"),
    ("D", "other", "corporate", "ebank"),
    ("D", "own_transfer", "internal", "ebank"),
    ("D", "loan_repayment", "financial", "batch"),
    ("D", "interest", "financial", "batch"),
    ("D", "loan_repayment", "corporate", "ebank"),
    ("D", "loan_repayment", "personal", "ebank"),
    ("D", "investment", "corporate", "ebank"),
    ("D", "other", "financial", "batch"),
)
(
    SALE, SALE_GOVERNMENT, SALE_PLATFORM, SALE_PERSON, CASH_IN, FROM_PERSON, FROM_COMPANY, OWN_IN, LENT, NEW_LENDER,
    PRIVATE_LENDER, INTEREST_IN, REFUND, BUY, BUY_PERSON, PAYROLL, TAX, SOCIAL, UTILITY, RENT, FEE, CASH_OUT, TO_PERSON,
    TO_COMPANY, OWN_OUT, REPAY, INTEREST, SHADOW_REPAY, PRIVATE_REPAY, INVEST, CALLED,
) = range(len(KINDS))  # fmt: skip
IS_CREDIT = np.array([direction == "C" for direction, *_ in KINDS])
IS_CREDIT.setflags(write=False)

BOOKED, RETURNED, REVERSED = range(3)
MOVE = np.dtype(  # one posting; seq and balance are set by number_moves
    [
        ("time_ms", "<i8"), ("account", "<i4"), ("kind", "|i1"), ("status", "|i1"), ("flaw", "|i1"), ("party", "<i4"),
        ("amount", "<i8"), ("balance", "<i8"), ("seq", "<i4"), ("ref_seq", "<i4"), ("ref_ms", "<i8"),
    ]
)  # fmt: skip
LOAN_EVENTS: tuple[LoanEvent, ...] = (
    "granted", "drawn", "instalment_due", "repaid", "overdue", "classified", "default", "closed", "renewed",
    "compensated", "written_off",
)  # fmt: skip
(
    GRANTED, DRAWN, INSTALMENT_DUE, REPAID, OVERDUE, CLASSIFIED, DEFAULT, CLOSE, RENEWED, COMPENSATED, WRITTEN_OFF,
) = range(len(LOAN_EVENTS))  # fmt: skip
FACT = np.dtype(  # one fact of a loan, as its lender reports it
    [
        ("time_ms", "<i8"), ("loan", "<i4"), ("event", "|i1"), ("outstanding", "<i8"), ("due_day", "<i4"),
        ("due", "<i8"), ("dpd", "<i4"), ("serial", "<i4"),
    ]
)  # fmt: skip
UNDO = np.dtype(  # a planned return or reversal of an original, whose seq and time number_moves sets
    [("day", "<i4"), ("account", "<i4"), ("kind", "|i1"), ("status", "|i1"), ("party", "<i4"), ("amount", "<i8"),
     ("move", "<i8"), ("seq", "<i4"), ("time_ms", "<i8")]
)  # fmt: skip
COUNTS = ("moves", "facts", "loans", "undos")
MOVES, FACTS, LOANS, UNDOS = range(len(COUNTS))
# Days of the calendar, one row each.
DAY = np.dtype(
    [
        ("day", "<i4"), ("start_ms", "<i8"), ("business", "|u1"), ("month", "<i4"), ("month_of_year", "|i1"),
        ("month_begins", "|u1"),
        ("dom_first", "|i1"), ("dom_last", "|i1"),  # days of the month booked on it; none: 1, 0
        ("wraps", "|u1"),  # dom_first … 31 and 1 … dom_last
        ("to_festival", "<i4"),  # days until the nearest lunar New Year, negative after it
        ("left_in_month", "|i1"), ("since_month_end", "|i1"),  # business days
    ]
)  # fmt: skip

Firms = npt.NDArray[np.void]
Accounts = npt.NDArray[np.void]
Links = npt.NDArray[np.void]
Loans = npt.NDArray[np.void]
Moves = npt.NDArray[np.void]
Facts = npt.NDArray[np.void]
Undos = npt.NDArray[np.void]
Days = npt.NDArray[np.void]


def zeros(dtype: np.dtype[np.void], count: int, **values: Any) -> npt.NDArray[np.void]:
    """Return rows of zeros, with these fields set."""
    found = np.zeros(count, dtype)
    for name, value in values.items():
        found[name] = value
    return found
