"""Hand-written input, one case a line: what is accepted, and what is refused for which reason."""
