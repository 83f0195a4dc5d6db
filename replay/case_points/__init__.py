"""Fit of the case's claim: points, cut-offs and their evidence, from recorded logs with a truth (docs/adr/0040)."""
