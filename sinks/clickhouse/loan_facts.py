"""The query for what a bank itself has reported of its loans to an enterprise, as of a place in the log.

An alert has the numbers of its loans and their ids; this has the rest, under the same ids. It is cut to one bank by its
parameters: it can return nothing that another one sent.
"""

from collections.abc import Collection

from sinks.clickhouse.connection import Connection
from sinks.routing import Handler

FACTS = (
    "contract_no", "customer_no", "product_code", "branch_code", "manager_no", "guarantee_type", "five_class",
    "classified_on", "declared_use", "repayment_method", "granted_on", "principal_minor",
)  # fmt: skip


def loan_facts(database: str) -> str:
    """Return a query for (loan_id, the newest of each of FACTS that was reported, guarantors) of each loan, by id.

    Its parameters: bank and enterprise String; up_to Int64, an offset of the enterprise's partition of `events.v1`, as
    alerts have it: what came later is left out. A fact that was never reported is null.
    """
    last = "(event_time, log_offset)"
    facts = ", ".join(f"argMaxIf({name}, {last}, {name} IS NOT NULL) AS {name}" for name in FACTS)
    return f"""SELECT loan_id, {facts}, argMax(guarantors, {last}) AS guarantors
        FROM {database}.loan FINAL
        WHERE bank_id = {{bank:String}} AND enterprise_id = {{enterprise:String}} AND log_offset <= {{up_to:Int64}}
        GROUP BY loan_id ORDER BY loan_id"""


def handlers(db: Connection, bank_id: str, enterprise_id: str, up_to: int, loan_ids: Collection[str]) -> list[Handler]:
    """Return who looks after the loans `loan_ids` of a bank, as far as it has reported it up to an offset of the log.

    Raise Unavailable or Refused where ClickHouse fails.
    """
    found = db.rows(loan_facts(db.database), {"bank": bank_id, "enterprise": enterprise_id, "up_to": up_to})
    branch, manager = 1 + FACTS.index("branch_code"), 1 + FACTS.index("manager_no")
    return [Handler(row[branch], row[manager]) for row in found if row[0] in loan_ids]
