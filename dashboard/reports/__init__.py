"""Reports of a bank's desk and of the supervisor, from the archive: the ledger, a case, a month (ADR 43)."""
