"""The row of one record as the kernel reads it: its dtype, and the codes of its cells."""

import numpy as np

TXN, LOAN, AUTHORIZATION, GOV, PROFILE, OTHER, CASE_ACTION = range(7)
BOOKED, RETURNED, REVERSED = range(3)
LOAN_FACT, LOAN_GRANTED, LOAN_LENT, LOAN_DUE, LOAN_REPAID, LOAN_CLOSED = range(6)  # LENT: drawn or renewed
FREEZE, RELEASE, NEITHER, REVOKED = range(4)

PAYER_HASH = np.int64(1)  # the key of siphash for counterparties; for event ids and accounts it is the bank's number
# One line of a loan's schedule.
LINE = np.dtype([("due_day", "<i4"), ("due_fen", "<i8")])
RECORD = np.dtype(
    [
        ("offset", "<i8"),
        ("row", "<i4"),  # in the chunk
        ("key", "<u8", (4,)),
        ("kind", "|u1"),
        ("event", "|u1"),  # LOAN_*, FREEZE …, an action of detectors.case_life, by kind; a granted loan is observed
        ("seen", "|u1"),  # the code of its kind of event (features.state.seen)
        ("adverse", "|u1"),
        ("admitted", "|u1"),  # applied however late
        ("event_ms", "<i8"),
        ("id_hash", "<u8"),
        ("fingerprint", "<u8"),
        ("bank", "<i8"),  # whom the event concerns: the bank that sent it, the lender, the authorized bank
        ("category", "|i1"),  # class of a transaction
        ("overlays", "|u1"),  # mask of what else it counts in
        ("status", "|u1"),
        ("fen", "<i8"),  # -1: not computable; of a profile, the declared sales of a year
        ("ref_ms", "<i8"),
        ("payer", "<u8"),  # the counterparty; 0: not named
        ("account", "<u8"),
        ("number", "<i8"),  # `seq`, that the bank gave it in its account; features.state.dedup.NO_NUMBER
        ("balance", "<i8"),  # fen; features.state.balances.MISSING
        ("loan", "<u8", (4,)),
        ("outstanding", "<i8"),
        ("limit", "<i8"),
        ("revolving", "|u1"),
        ("at_once", "|u1"),  # the principal is due at one stroke
        ("dpd", "<i4"),  # -1: not reported
        ("due_day", "<i4"),  # of LOAN_DUE; of a case's disposition, until when it holds, 0: it does not
        ("matures_day", "<i4"),  # of a loan; 0: not reported, as of the next two
        ("five_class", "|u1"),
        ("guarantee", "|u1"),
        ("due_fen", "<i8"),
        ("line_first", "<i4"),  # its schedule, in the lines that go with the records
        ("line_count", "<i4"),
        ("valid_from", "<i8"),
        ("valid_to", "<i8"),
        ("case", "<u8"),  # its id
        ("actor", "<u8"),  # a hash of who acted
        ("disposition", "|u1"),  # a code of detectors.case_life; 0: none
    ]
)
