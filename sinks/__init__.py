"""The ways out and back: Kafka, Redis, ClickHouse, metrics."""
