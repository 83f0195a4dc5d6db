"""Kafka, Valkey and ClickHouse as child parts, from packages alone."""
