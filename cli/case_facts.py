"""`xinliu case show --facts`: a bank's own loans, consents and transactions beside its case, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.words import say, time_text

if TYPE_CHECKING:
    from sinks.clickhouse.case_facts import CaseFacts
    from sinks.clickhouse.loan_facts import LoanFacts
    from sinks.clickhouse.own_transactions import OwnTransaction

_LOAN = {
    "contract_no": ("合同", "contract"), "customer_no": ("客户号", "customer"), "product_code": ("产品", "product"),
    "branch_code": ("网点", "branch"), "manager_no": ("客户经理", "officer"), "guarantee_type": ("担保", "guarantee"),
    "guarantors": ("保证人", "guarantors"), "five_class": ("五级分类", "five-class"),
    "classified_on": ("分类日", "classified on"), "declared_use": ("用途", "use"),
    "repayment_method": ("还款方式", "repayment"),
}  # fmt: skip
_DIRECTIONS = {"C": ("收", "in"), "D": ("付", "out")}


def before_the_alerts(facts: CaseFacts) -> Iterator[str]:
    """Yield the loans of the bank, and the consents in force for it."""
    for loan in facts.loans:
        yield say("借据 ", "loan ") + _loan(loan)
    given = [f"{purpose} {authorization}" for purpose, authorization in facts.consents.items()]
    yield say("有效授权：" + ("；".join(given) or "无"), "consents in force: " + ("; ".join(given) or "none"))


def of_an_alert(facts: CaseFacts, alert_id: str) -> Iterator[str]:
    """Yield the bank's own transactions that explain an alert."""
    for one in facts.transactions[alert_id]:
        yield _transaction(one)


def _loan(one: LoanFacts) -> str:
    granted = f"{one.granted_on} {one.principal_minor / 100:,.2f}"
    parts = [one.loan_id, say(f"{granted} 发放", f"granted {granted}")]
    for name, words in _LOAN.items():
        value = getattr(one, name)
        if value:
            parts.append(f"{say(*words)} {value if isinstance(value, str) else ' '.join(value)}")
    return "  ".join(parts)


def _transaction(one: OwnTransaction) -> str:
    parts = [
        time_text(one.event_time_ms)[:16],
        f"{say(*_DIRECTIONS[one.direction])} {one.amount_minor / 100:,.2f} {one.currency}",
        None if one.balance_minor is None else say("余额", "balance") + f" {one.balance_minor / 100:,.2f}",
        one.purpose,
        one.counterparty_kind,
        one.counterparty_id,
        one.channel,
        one.status if one.status != "booked" else None,
        one.return_reason,
        one.event_id,
    ]
    return "  ".join(part for part in parts if part)
