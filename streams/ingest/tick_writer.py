"""The one writer of barriers (ticks and controls): a transaction over all partitions of the log, fenced by the broker.

The transactional id names the role, not the worker: opening the writer fences whoever wrote before, also a worker that
was suspended and does not know of it. For readers of committed records, a barrier is in every partition or in none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from domain import topics
from sinks.batch import Headers
from sinks.kafka import DeliveryFailed, Outbox

TIMEOUT_S = 30.0
CLOSE_S_MAX = 5.0
TRANSACTION_MS_MAX = 10_000  # what a killed writer has left open holds up readers no longer


class NotTheWriter(Exception):
    """Another worker has taken over the writing of ticks; this one must stop."""


class TickWriter:
    """Writes barriers after everything that `outbox` was given before.

    Readers of committed records wait while a transaction is open. aiokafka puts all partitions of a broker into one
    request; librdkafka sends each by itself, few at a time, and the transaction stays open seven times as long.
    """

    def __init__(self, outbox: Outbox, bootstrap: str, client: Mapping[str, Any], name: str, partitions: int) -> None:
        """Prepare a writer; `client` holds settings of aiokafka, as `sinks.client` makes them."""
        self._outbox, self._partitions = outbox, partitions
        self._settings: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "transactional_id": name,
            "transaction_timeout_ms": TRANSACTION_MS_MAX,
            "compression_type": "zstd",  # a tick of 141 banks has 18 kB as text
            **client,
        }
        self._producer: AIOKafkaProducer | None = None
        self._ended: Exception | None = None  # by what

    async def open(self) -> None:
        """Fence the previous writer and abort the transaction that it has left open."""
        self._producer = AIOKafkaProducer(**self._settings)
        with _told():
            async with asyncio.timeout(TIMEOUT_S):
                await self._producer.start()

    async def write(self, values: Sequence[bytes], headers: Headers) -> None:
        """Write records to every partition, in this order, all or none; return when that is acknowledged.

        Raise NotTheWriter where another worker has opened the writer since, and DeliveryFailed where it could not be
        written. This worker must not try either again.
        """
        if self._ended is not None:
            raise self._ended
        try:
            await asyncio.to_thread(self._outbox.drain, TIMEOUT_S)
            with _told():
                async with asyncio.timeout(TIMEOUT_S):
                    await self._write(values, headers)
        except (NotTheWriter, DeliveryFailed) as error:
            self._ended = error
            raise

    async def _write(self, values: Sequence[bytes], headers: Headers) -> None:
        producer = self._producer
        assert producer is not None, "not opened"
        await producer.begin_transaction()
        places = [(value, partition) for value in values for partition in range(self._partitions)]
        sent = [await producer.send(topics.EVENTS, value, partition=p, headers=list(headers)) for value, p in places]
        await asyncio.gather(*sent)  # a commit would leave out what has failed
        await producer.commit_transaction()

    async def close(self) -> None:
        """Close the connection to the broker; nothing is being written."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            with suppress(KafkaError, TimeoutError):  # why it has ended is known by now, or does not matter any more
                async with asyncio.timeout(CLOSE_S_MAX):
                    await producer.stop()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise NotTheWriter(f"another worker writes the ticks now: {error}") from error
    except (KafkaError, TimeoutError) as error:
        raise DeliveryFailed(f"{topics.EVENTS}: a tick or control could not be written: {error!r}") from error
