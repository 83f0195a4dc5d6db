"""The state of one enterprise, and what can be read from it."""
