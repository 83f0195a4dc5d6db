"""The one writer of barriers (ticks and controls): a transaction over all partitions of the log, fenced by the broker.

The transactional id names the role, not the worker: opening the writer puts an end to whoever wrote before, also to one
that has been paused and does not know of it. A barrier is in every partition or, for readers of what is committed, in
none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from domain import topics
from sinks.kafka import DeliveryFailed, Headers, Outbox

TIMEOUT_S = 30.0
TRANSACTION_MS_MAX = 10_000  # what a killed writer has left open holds up readers no longer


class NotTheWriter(Exception):
    """Another worker has taken over the writing of ticks; this one must not go on."""


class TickWriter:
    """Writes barriers behind all that `outbox` was given before."""

    def __init__(self, outbox: Outbox, bootstrap: str, client: Mapping[str, Any], name: str, partitions: int) -> None:
        self._outbox, self._partitions = outbox, partitions
        self._ended: Exception | None = None  # by what
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": name,
                "transaction.timeout.ms": TRANSACTION_MS_MAX,
                "linger.ms": 0,
                "message.max.bytes": 1_048_576,
                **client,
            }
        )

    def open(self) -> None:
        """Take over: end what the writer before has left open, and fence it off."""
        _expect(self._producer.init_transactions, TIMEOUT_S)

    async def write(self, values: Sequence[bytes], headers: Headers) -> None:
        """Write records to every partition, in this order, at once or not at all; returns when that is acknowledged.

        NotTheWriter where another worker has opened the writer since, DeliveryFailed where it could not be written:
        neither is to be tried again by this worker.
        """
        if self._ended is not None:
            raise self._ended
        try:
            await asyncio.to_thread(self._write, values, headers)
        except (NotTheWriter, DeliveryFailed) as error:
            self._ended = error
            raise

    def _write(self, values: Sequence[bytes], headers: Headers) -> None:
        self._outbox.drain(TIMEOUT_S)
        _expect(self._producer.begin_transaction)
        for value in values:
            for partition in range(self._partitions):
                self._producer.produce(topics.EVENTS, value, partition=partition, headers=list(headers))
        _expect(self._producer.commit_transaction, TIMEOUT_S)


def _expect(step: Any, *args: float) -> None:
    try:
        step(*args)
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            raise NotTheWriter(f"another worker writes the ticks now: {reason.str()}") from error
        raise DeliveryFailed(f"{topics.EVENTS}: a tick or control could not be written: {reason.str()}") from error
