"""The indicators of the catalogue, read from the state."""
