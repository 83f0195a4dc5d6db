-- What a month's labels said of the models (model.report.v1): one row a month, the lists of models side by side. By
-- model: SELECT month, name, window, auc FROM model_month FINAL
--        ARRAY JOIN models AS name, windows AS window, auc_micro AS auc
CREATE TABLE IF NOT EXISTS {database}.model_month
(
    month Int32,
    model_id LowCardinality(String),
    concept_drift UInt8,
    drift Array(String),
    label_kinds Array(LowCardinality(String)),
    label_counts Array(Int64),
    weight_names Array(LowCardinality(String)),
    weights_milli Array(Int64),
    psi_names Array(LowCardinality(String)),
    psi_micro Array(Int64),
    models Array(LowCardinality(String)),
    windows Array(LowCardinality(String)),
    examples Array(Int64),
    bad Array(Int64),
    silent Array(Int64),
    auc_micro Array(Nullable(Int64)),
    auc_low_micro Array(Nullable(Int64)),
    auc_high_micro Array(Nullable(Int64)),
    ks_micro Array(Nullable(Int64)),
    gini_micro Array(Nullable(Int64)),
    log_loss_micro Array(Nullable(Int64)),
    brier_micro Array(Nullable(Int64)),
    log_time DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY month
SETTINGS non_replicated_deduplication_window = 1000;
