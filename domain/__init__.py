"""What every room speaks of: frozen types, no I/O."""
