"""Decisions on models, one at a time: whoever decides reads what was decided, then writes, with nobody in between.

Two operators, or an operator and learn, may decide at the same moment on what they have read a moment before. The
broker tells them apart: all write as one transactional producer, and its opening fences whoever has opened it earlier.
"""

from __future__ import annotations

import time
from contextlib import closing

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from config.settings import KafkaSettings
from domain import topics
from domain.events import Control
from sinks.artefacts import PARTITION
from sinks.client import client_settings
from sinks.log_reader import assigned_consumer
from sinks.retriable import RETRY_S, bounds
from streams.control_log import HEADERS, value_of

TIMEOUT_S = 30.0
TRANSACTION_MS_MAX = 10_000  # what a killed writer has left open holds up readers no longer
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


class Contended(Exception):
    """Somebody else has begun to decide since; nothing was written."""


class Deciding:
    """The right to write one decision on what is read after its construction."""

    def __init__(self, kafka: KafkaSettings, timeout_s: float = TIMEOUT_S) -> None:
        """Fence whoever decides at this moment. Raise KafkaException where the broker does not allow or answer it."""
        self._timeout_s, self._kafka = timeout_s, kafka
        self._producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "transactional.id": f"{kafka.group_prefix}models",
                "transaction.timeout.ms": TRANSACTION_MS_MAX,
                "log_level": 2,  # what goes wrong is raised
                **client_settings(kafka),
            }
        )
        self._producer.init_transactions(timeout_s)

    def write(self, control: Control) -> None:
        """Append a control record and wait until it is committed, and whoever reads to the end reads it.

        Raise Contended where somebody has begun to decide since the construction, and KafkaException where it could
        not be written, or not be read in time: then it may be there.
        """
        body, offsets = value_of(control, self._kafka), list[int]()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None and (offset := message.offset()) is not None:
                offsets.append(offset)

        try:
            self._producer.begin_transaction()
            self._producer.produce(topics.CONTROL, body, partition=PARTITION, headers=HEADERS, on_delivery=delivered)
            self._producer.commit_transaction(self._timeout_s)
        except KafkaException as error:
            if error.args[0].code() in _FENCED:
                raise Contended(
                    f"{topics.CONTROL}: somebody else decides at this moment: nothing was written"
                ) from error
            raise
        self._wait_readable(max(offsets))

    def _wait_readable(self, offset: int) -> None:
        """Wait for Kafka to end the commit: it answers one before it has."""
        give_up_s = time.monotonic() + self._timeout_s
        with closing(assigned_consumer(self._kafka.bootstrap, client_settings(self._kafka))) as consumer:
            while bounds(consumer, topics.CONTROL, PARTITION)[1] <= offset:
                if time.monotonic() > give_up_s:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "a commit that Kafka is still ending"))
                time.sleep(RETRY_S)
