-- The hash of a record whose fields are known but for an account gives the account away.
ALTER TABLE {database}.dead_letter DROP COLUMN IF EXISTS payload_sha256;
