"""Records as archive reads them, for tests of tables; and hooks before transactions of Redis."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from redis.client import Pipeline

from domain.events import LogRecord
from sinks.clickhouse.rows import Records


def read_at(topic: str, first: int, *values: Any, time_ms: int) -> Records:
    """Decoded records of partition 3, at offsets from `first`."""
    return read(topic, ((first + i, value) for i, value in enumerate(values)), time_ms=time_ms)


def read(topic: str, records: Iterable[tuple[int, Any]], *, time_ms: int) -> Records:
    """(offset, decoded record) of partition 3."""
    found = Records(topic, 3)
    for offset, value in records:
        found.add(value, value.event if isinstance(value, LogRecord) else value, offset, time_ms)
    return found


def before_transactions(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Call `happens` right before each transaction, with its watched keys read and its writes queued."""
    execute = Pipeline.execute

    def execute_later(pipe: Pipeline) -> list[Any]:
        happens()
        return execute(pipe)

    monkeypatch.setattr(Pipeline, "execute", execute_later)
