"""Input, one case a line: accepted records, refused ones with their reason, spelled numbers; and texts from a seed."""
