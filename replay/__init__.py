"""Recorded logs, data-set adapters, the simulator."""
