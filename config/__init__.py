"""Settings, catalogues and tables."""
