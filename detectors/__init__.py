"""What is concluded from the indicators: score, signals, episodes, models."""
