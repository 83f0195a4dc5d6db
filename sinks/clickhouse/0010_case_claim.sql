-- What a revision did to its reader's case, and what the case's claim is made of: case_points_milli[i] thousandths of a
-- logit of the signal, or of the score, that case_names[i] names.
ALTER TABLE {database}.alert
    ADD COLUMN IF NOT EXISTS case_state LowCardinality(String) AFTER case_severity,
    ADD COLUMN IF NOT EXISTS case_severity_before LowCardinality(String) AFTER case_state,
    ADD COLUMN IF NOT EXISTS case_pd_12m_ppm Nullable(Int32) AFTER case_severity_before,
    ADD COLUMN IF NOT EXISTS case_names Array(LowCardinality(String)) AFTER case_pd_12m_ppm,
    ADD COLUMN IF NOT EXISTS case_points_milli Array(Int32) AFTER case_names;
ALTER TABLE {database}.alert_backfill
    ADD COLUMN IF NOT EXISTS case_state LowCardinality(String) AFTER case_severity,
    ADD COLUMN IF NOT EXISTS case_severity_before LowCardinality(String) AFTER case_state,
    ADD COLUMN IF NOT EXISTS case_pd_12m_ppm Nullable(Int32) AFTER case_severity_before,
    ADD COLUMN IF NOT EXISTS case_names Array(LowCardinality(String)) AFTER case_pd_12m_ppm,
    ADD COLUMN IF NOT EXISTS case_points_milli Array(Int32) AFTER case_names;
ALTER TABLE {database}.alert_told
    ADD COLUMN IF NOT EXISTS case_state LowCardinality(String) AFTER case_severity,
    ADD COLUMN IF NOT EXISTS case_severity_before LowCardinality(String) AFTER case_state,
    ADD COLUMN IF NOT EXISTS case_pd_12m_ppm Nullable(Int32) AFTER case_severity_before,
    ADD COLUMN IF NOT EXISTS case_names Array(LowCardinality(String)) AFTER case_pd_12m_ppm,
    ADD COLUMN IF NOT EXISTS case_points_milli Array(Int32) AFTER case_names;

-- An alert that no case was named for is a case of its own, where cases had no claim yet; else it moved no case.
DROP VIEW IF EXISTS {database}.case_now;
CREATE VIEW IF NOT EXISTS {database}.case_now AS
SELECT
    if(last_case = '', alert_id, last_case) AS case_id,
    any(of_enterprise) AS enterprise_id,
    argMax(if(last_case_severity = '', last_severity, last_case_severity), newest) AS severity,
    countIf(last_state IN ('raised', 'upgraded', 'downgraded', 'stale')) AS open_alerts,
    count() AS alerts,
    min(opened) AS opened_at,
    max(newest.1) AS as_of
FROM
(
    SELECT
        alert_id,
        any(enterprise_id) AS of_enterprise,
        argMax(alert.case_id, revision) AS last_case,
        argMax(alert.case_severity, revision) AS last_case_severity,
        argMax(alert.severity, revision) AS last_severity,
        argMax(state, revision) AS last_state,
        argMax(tuple(alert.case_pd_12m_ppm), revision).1 AS last_pd,
        min(alert.opened_at) AS opened,
        max((alert.as_of, log_offset)) AS newest
    FROM {database}.alert AS alert
    GROUP BY alert_id
)
WHERE last_case != '' OR last_pd IS NULL
GROUP BY case_id;
