"""How far score has come, by its committed offsets."""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from domain import topics
from sinks.log_reader import member_consumer
from sinks.retriable import is_outage, until_answered

log = logging.getLogger(__name__)

_NO_COORDINATOR = frozenset(
    {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """By partition, how far score has applied `events.v1`, and where `observation.v1` ended after that was asked.

    unanswered: why neither is known, where the broker does not answer.
    """

    score_offsets: Mapping[int, int]
    observation_ends: Mapping[int, int]
    unanswered: str = ""


class ScoreProgress:
    """Asks for score's committed offsets, then for the ends of `observation.v1`.

    In this order: score commits an offset only when all outputs of the records before it are acknowledged, so the ends
    include every observation of those records.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        partitions: int,
        client: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 5.0,
    ) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **(client or {})})
        self._member = member_consumer(bootstrap, group, client)
        self._partitions = partitions
        self._timeout_s = timeout_s
        self._is_silent = False  # the broker, the last time

    async def __call__(self) -> Progress:
        """Return the progress, empty while the group has no coordinator, or the broker does not answer.

        An outage is logged once. Raise KafkaException where the broker refuses, or knows no such topic.
        """
        try:
            found = await asyncio.to_thread(self._ask)
        except KafkaException as error:
            if not is_outage(error):
                raise
            found = Progress(score_offsets={}, observation_ends={}, unanswered=error.args[0].str())
            if not self._is_silent:
                log.warning("learn: Kafka does not say how far score has come, and learn waits: %s", found.unanswered)
        if self._is_silent and not found.unanswered:
            log.info("learn: Kafka answers again")
        self._is_silent = bool(found.unanswered)
        return found

    def _ask(self) -> Progress:
        wanted = [TopicPartition(topics.EVENTS, p) for p in range(self._partitions)]
        try:
            committed = self._member.committed(wanted, self._timeout_s)
        except KafkaException as error:
            if error.args[0].code() not in _NO_COORDINATOR:
                raise
            return Progress(score_offsets={}, observation_ends={})
        ends = until_answered(self._ends, self._timeout_s)
        return Progress(
            score_offsets={tp.partition: tp.offset for tp in committed if tp.offset >= 0},
            observation_ends=ends,
        )

    def _ends(self) -> dict[int, int]:
        asked = {TopicPartition(topics.OBSERVATION, p): OffsetSpec.latest() for p in range(self._partitions)}
        answers = self._admin.list_offsets(asked, request_timeout=self._timeout_s)
        wait(answers.values())  # all, also where one failed: the client must not go while it still answers
        try:
            return {tp.partition: future.result().offset for tp, future in answers.items()}
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NOENT:
                raise
            raise KafkaException(self._why_no_leader()) from error

    def _why_no_leader(self) -> KafkaError:
        """Return why there is none: librdkafka has one code for an unknown topic and for a leader to be elected."""
        known = self._admin.list_topics(topics.OBSERVATION, self._timeout_s).topics[topics.OBSERVATION]
        return known.error or KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
