-- Every record of every bank's case, as the supervisor gets them.
CREATE TABLE IF NOT EXISTS {database}.case_record
(
    bank_id LowCardinality(String),
    case_id String,
    enterprise_id String,
    state LowCardinality(String),
    change LowCardinality(String),
    severity LowCardinality(Nullable(String)),
    opened_at DateTime64(3, 'UTC'),
    as_of DateTime64(3, 'UTC'),
    contact_due Nullable(Int32),
    visit_due Nullable(Int32),
    due Nullable(Int32),
    escalation LowCardinality(String),
    exposure_minor Int64,
    maker Nullable(String),
    checker Nullable(String),
    disposition LowCardinality(Nullable(String)),
    until Nullable(Int32),
    measure Nullable(String),
    remark Nullable(String),
    event_id Nullable(String),
    acted_at Nullable(DateTime64(3, 'UTC')),
    log_offset Int64,
    seq Int32,
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (bank_id, case_id, log_offset, seq)
SETTINGS non_replicated_deduplication_window = 1000;

-- One life of a case: from its opening, or its coming back after it was disposed of, to its newest record. Days are those
-- of UTC+8, as day numbers; a deadline is kept where the step was taken by the end of its day, and null while it may be.
CREATE VIEW IF NOT EXISTS {database}.case_life AS
SELECT
    bank_id,
    case_id,
    opened_at,
    any(enterprise_id) AS enterprise,
    argMax(record.state, place) AS state_now,
    max(record.severity = 'red') AS was_red,
    max(record.severity = 'orange') AS was_orange,
    argMax(record.severity, place) AS severity_now,
    argMax(record.escalation, place) AS escalation_now,
    argMax(record.exposure_minor, place) AS exposure,
    argMax(record.due, place) AS due_now,
    argMax(record.disposition, place) AS disposition_now,
    argMax(record.until, place) AS until_now,
    argMax(record.maker, place) AS maker_now,
    argMaxIf(record.checker, place, record.change = 'approved') AS checked_by,
    argMaxIf(record.measure, place, record.change = 'submitted') AS measure_taken,
    argMaxIf(record.remark, place, record.change = 'submitted') AS remark_made,
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

-- What became of the cases that each signal was part of, by what desks said of them.
CREATE VIEW IF NOT EXISTS {database}.signal_disposition AS
SELECT
    signal,
    count() AS disposed,
    countIf(disposition_now = 'confirmed') AS confirmed,
    countIf(disposition_now = 'false_alarm') AS false_alarms,
    countIf(disposition_now NOT IN ('confirmed', 'false_alarm')) AS others
FROM
(
    SELECT DISTINCT bank_id, case_id, signal FROM {database}.alert_told
) AS told
INNER JOIN
(
    SELECT bank_id, case_id, disposition_now FROM {database}.case_life
    WHERE state_now IN ('disposed', 'false_alarm')
) AS life USING (bank_id, case_id)
GROUP BY signal;
