"""The vocabulary of all rooms: frozen types, no I/O."""
