-- What archive stores. Every row can come again (a restart repeats, a block is retried): rows of one sorting key are
-- one logical row, the highest `version` of them, and readers use FINAL (or argMax over version).
-- The window makes block names count (insert_deduplication_token); at its default of 0 they are ignored.

-- One transaction. An event id that comes again with another body was refused by score, which keeps the first:
-- `version` is 2^63 - offset, so the first wins here too.
CREATE TABLE IF NOT EXISTS {database}.txn
(
    enterprise_id String,
    bank_id LowCardinality(String),
    event_id String,
    event_time DateTime64(3, 'UTC'),
    date_only UInt8,
    account String,
    direction LowCardinality(String),
    amount_minor Int64,
    currency LowCardinality(String),
    amount_cny_minor Nullable(Int64),
    rate_micro Nullable(Int64),
    rate_day Nullable(Int32),
    balance_minor Nullable(Int64),
    counterparty_id Nullable(String),
    counterparty_account Nullable(String),
    counterparty_bank_code LowCardinality(Nullable(String)),
    counterparty_kind LowCardinality(Nullable(String)),
    purpose LowCardinality(Nullable(String)),
    summary_code LowCardinality(Nullable(String)),
    channel LowCardinality(Nullable(String)),
    status LowCardinality(String),
    ref_event_id Nullable(String),
    ref_event_time Nullable(DateTime64(3, 'UTC')),
    return_reason Nullable(String),
    memo Nullable(String),
    fingerprint String,
    log_partition Int32,
    log_offset Int64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(event_time)
ORDER BY (enterprise_id, bank_id, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

-- One emitted score. The current one is argMax(…, (log_offset, seq)).
CREATE TABLE IF NOT EXISTS {database}.score
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
PARTITION BY toYYYYMM(as_of)
ORDER BY (enterprise_id, log_offset, seq)
SETTINGS non_replicated_deduplication_window = 1000;

-- Every revision of every alert, as the supervisor sees it.
CREATE TABLE IF NOT EXISTS {database}.alert
(
    enterprise_id String,
    alert_id String,
    revision Int32,
    episode_id String,
    signal LowCardinality(String),
    severity LowCardinality(String),
    state LowCardinality(String),
    stock UInt8,
    opened_at DateTime64(3, 'UTC'),
    as_of DateTime64(3, 'UTC'),
    score Int32,
    score_before Nullable(Int32),
    evidence_names Array(String),
    evidence_values_micro Array(Nullable(Int64)),
    event_ids Array(String),
    banks Array(String),
    title_zh String,
    text_zh String,
    suggested_action_zh String,
    model_id LowCardinality(String),
    rules_id LowCardinality(String),
    log_offset Int64,
    seq Int32,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (enterprise_id, alert_id, revision)
SETTINGS non_replicated_deduplication_window = 1000;
