"""The archive in ClickHouse: where it is, its tables, the rows of each record, and sending them."""

from sinks.clickhouse.config import Target, target_of
from sinks.clickhouse.connection import Connection, Refused, Unavailable, connect
from sinks.clickhouse.migrations import migrate
from sinks.clickhouse.sending import Block, Sender

__all__ = ["Block", "Connection", "Refused", "Sender", "Target", "Unavailable", "connect", "migrate", "target_of"]
