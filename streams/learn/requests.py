"""Learn's requests for the activation of a candidate on `model.request.v1`, and the wait until ingest has answered."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from config.settings import KafkaSettings
from domain import topics
from domain.outputs import ActivationRequest
from sinks.artefacts import PARTITION, messages
from sinks.client import client_settings
from sinks.kafka import Outbox
from sinks.log_reader import member_consumer
from sinks.retriable import is_outage
from streams.control_log import HEADERS, READ_S_MAX

log = logging.getLogger(__name__)

LOOK_S = 0.25  # between two looks at how far ingest has come
TOLD_S = 10.0  # an answer takes a second
ANSWER_S = 5.0


class Requests:
    """Asks, and waits for answers."""

    def __init__(self, kafka: KafkaSettings, outbox: Outbox) -> None:
        self._kafka, self._outbox = kafka, outbox
        self._client = client_settings(kafka)
        self._ingest = member_consumer(kafka.bootstrap, f"{kafka.group_prefix}ingest", self._client)

    def ask(self, request: ActivationRequest) -> int:
        """Append a request, unless the same is there already; return its offset.

        Raise DeliveryFailed where it is not acknowledged, and ArtefactMissing where the topic cannot be read.
        """
        body = msgspec.json.encode(request)
        if (offset := self._offset_of(body)) is None:
            self._outbox.send(topics.MODEL_REQUEST, body, key=request.model_id.encode(), headers=HEADERS)
            self._outbox.drain()
            offset = self._offset_of(body)
        assert offset is not None, "acknowledged, so it is there"
        return offset

    async def answered(self, offset: int) -> None:
        """Wait until ingest has granted or refused the request at an offset: its group has committed that.

        Raise KafkaException where the broker refuses to say so; while it does not answer, it is waited for.
        """
        began_s, is_told = time.monotonic(), False
        while (silence := await asyncio.to_thread(self._silence, offset)) is not None:
            if not is_told and time.monotonic() - began_s > TOLD_S:
                log.warning("learn: waits for %s", silence)
                is_told = True
            await asyncio.sleep(LOOK_S)

    def _silence(self, offset: int) -> str | None:
        """Return what the answer waits for; None where it is there."""
        place = TopicPartition(topics.MODEL_REQUEST, PARTITION)
        try:
            (committed,) = self._ingest.committed([place], ANSWER_S)
        except KafkaException as error:
            if not is_outage(error):
                raise
            return f"Kafka, which does not say how far ingest has come: {error.args[0].str()}"
        return None if committed.offset > offset else f"ingest, to answer {topics.MODEL_REQUEST} offset {offset}"

    def _offset_of(self, body: bytes) -> int | None:
        """Return the offset of the first record of these bytes; None where there is none."""
        found = messages(self._kafka.bootstrap, topics.MODEL_REQUEST, READ_S_MAX, self._client)
        return next((message.offset() for message in found if message.value() == body), None)
