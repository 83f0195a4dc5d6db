"""Learn: observations, labels and the published models."""
