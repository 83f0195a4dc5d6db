"""Where results go: Kafka, ClickHouse, metrics."""
