-- Why an alert is stale or over.
ALTER TABLE {database}.alert ADD COLUMN IF NOT EXISTS reason LowCardinality(String) AFTER state;
ALTER TABLE {database}.alert_backfill ADD COLUMN IF NOT EXISTS reason LowCardinality(String) AFTER state;
