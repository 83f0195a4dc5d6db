"""What this costs, measured: `make bench`."""
