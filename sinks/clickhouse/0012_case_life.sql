-- The newest of what may be null: argMax alone passes over nulls, so that a closed case still had a due day, one that had
-- cleared its last level, and one that was returned its conclusion.
DROP VIEW IF EXISTS {database}.case_life;
CREATE VIEW IF NOT EXISTS {database}.case_life AS
SELECT
    bank_id,
    case_id,
    opened_at,
    any(enterprise_id) AS enterprise,
    argMax(record.state, place) AS state_now,
    max(record.severity = 'red') AS was_red,
    max(record.severity = 'orange') AS was_orange,
    argMax(tuple(record.severity), place).1 AS severity_now,
    argMax(record.escalation, place) AS escalation_now,
    argMax(record.exposure_minor, place) AS exposure,
    argMax(tuple(record.due), place).1 AS due_now,
    argMax(tuple(record.disposition), place).1 AS disposition_now,
    argMax(tuple(record.until), place).1 AS until_now,
    argMax(tuple(record.maker), place).1 AS maker_now,
    argMaxIf(record.checker, place, record.change = 'approved') AS checked_by,
    argMaxIf(tuple(record.measure), place, record.change = 'submitted').1 AS measure_taken,
    argMaxIf(tuple(record.remark), place, record.change = 'submitted').1 AS remark_made,
    minIf(record.as_of, record.change = 'signed') AS signed_at,
    minIf(record.as_of, record.change = 'begun') AS begun_at,
    minIf(record.as_of, record.change = 'submitted') AS submitted_at,
    maxIf(record.as_of, record.state IN ('disposed', 'false_alarm', 'resolved', 'undelivered')) AS closed_at,
    countIf(record.change = 'overdue') AS times_overdue,
    countIf(record.change = 'signed') AS times_signed,
    multiIf(
        countIf(record.change = 'begun') > 0,
        intDiv(toUnixTimestamp64Milli(minIf(record.as_of, record.change = 'begun')) - 1 + 28800000, 86400000)
            <= argMinIf(record.contact_due, place, record.change = 'begun'),
        countIf(record.change = 'overdue' AND record.state IN ('awaiting', 'signed')) > 0, 0,
        NULL
    ) AS contact_kept,
    multiIf(
        countIf(record.change = 'submitted') > 0,
        intDiv(toUnixTimestamp64Milli(minIf(record.as_of, record.change = 'submitted')) - 1 + 28800000, 86400000)
            <= argMinIf(ifNull(record.visit_due, record.contact_due), place, record.change = 'submitted'),
        countIf(record.change = 'overdue' AND record.state IN ('checking', 'in_review')) > 0, 0,
        NULL
    ) AS visit_kept,
    max(place) AS newest
FROM
(
    SELECT *, (log_offset, seq) AS place FROM {database}.case_record FINAL
) AS record
GROUP BY bank_id, case_id, opened_at;
