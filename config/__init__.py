"""What may be set."""
