"""A simulated province that a warning can be judged in: its log, and the truth about each enterprise beside it."""
