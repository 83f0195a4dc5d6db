"""The query for loans that are open, as features/state/loan_events.py has it: models learn from such borrowers."""


def open_loans(database: str, where: str = "1") -> str:
    """Return a query for (enterprise_id, bank_id, loan_id) of each loan open by its newest event.

    where: a condition on the events of loans.
    """
    last = "(event_time, log_offset)"
    return f"""SELECT enterprise_id, bank_id, loan_id FROM (
            SELECT enterprise_id, bank_id, loan_id, argMax(event, {last}) AS event,
                argMax(outstanding_minor, {last}) AS outstanding,
                argMax(revolving AND ifNull(limit_minor, 0) > 0, {last}) AS drawable
            FROM {database}.loan FINAL WHERE {where} GROUP BY enterprise_id, bank_id, loan_id
        ) WHERE event != 'closed' AND NOT (event = 'repaid' AND outstanding = 0 AND NOT drawable)"""
