"""The class of a transaction: one of twelve exclusive buckets, first match wins (CATALOGUE §3, rules 3 to 10).

`CLASS_OF[direction, purpose, kind]` is a table, built once from the rules below; index 0 of purpose and kind stands
for null. Reversals and returns (rules 1 and 2) are not classes: they undo one.
"""

import typing

import numpy as np

from domain.events import CounterpartyKind, Purpose

CLASSES = (
    "op_in", "fin_in", "own_in", "cash_in", "oth_in",
    "op_out", "pay", "tax", "lsv", "own_out", "cash_out", "oth_out",
    "unrated",  # counted only: amounts in a currency without a rate; a window that holds one is not covered
)  # fmt: skip
OP_IN, FIN_IN, OWN_IN, CASH_IN, OTH_IN, OP_OUT, PAY, TAX, LSV, OWN_OUT, CASH_OUT, OTH_OUT, UNRATED = range(len(CLASSES))

CREDIT, DEBIT = 0, 1
PURPOSES: tuple[str | None, ...] = (None, *typing.get_args(Purpose))
KINDS: tuple[str | None, ...] = (None, *typing.get_args(CounterpartyKind))
PURPOSE_INDEX = {name: i for i, name in enumerate(PURPOSES)}
KIND_INDEX = {name: i for i, name in enumerate(KINDS)}


def class_of(direction: int, purpose: str | None, kind: str | None) -> int:
    """The class of a booked transaction. Lender lists, related parties and matched own pairs are not known yet."""
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


CLASS_OF = np.array([[[class_of(d, p, k) for k in KINDS] for p in PURPOSES] for d in (CREDIT, DEBIT)], dtype=np.int8)
CLASS_OF.setflags(write=False)
