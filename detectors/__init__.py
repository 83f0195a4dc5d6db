"""Conclusions from the indicators: score, signals, episodes, models."""
