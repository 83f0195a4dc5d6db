"""One enterprise's state, and what can be read from it."""
