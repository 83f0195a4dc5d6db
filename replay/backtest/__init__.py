"""Judges warnings against what became of the borrowers: reading, statistics and report each in modules of their own."""
