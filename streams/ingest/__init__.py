"""Ingest: from the banks' topics to the one ordered log."""
