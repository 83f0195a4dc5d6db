-- Every indicator as a day closed: names[i] was values_micro[i], or null for null_reasons[i]. Kept as long as the
-- transactions that it was computed from.
ALTER TABLE {database}.indicator ADD COLUMN IF NOT EXISTS log_time DateTime64(3, 'UTC') DEFAULT as_of AFTER seq;
ALTER TABLE {database}.indicator MODIFY TTL toDateTime(log_time) + INTERVAL 25 MONTH;
