"""What the engine is measured against: a much smaller job on the same records, built plainly."""
