"""Decisions on models, one at a time: whoever decides reads what was decided, then writes, with nobody in between.

Two operators, or an operator and learn, may decide at the same moment on what they have read a moment before. The
broker tells them apart: all write as one transactional producer, and its opening fences whoever has opened it earlier.
"""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, KafkaException, Producer

from config.settings import KafkaSettings
from domain import topics
from domain.events import Control
from sinks.artefacts import PARTITION
from sinks.client import client_settings
from sinks.retriable import RETRY_S
from streams.control_log import HEADERS, controls, value_of

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
        """Append a control record, and wait until it is committed and can be read.

        Raise Contended where somebody has begun to decide since the construction, and KafkaException where it could
        not be written. Raise KafkaException or ArtefactMissing where it could not be read in time: it may be there.
        """
        body = value_of(control, self._kafka)
        try:
            self._producer.begin_transaction()
            self._producer.produce(topics.CONTROL, body, partition=PARTITION, headers=HEADERS)
            self._producer.commit_transaction(self._timeout_s)
        except KafkaException as error:
            if error.args[0].code() in _FENCED:
                raise Contended(
                    f"{topics.CONTROL}: somebody else decides at this moment: nothing was written"
                ) from error
            raise
        self._wait_readable(control.control_id)

    def _wait_readable(self, control_id: str) -> None:
        """Wait for Kafka to end the commit: it answers one before it has."""
        give_up_s, client = time.monotonic() + self._timeout_s, client_settings(self._kafka)
        while all(one.control_id != control_id for one in controls(self._kafka.bootstrap, self._timeout_s, client)):
            if time.monotonic() > give_up_s:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "a commit that Kafka is still ending"))
            time.sleep(RETRY_S)
