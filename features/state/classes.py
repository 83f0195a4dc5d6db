"""The class of a transaction (first match wins, docs/indicators.md), and what each class adds to the buckets.

There are twelve exclusive classes. A return is counted at its own time, beside its original, which leaves its class.
Unrated is an amount in a currency without a rate: it is only counted, and a window that holds one is not covered.
Reversals are no class: they undo one.

`CLASS_OF` and `OVERLAYS_OF` are indexed [direction, purpose, kind]; purpose and kind 0 are null. Amounts and counts
have columns of their own. `AMOUNT_COLUMNS` and `COUNT_COLUMNS` give, for each name of the catalogue and for sums like
IN, the range of columns that it adds up: (first, after the last).
"""

import typing

import numpy as np

from domain.events import CounterpartyKind, Purpose

CLASSES = (
    "op_in", "fin_in", "cash_in", "oth_in", "own_in",
    "op_out", "pay", "tax", "lsv", "cash_out", "oth_out", "own_out",
    "ret_d", "ret_c", "unrated",
)  # fmt: skip
(
    OP_IN, FIN_IN, CASH_IN, OTH_IN, OWN_IN, OP_OUT, PAY, TAX, LSV, CASH_OUT, OTH_OUT, OWN_OUT, RET_D, RET_C, UNRATED,
) = np.arange(len(CLASSES))  # fmt: skip  # values: of literals, numba would compile what takes a class once each
OVERLAYS = ("pers_in", "pers_out", "nonprod_out")  # counted again, beside the class; in a mask, bit i is OVERLAYS[i]
PERS_IN, PERS_OUT, NONPROD_OUT = 1, 2, 4

OF_LOANS = ("bullet", "refinanced")  # what loans say of the amounts in lsv (refinancing.py)
AMOUNTS = CLASSES[:UNRATED] + OVERLAYS + OF_LOANS
OVERLAY_BASE, OVERLAY_COUNT = UNRATED, len(OVERLAYS)
BULLET, REFINANCED = (np.int64(AMOUNTS.index(name)) for name in OF_LOANS)
COUNTS = ("op_in", "else_in", "OPOUT", "else_out", "ret_d", "ret_c", "unrated")  # a transaction counts in one
_AMOUNT_SUMS = {"IN": (OP_IN, OWN_IN), "OUT": (OP_OUT, OWN_OUT), "OPOUT": (OP_OUT, LSV)}
AMOUNT_COLUMNS = {name: (i, i + 1) for name, i in zip(AMOUNTS, np.arange(len(AMOUNTS)), strict=True)} | _AMOUNT_SUMS
_OF_COUNTS = {name: (i, i + 1) for name, i in zip(COUNTS, np.arange(len(COUNTS)), strict=True) if "else" not in name}
COUNT_COLUMNS = _OF_COUNTS | {"IN": (np.int64(0), np.int64(2)), "OUT": (np.int64(2), np.int64(4))}

CREDIT, DEBIT = 0, 1
PURPOSES: tuple[str | None, ...] = (None, *typing.get_args(Purpose))
KINDS: tuple[str | None, ...] = (None, *typing.get_args(CounterpartyKind))
PURPOSE_INDEX = {name: i for i, name in enumerate(PURPOSES)}
KIND_INDEX = {name: i for i, name in enumerate(KINDS)}


def class_of(direction: int, purpose: str | None, kind: str | None) -> np.integer:
    """Return the class of a booked transaction.

    Lender lists, related parties and matched own pairs are not known yet.
    """
    unsaid = purpose in (None, "other")
    credit = direction == CREDIT
    if purpose in ("own_transfer", "margin", "wealth") or kind == "internal":
        return OWN_IN if credit else OWN_OUT
    if purpose == "cash":
        return CASH_IN if credit else CASH_OUT
    if credit:
        if purpose in ("loan_disbursement", "financing") or (unsaid and kind == "financial"):
            return FIN_IN
        if purpose in ("sales", "bill_collection", "bill_discount"):
            return OP_IN
        return OP_IN if unsaid and kind in ("corporate", "government", "personal") else OTH_IN
    if purpose in ("loan_repayment", "interest"):
        return LSV
    if purpose == "payroll":
        return PAY
    if purpose in ("tax", "social_security"):
        return TAX
    if purpose in ("purchase", "utility", "rent", "fee") or (unsaid and kind == "corporate"):
        return OP_OUT
    return OTH_OUT


def overlays_of(direction: int, purpose: str | None, kind: str | None) -> int:
    """Return the mask of overlays that a transaction counts in.

    Own transfers are outside IN and OUT, and of their parts.
    """
    category = class_of(direction, purpose, kind)
    if category in (OWN_IN, OWN_OUT):
        return 0
    person = kind == "personal"
    if direction == CREDIT:
        return PERS_IN if person else 0
    unproductive = category == CASH_OUT or purpose == "investment" or (person and purpose in (None, "other"))
    return (PERS_OUT if person and purpose != "payroll" else 0) | (NONPROD_OUT if unproductive else 0)


def count_of(category: int) -> int:
    """Return the column that a transaction of a class counts in; -1 for own transfers."""
    name = CLASSES[category]
    if category in range(*_AMOUNT_SUMS["OPOUT"]):
        name = "OPOUT"
    elif category in range(*_AMOUNT_SUMS["OUT"]):
        name = "else_out"
    elif category in range(*_AMOUNT_SUMS["IN"]) and category != OP_IN:
        name = "else_in"
    return COUNTS.index(name) if name in COUNTS else -1


def _table(of: typing.Callable[[int, str | None, str | None], int | np.integer]) -> np.ndarray:
    return np.array([[[of(d, p, k) for k in KINDS] for p in PURPOSES] for d in (CREDIT, DEBIT)], np.int8)


CLASS_OF, OVERLAYS_OF = _table(class_of), _table(overlays_of)
COUNT_OF = np.array([count_of(category) for category in range(len(CLASSES))], np.int8)
for _frozen in (CLASS_OF, OVERLAYS_OF, COUNT_OF):
    _frozen.setflags(write=False)
