-- What the dashboard needs beside transactions, scores and alerts.

-- Transactions are kept for 25 months after they came into the log, not after they happened: a replay of years that
-- are long past would otherwise lose its rows as it stores them.
ALTER TABLE {database}.txn ADD COLUMN IF NOT EXISTS log_time DateTime64(3, 'UTC') DEFAULT event_time AFTER log_offset;
ALTER TABLE {database}.txn MODIFY TTL toDateTime(log_time) + INTERVAL 25 MONTH;

ALTER TABLE {database}.alert ADD COLUMN IF NOT EXISTS case_id String AFTER episode_id;
ALTER TABLE {database}.alert ADD COLUMN IF NOT EXISTS case_severity LowCardinality(String) AFTER case_id;
ALTER TABLE {database}.alert ADD COLUMN IF NOT EXISTS log_time DateTime64(3, 'UTC') DEFAULT as_of AFTER seq;

-- What a backfill would have raised.
CREATE TABLE IF NOT EXISTS {database}.alert_backfill AS {database}.alert;

-- An alert that no case was named for is a case of its own.
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
        min(alert.opened_at) AS opened,
        max((alert.as_of, log_offset)) AS newest
    FROM {database}.alert AS alert
    GROUP BY alert_id
)
GROUP BY case_id;

-- One fact about one loan. As with transactions, the first body of an event id wins. A customer's name goes to its
-- lender alone and stands here nowhere.
CREATE TABLE IF NOT EXISTS {database}.loan
(
    enterprise_id String,
    bank_id LowCardinality(String),
    event_id String,
    event_time DateTime64(3, 'UTC'),
    loan_id String,
    event LowCardinality(String),
    principal_minor Int64,
    outstanding_minor Int64,
    limit_minor Nullable(Int64),
    revolving UInt8,
    repayment_method LowCardinality(String),
    granted_on String,
    due_on Nullable(String),
    due_minor Nullable(Int64),
    dpd Nullable(Int32),
    five_class LowCardinality(Nullable(String)),
    classified_on Nullable(String),
    renews_loan_id Nullable(String),
    schedule_due_on Array(String),
    schedule_due_minor Array(Int64),
    declared_use Nullable(String),
    entrusted_payee_id Nullable(String),
    guarantee_type LowCardinality(Nullable(String)),
    guarantors Array(String),
    customer_no Nullable(String),
    contract_no Nullable(String),
    product_code LowCardinality(Nullable(String)),
    branch_code LowCardinality(Nullable(String)),
    manager_no LowCardinality(Nullable(String)),
    first_loan UInt8,
    reason Nullable(String),
    log_partition Int32,
    log_offset Int64,
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (enterprise_id, bank_id, loan_id, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- The newest master record of each enterprise.
CREATE TABLE IF NOT EXISTS {database}.enterprise
(
    enterprise_id String,
    event_time DateTime64(3, 'UTC'),
    industry LowCardinality(String),
    region LowCardinality(String),
    size_class LowCardinality(String),
    registered_capital_minor Nullable(Int64),
    paid_in_capital_minor Nullable(Int64),
    opened_on Nullable(String),
    declared_annual_sales_minor Nullable(Int64),
    related_party_ids Array(String),
    name_masked Nullable(String),
    succeeds_id Nullable(String),
    log_partition Int32,
    log_offset Int64,
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY enterprise_id
SETTINGS non_replicated_deduplication_window = 1000;

-- The newest score of each enterprise: `version` is (log_offset, seq) as one number. Not a materialized view: a block
-- that is retried after its view failed is taken for done, and the view would never hear of it.
CREATE TABLE IF NOT EXISTS {database}.score_now
(
    enterprise_id String,
    log_offset Int64,
    seq Int32,
    as_of DateTime64(3, 'UTC'),
    score Int32,
    score_milli Int32,
    p_overdue30_90d_ppm Int32,
    pd_12m_ppm Nullable(Int32),
    status LowCardinality(String),
    status_reason String,
    grade LowCardinality(String),
    published_grade LowCardinality(String),
    fund_scale_milli Int32,
    flow_stability_milli Int32,
    transaction_activity_milli Int32,
    income_growth_milli Int32,
    counterparty_structure_milli Int32,
    repayment_capacity_milli Int32,
    cap_milli Int32,
    coverage_ppm Int32,
    prior UInt8,
    reason_indicators Array(String),
    reason_points_milli Array(Int32),
    reason_values_micro Array(Nullable(Int64)),
    reason_baselines_micro Array(Int64),
    model_id LowCardinality(String),
    rules_id LowCardinality(String),
    engine_version LowCardinality(String),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY enterprise_id
SETTINGS non_replicated_deduplication_window = 1000;

-- What a day's close changed: names[i] took values_micro[i], or null for null_reasons[i].
CREATE TABLE IF NOT EXISTS {database}.indicator
(
    enterprise_id String,
    day Int32,
    as_of DateTime64(3, 'UTC'),
    names Array(LowCardinality(String)),
    values_micro Array(Nullable(Int64)),
    null_reasons Array(LowCardinality(String)),
    catalogue_id LowCardinality(String),
    engine_version LowCardinality(String),
    log_offset Int64,
    seq Int32,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(as_of)
ORDER BY (enterprise_id, day, log_offset, seq)
SETTINGS non_replicated_deduplication_window = 1000;

-- A record that was not applied (dlq.v1, late.v1), without its payload, key and headers: those stay in Kafka.
CREATE TABLE IF NOT EXISTS {database}.dead_letter
(
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    reason LowCardinality(String),
    field LowCardinality(Nullable(String)),
    payload_sha256 String,
    payload_bytes Int64,
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition, offset, reason)
TTL toDateTime(log_time) + INTERVAL 25 MONTH
SETTINGS non_replicated_deduplication_window = 1000;

-- How far each bank's feed is, as the writer of the ticks last said. Days are day numbers.
CREATE TABLE IF NOT EXISTS {database}.feed
(
    bank_id String,
    last_event_time Nullable(DateTime64(3, 'UTC')),
    covered_up_to Nullable(Int32),
    closed_up_to Nullable(Int32),
    stalled UInt8,
    oldest_unread_event_time Nullable(DateTime64(3, 'UTC')),
    as_of DateTime64(3, 'UTC'),
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY bank_id
SETTINGS non_replicated_deduplication_window = 1000;
