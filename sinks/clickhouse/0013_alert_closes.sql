-- For how many day closes in a row the condition of an alert's level has held, and what clears it; 0: not counted, or an
-- alert from before they were told.
ALTER TABLE {database}.alert
    ADD COLUMN IF NOT EXISTS true_closes UInt16 DEFAULT 0 AFTER severity,
    ADD COLUMN IF NOT EXISTS clear_closes UInt16 DEFAULT 0 AFTER true_closes;
ALTER TABLE {database}.alert_backfill
    ADD COLUMN IF NOT EXISTS true_closes UInt16 DEFAULT 0 AFTER severity,
    ADD COLUMN IF NOT EXISTS clear_closes UInt16 DEFAULT 0 AFTER true_closes;
ALTER TABLE {database}.alert_told
    ADD COLUMN IF NOT EXISTS true_closes UInt16 DEFAULT 0 AFTER severity,
    ADD COLUMN IF NOT EXISTS clear_closes UInt16 DEFAULT 0 AFTER true_closes;
