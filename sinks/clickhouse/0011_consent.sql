-- Every authorization of an enterprise, for whichever purpose. score reads those for 贷后管理 alone; the others are here
-- for whoever asks without a loan (sinks/clickhouse/consents.py). Of an event id the first body counts, as in txn.
CREATE TABLE IF NOT EXISTS {database}.consent
(
    enterprise_id String,
    to_bank_id LowCardinality(String),
    purpose LowCardinality(String),
    bank_id LowCardinality(String),
    event_id String,
    event_time DateTime64(3, 'UTC'),
    valid_from DateTime64(3, 'UTC'),
    valid_to DateTime64(3, 'UTC'),
    authorization_id String,
    consent_hash String,
    confirmed_by_enterprise_at DateTime64(3, 'UTC'),
    revoked UInt8,
    log_partition Int32,
    log_offset Int64,
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (enterprise_id, to_bank_id, purpose, bank_id, event_id)
SETTINGS non_replicated_deduplication_window = 1000;
