-- Whether a score, or the score that an alert names, counts business days of a year whose holidays are not published;
-- and which indicators of a day do.
ALTER TABLE {database}.score ADD COLUMN IF NOT EXISTS provisional_calendar UInt8 DEFAULT 0 AFTER prior;
ALTER TABLE {database}.score_now ADD COLUMN IF NOT EXISTS provisional_calendar UInt8 DEFAULT 0 AFTER prior;
ALTER TABLE {database}.alert ADD COLUMN IF NOT EXISTS provisional_calendar UInt8 DEFAULT 0 AFTER score_before;
ALTER TABLE {database}.alert_backfill ADD COLUMN IF NOT EXISTS provisional_calendar UInt8 DEFAULT 0 AFTER score_before;
ALTER TABLE {database}.alert_told ADD COLUMN IF NOT EXISTS provisional_calendar UInt8 DEFAULT 0 AFTER score_before;
ALTER TABLE {database}.indicator
    ADD COLUMN IF NOT EXISTS provisional_calendar Array(LowCardinality(String)) AFTER null_reasons;
