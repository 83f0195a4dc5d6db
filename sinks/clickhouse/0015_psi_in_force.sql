-- How far a month's observations are from the population of the model in force; empty in rows from before it was told, and
-- where that model has no population.
ALTER TABLE {database}.model_month
    ADD COLUMN IF NOT EXISTS in_force_id LowCardinality(String) AFTER model_id,
    ADD COLUMN IF NOT EXISTS psi_in_force_names Array(LowCardinality(String)) AFTER psi_micro,
    ADD COLUMN IF NOT EXISTS psi_in_force_micro Array(Int64) AFTER psi_in_force_names;
