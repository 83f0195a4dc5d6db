"""Yardsticks for the engine: a much smaller job on the same records, in plain Python."""
