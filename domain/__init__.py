"""The vocabulary of all folders: frozen types, no I/O."""
