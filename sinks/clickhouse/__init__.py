"""ClickHouse: config, rows, sending."""
