"""The query for what a bank itself has reported of its loans to an enterprise, as of a place in the log.

An alert has the numbers of its loans and their ids; this has the rest, under the same ids. It is cut to one bank by its
parameters: it can return nothing that another one sent.
"""

from collections.abc import Collection
from typing import NamedTuple

from sinks.clickhouse.connection import Connection
from sinks.routing import Handler


class LoanFacts(NamedTuple):
    """The newest of each fact that a bank has reported of one of its loans; None where it never did."""

    loan_id: str
    contract_no: str | None
    customer_no: str | None
    product_code: str | None
    branch_code: str | None
    manager_no: str | None
    guarantee_type: str | None
    five_class: str | None
    classified_on: str | None
    declared_use: str | None
    repayment_method: str
    granted_on: str
    principal_minor: int
    guarantors: tuple[str, ...]


FACTS = LoanFacts._fields[1:-1]


def loan_facts(db: Connection, bank_id: str, enterprise_id: str, up_to: int) -> list[LoanFacts]:
    """Return the facts of a bank's loans to an enterprise, by id.

    up_to: an offset of the enterprise's partition of `events.v1`, as alerts have it: what came later is left out. Raise
    Unavailable or Refused where ClickHouse fails.
    """
    last = "(event_time, log_offset)"
    facts = ", ".join(f"argMaxIf({name}, {last}, {name} IS NOT NULL) AS {name}" for name in FACTS)
    query = f"""SELECT loan_id, {facts}, argMax(guarantors, {last}) AS guarantors
        FROM {db.database}.loan FINAL
        WHERE bank_id = {{bank:String}} AND enterprise_id = {{enterprise:String}} AND log_offset <= {{up_to:Int64}}
        GROUP BY loan_id ORDER BY loan_id"""
    rows = db.rows(query, {"bank": bank_id, "enterprise": enterprise_id, "up_to": up_to})
    return [LoanFacts._make((*row[:-1], tuple(row[-1]))) for row in rows]


def handlers(db: Connection, bank_id: str, enterprise_id: str, up_to: int, loan_ids: Collection[str]) -> list[Handler]:
    """Return who looks after the loans `loan_ids` of a bank, as far as it has reported it up to an offset of the log.

    Raise Unavailable or Refused where ClickHouse fails.
    """
    found = loan_facts(db, bank_id, enterprise_id, up_to)
    return [Handler(one.branch_code, one.manager_no) for one in found if one.loan_id in loan_ids]
