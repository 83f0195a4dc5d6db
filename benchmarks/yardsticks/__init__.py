"""Yardsticks for the engine: a much smaller job on the same records, built plainly."""
