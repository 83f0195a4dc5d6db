"""What the kernel reads of one record: the dtype of a row, and the codes of its cells."""

import numpy as np

TXN, LOAN, AUTHORIZATION, GOV, OTHER = range(5)
BOOKED, RETURNED, REVERSED = range(3)
LOAN_OPENS, LOAN_CLOSES = range(2)
FREEZE, RELEASE, NEITHER, REVOKED = range(4)

PAYER_HASH = 1  # the key of siphash for counterparties; for event ids it is the bank's number
RECORD = np.dtype(
    [
        ("offset", "<i8"),
        ("row", "<i4"),  # in the chunk
        ("key", "<u8", (4,)),
        ("kind", "|u1"),
        ("event", "|u1"),  # LOAN_*, FREEZE …, by kind
        ("seen", "|u1"),  # the code of its kind of event (features.state.seen)
        ("adverse", "|u1"),
        ("event_ms", "<i8"),
        ("id_hash", "<u8"),
        ("fingerprint", "<u8"),
        ("bank", "<i8"),  # whom the event concerns: the bank that sent it, the lender, the authorized bank
        ("category", "|i1"),  # class of a transaction
        ("overlays", "|u1"),  # mask of what else it counts in
        ("status", "|u1"),
        ("fen", "<i8"),  # -1: not computable
        ("ref_ms", "<i8"),
        ("payer", "<u8"),  # 0: not named
        ("loan", "<u8", (4,)),
        ("granted", "|u1"),
        ("outstanding", "<i8"),
        ("dpd", "<i4"),  # -1: not reported
        ("valid_from", "<i8"),
        ("valid_to", "<i8"),
    ]
)
