-- What each bank was told, every revision of its own topic: also those that go to one bank alone and are not in `alert`
-- (an opening list, a closing where it may no longer look, a notice of another bank's arrears).
CREATE TABLE IF NOT EXISTS {database}.alert_told
(
    bank_id LowCardinality(String),
    enterprise_id String,
    alert_id String,
    revision Int32,
    episode_id String,
    case_id String,
    case_severity LowCardinality(String),
    signal LowCardinality(String),
    severity LowCardinality(String),
    state LowCardinality(String),
    reason LowCardinality(String),
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
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (bank_id, enterprise_id, alert_id, revision)
SETTINGS non_replicated_deduplication_window = 1000;
