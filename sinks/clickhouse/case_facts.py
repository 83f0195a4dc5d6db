"""The facts beside a bank's case in the archive: its loans, its consents, and of each alert its transactions."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

from domain.events import AuthorizationPurpose
from domain.outputs import Alert, CaseRecord
from sinks.clickhouse.connection import Connection
from sinks.clickhouse.consents import consent_at
from sinks.clickhouse.loan_facts import LoanFacts, loan_facts
from sinks.clickhouse.own_transactions import OwnTransaction, own_transactions


class CaseFacts(NamedTuple):
    """All of it is of the bank itself. consents: ids of authorizations in force by purpose. transactions: by alert_id.

    up_to: the offset of the log up to which it is told.
    """

    up_to: int
    loans: list[LoanFacts]
    consents: dict[AuthorizationPurpose, str]
    transactions: dict[str, list[OwnTransaction]]


def case_facts(db: Connection, case: CaseRecord, alerts: Sequence[Alert]) -> CaseFacts:
    """Return what the bank of a case has reported, as of the newest of the case and its alerts.

    The transactions of an alert are those as of itself; those of a notice, which tells no offset, as of the case. Raise
    Unavailable or Refused where ClickHouse fails.
    """
    bank_id, enterprise_id = case.bank_id, case.enterprise_id
    up_to = max([case.offset, *(alert.offset for alert in alerts)])
    as_of = max([case.as_of, *(alert.as_of for alert in alerts)])
    consents = {
        purpose: found
        for purpose in get_args(AuthorizationPurpose)
        if (found := consent_at(db, bank_id, enterprise_id, purpose, as_of - 1)) is not None
    }
    transactions = {
        alert.alert_id: own_transactions(
            db, alert.signal, bank_id, enterprise_id, alert.as_of, up_to if alert.offset < 0 else alert.offset
        )
        for alert in alerts
    }
    return CaseFacts(up_to, loan_facts(db, bank_id, enterprise_id, up_to), consents, transactions)
