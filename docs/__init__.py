"""The documents of xinliu. `docs/generate/` writes those that follow from tables and types."""
