"""Hand-written input, one case a line: accepted records, and refused ones with their reason."""
